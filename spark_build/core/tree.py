"""Trees: what a folder holds, and the digests of the whole and of its parts."""

import fnmatch
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from operator import attrgetter

from spark_build.core.digest import Digest, canonical_json, digest_bytes
from spark_build.core.values import Struct

# what shards refer to: read from the store by digest, and never laid out for a stage
MEDIA_PART = "media/"
CARD_FILES = frozenset({"README.md", "croissant.json", "spark.json"})
_SHARD = re.compile(r"data/(?P<split>.+)-\d{5}\.[a-z0-9]+")


class Entry(Struct, frozen=True, order=True):
    """One file."""

    path: str  # relative, '/' between components
    size: int  # bytes
    digest: Digest
    executable: bool = False


class Tree:
    """The files of a folder, sorted by path; no empty folders, no links."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self._entries = entries

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self._entries

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "Tree":
        return cls(tuple(sorted(entries, key=attrgetter("path"))))

    @classmethod
    def parse(cls, listing: bytes) -> "Tree":
        return cls(tuple(Entry(*row) for row in json.loads(listing)))

    @cached_property
    def listing(self) -> bytes:
        """The canonical text of the tree; stored as an object under `digest`."""
        return canonical_json([[e.path, e.size, e.digest, e.executable] for e in self.entries])

    @cached_property
    def digest(self) -> Digest:
        return digest_bytes(self.listing)

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Tree({self.listing.decode()})"

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def select(self, part: str) -> "Tree":
        """The entries that belong to `part`, their paths unchanged."""
        return Tree(tuple(e for e in self.entries if belongs(e.path, part)))

    def parts(self) -> dict[str, Digest]:
        """Every part's own digest, by name: `data/train-*`, `card`, `rejected/`, `model/` …"""
        grouped: dict[str, list[Entry]] = {}
        for entry in self.entries:
            grouped.setdefault(part_of(entry.path), []).append(entry)
        return {name: Tree(tuple(entries)).digest for name, entries in sorted(grouped.items())}


def differing(old: bytes, new: bytes) -> tuple[list[Entry], list[Entry]]:
    """Entries of the one listing alone and of the other alone; these alone are parsed where it can be."""
    before, now = (set(rows_of(listing)) for listing in (old, new))
    try:
        return _parsed(before - now), _parsed(now - before)
    except (ValueError, TypeError):  # a path holds what stands between two rows
        then, here = set(Tree.parse(old)), set(Tree.parse(new))
        return sorted(then - here), sorted(here - then)


def row_of(entry: Entry) -> bytes:
    """An entry as it stands in a listing, between two brackets."""
    return canonical_json([entry.path, entry.size, entry.digest, entry.executable])[1:-1]


def listing_of(rows: Sequence[bytes]) -> bytes:
    """The listing of entries in this order."""
    return b"[[" + b"],[".join(rows) + b"]]" if rows else b"[]"


def rows_of(listing: bytes) -> list[bytes]:
    """More than it has entries where a path holds what stands between two rows."""
    return [] if listing == b"[]" else listing[2:-2].split(b"],[")


def _parsed(rows: Iterable[bytes]) -> list[Entry]:
    return sorted(Entry(*json.loads(b"[" + row + b"]")) for row in rows)


def part_of(path: str) -> str:
    """The part that a path belongs to (design section 1)."""
    if path in CARD_FILES:
        return "card"
    if match := _SHARD.fullmatch(path):
        return f"data/{match['split']}-*"
    top, slash, _ = path.partition("/")
    return top + slash


def belongs(path: str, part: str) -> bool:
    own = part_of(path)
    return own == part or ("*" in part and fnmatch.fnmatchcase(own, part)) or part == ""
