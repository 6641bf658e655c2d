"""White space that carries no meaning in a document, taken out."""

import re

_BLANK_LINES = re.compile(r"\n{3,}")


def unix_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def normalize(text: str) -> str:
    """LF line ends; no white space at ends of lines; at most one blank line in a row; none at either end.

    Indentation and spaces within a line stay: they mean something in code, tables and poems.
    """
    lines = "\n".join(line.rstrip() for line in unix_lines(text).split("\n"))
    return _BLANK_LINES.sub("\n\n", lines).strip("\n")
