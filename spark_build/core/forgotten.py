"""Forgotten items: the marks by which one is known again wherever it turns up, and which tell nothing else of it."""

from collections.abc import Collection, Iterator

from spark_build.core.digest import Digest, digest_json
from spark_build.core.values import Struct

REASON = "forgotten"  # of a rejected row, and of the option that brings the marks to an ingest
CAUSE = "forgotten items"  # what a cause calls that option


class Tombstone(Struct, frozen=True):
    """What is left of an item. Any one of its marks is enough to know it by."""

    content: Digest | None = None  # the same fields, whatever they are called and wherever they come from
    id: Digest | None = None  # the same id of its own, whatever its content is by now
    file: Digest | None = None  # of a document: the same file
    at: str = ""  # the day; it counts nowhere
    reason: str = ""

    @property
    def marks(self) -> tuple[Digest, ...]:
        return tuple(mark for mark in (self.content, self.id, self.file) if mark is not None)

    @property
    def name(self) -> str:
        """The same for the same item, whoever forgot it and when."""
        return digest_json(sorted(self.marks))[:16]

    @property
    def known_by(self) -> Iterator[str]:
        return (kind for kind in ("content", "id", "file") if getattr(self, kind) is not None)


def content_mark(content: str) -> Digest:
    """`content`: the id that the item would have by its content alone."""
    return digest_json(["forgotten content", content])


def id_mark(own_id: str) -> Digest:
    return digest_json(["forgotten id", own_id])


def file_mark(path: str) -> Digest:
    return digest_json(["forgotten file", path])


def marks_for_key(tombstones: Collection[Tombstone]) -> list[int | str]:
    """What a key holds of them: how many there are, and one digest; neither days nor reasons."""
    return [len(tombstones), digest_json(all_marks(tombstones))]


def all_marks(tombstones: Collection[Tombstone]) -> list[Digest]:
    return sorted({mark for tombstone in tombstones for mark in tombstone.marks})
