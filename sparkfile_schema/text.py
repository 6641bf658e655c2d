"""The bytes of a Sparkfile as text: size, encoding, and characters that no text may hold."""

from __future__ import annotations

import re

from sparkfile_schema.problems import Position, Problem

MOST_BYTES = 8 * 2**20

_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)


class RefusedError(Exception):
    """Ends the reading: behind this problem nothing can be trusted."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


def decoded(data: str | bytes, file: str) -> str:
    """The text without its byte order mark.

    Errors: RefusedError where it is too large, not UTF-8, or holds control characters.
    """
    if len(data) > MOST_BYTES or (
        isinstance(data, str) and len(data.encode("utf-8", "replace")) > MOST_BYTES
    ):
        raise RefusedError(
            Problem(Position(file, 1, 1), "the file is larger than 8 MiB", "keep data out of it")
        )
    text = data if isinstance(data, str) else _from_utf8(data, file)
    text = text.removeprefix("\ufeff")
    if found := _FORBIDDEN.search(text):
        character = found.group()
        message = f"the character U+{ord(character):04X} is not allowed: {_why_forbidden(character)}"
        raise RefusedError(Problem(place_of(text, found.start(), file), message, "remove it"))
    return text


def place_of(text: str, index: int, file: str) -> Position:
    """The line and column, both from 1, of a character."""
    before = text[:index].replace("\r\n", "\n").replace("\r", "\n")
    return Position(file, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _from_utf8(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        message = f"the file is not UTF-8: byte 0x{data[error.start]:02x}"
        raise RefusedError(
            Problem(place_of(before, len(before), file), message, "save it as UTF-8")
        ) from None


def _why_forbidden(character: str) -> str:
    if character == "\0":
        return "a NUL byte; is this a binary file?"
    if "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069":
        return "it turns the direction of the text around it, which then seems to say something else"
    return "an invisible control character"
