"""One spelling of a text: Unicode form, line ends, invisible characters, quotes and dashes."""

import re

from spark_build.modalities.text.whitespace import unix_lines

_LINE_ENDS = re.compile("[\v\f\x85\u2028\u2029]")
# C0 and C1 controls but tab and the line ends, and what is never seen: soft hyphen, zero width space, word joiner, BOM.
# Joiners stay (emoji and Indic scripts are written with them), and marks of direction.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff]")
_QUOTES = str.maketrans(
    {**dict.fromkeys("“”„‟«»〝〞＂", '"'), **dict.fromkeys("‘’‚‛‹›＇", "'")},
)
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−﹘﹣－", "-"))


def one_kind_of_line_end(text: str) -> str:
    """LF for CR LF, CR, vertical tab, form feed, next line, and Unicode's separators of lines and paragraphs."""
    return _LINE_ENDS.sub("\n", unix_lines(text))


def without_invisible(text: str) -> str:
    return _INVISIBLE.sub("", text)


def plain_quotes(text: str) -> str:
    return text.translate(_QUOTES)


def plain_dashes(text: str) -> str:
    return text.translate(_DASHES)
