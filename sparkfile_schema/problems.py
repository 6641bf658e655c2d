"""What is wrong in a Sparkfile: where, what, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

MOST_PROBLEMS = 1000  # more than anyone reads; reading ends there


class Position(Struct, frozen=True):
    """A place in a file, line and column from 1; line 0 where `file` says it all, as in '--set a.b'."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Problem(Struct, frozen=True):
    at: Position
    message: str
    fix: str | None = None

    def __str__(self) -> str:
        fix = f"\n  fix: {self.fix}" if self.fix else ""
        return f"{self.at}: {self.message}{fix}"


class SparkfileError(Exception):
    """Every problem of a Sparkfile at once, sorted by line and column."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = in_order(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[SparkfileError], tuple[tuple[Problem, ...]]]:
        return (SparkfileError, (self.problems,))


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems, each once, sorted by where they stand."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.at.line, p.at.column, p.at.file)))
