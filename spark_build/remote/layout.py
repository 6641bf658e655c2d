"""Where things lie in the bucket, and the index that says where the objects of one Artifact are."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from spark_build.core.digest import Digest, canonical_json, digest_bytes
from spark_build.core.errors import StoreDamaged
from spark_build.core.tree import Tree
from spark_build.core.values import Struct

_SCOPE = re.compile(r"trusted|scopes/[A-Za-z0-9][A-Za-z0-9._-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PLACE = re.compile(
    rf"({_SCOPE.pattern})/(packs/[0-9a-f]{{64}}|objects/[0-9a-f]{{2}}/[0-9a-f]{{62}})", re.ASCII
)

_RECORD = re.compile(r"([0-9a-f]{64})(?:\.[0-9a-f]{12})?\.json")

PACK_BYTES = 64 << 20  # small objects travel together, up to this
SMALL_BYTES = 4 << 20  # from here on an object travels by itself, in parts
PART_BYTES = 16 << 20
INDEX_VERSION = 1


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def record_path(scope: str, key: Digest, output: Digest | None = None) -> str:
    """With `output`: of another result that the same action gave."""
    return f"{scope}/records/{key}.json" if output is None else f"{scope}/records/{key}.{output[:12]}.json"


def key_in(path: str) -> Digest:
    """Of a Record's path; '' where it is none."""
    match = _RECORD.fullmatch(path.rpartition("/")[2])
    return match[1] if match else ""


def index_path(scope: str, output: Digest) -> str:
    return f"{scope}/trees/{output}.json"


def output_in(path: str) -> Digest:
    """Of an index's path."""
    return path.rpartition("/")[2].removesuffix(".json")


def listing_path(scope: str, digest: Digest) -> str:
    """Of a source's listing, which a Record names."""
    return f"{scope}/listings/{digest}"


def pack_path(scope: str, digest: Digest) -> str:
    return f"{scope}/packs/{digest}"


def object_folder(scope: str, digest: Digest) -> str:
    """Of a large object's parts."""
    return f"{scope}/objects/{digest[:2]}/{digest[2:]}"


def part_name(number: int, digest: Digest) -> str:
    return f"{number:05}-{digest}"


def memo_folder(scope: str, operation: Digest) -> str:
    """Of an operation's segments; beside each stands who vouches for it, under the same name and `.sig`."""
    return f"{scope}/memo/{operation}"


def publications_folder(scope: str) -> str:
    return f"{scope}/published"


def publication_path(scope: str, name: str) -> str:
    """Under a digest of its name, which may hold what is special in a path or a policy."""
    return f"{publications_folder(scope)}/{digest_bytes(name.encode())}.json"


def is_publication(path: str) -> bool:
    """In any scope."""
    return path.split("/")[-2:-1] == ["published"] and path.endswith(".json")


def lease_path(scope: str, key: Digest) -> str:
    return f"{scope}/leases/{key}"


def clock_path(scope: str) -> str:
    """Written where somebody wants to know what time it is by the server."""
    return f"{scope}/clock"


def trial_folder(scope: str, name: str) -> str:
    """Where is tried what the endpoint can do; among the leases, for these alone may be deleted by who writes."""
    return f"{scope}/leases/trial-{name}"


def epoch_path(scope: str) -> str:
    """What a gc changes before it removes anything: what was noted as being there counts no longer."""
    return f"{scope}/epoch"


class Slice(Struct, frozen=True):
    """Where a small object lies."""

    pack: str  # path in the bucket
    offset: int
    size: int


class Parts(Struct, frozen=True):
    """Where a large object lies."""

    folder: str  # path in the bucket
    digests: tuple[Digest, ...]  # of its parts, in order; all but the last have PART_BYTES


class Index(Struct, frozen=True, dict=True):
    """One Artifact: what it holds, and where that lies. Nothing of it is believed: every digest is checked."""

    listing: bytes
    slices: Mapping[Digest, Slice]
    parts: Mapping[Digest, Parts]

    @cached_property
    def tree(self) -> Tree:
        return Tree.parse(self.listing)

    @cached_property
    def sizes(self) -> dict[Digest, int]:
        """Bytes of each object."""
        return {entry.digest: entry.size for entry in self.tree}

    @property
    def places(self) -> set[str]:
        """Paths of all that its objects lie in."""
        parts = (
            (p.folder, number, digest) for p in self.parts.values() for number, digest in enumerate(p.digests)
        )
        packs = {piece.pack for piece in self.slices.values()}
        return packs | {f"{folder}/{part_name(number, digest)}" for folder, number, digest in parts}

    def to_bytes(self) -> bytes:
        packs: dict[str, list[list[Any]]] = {}
        for digest, piece in sorted(self.slices.items(), key=lambda item: (item[1].pack, item[1].offset)):
            packs.setdefault(piece.pack, []).append([digest, piece.offset, piece.size])
        parts = {digest: [p.folder, *p.digests] for digest, p in self.parts.items()}
        listing = self.listing.decode()
        return canonical_json({"version": INDEX_VERSION, "listing": listing, "packs": packs, "parts": parts})

    @classmethod
    def parse(cls, data: bytes, output: Digest) -> "Index":
        """Errors: StoreDamaged where it is not the whole index of that Artifact."""
        try:
            told = json.loads(data)
            listing = told["listing"].encode()
            if told["version"] != INDEX_VERSION or digest_bytes(listing) != output:
                raise ValueError("another version, or another listing")
            slices = dict(_slices(told["packs"]))
            parts = {digest: _parts(*row) for digest, row in told["parts"].items()}
            index = cls(listing, slices, parts)
            _check(index)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreDamaged(f"the index of {output[:12]} is damaged ({error})") from None
        return index


def _slices(packs: Any) -> Iterator[tuple[Digest, Slice]]:
    for pack, rows in packs.items():
        for digest, offset, size in rows:
            yield digest, Slice(_place(pack), _whole(offset), _whole(size))


def _parts(folder: str, *digests: str) -> Parts:
    if not all(map(_DIGEST.fullmatch, digests)):
        raise ValueError("a part without a digest")
    return Parts(_place(folder), tuple(digests))


def _check(index: Index) -> None:
    """That it places every object, with the size that the listing tells."""
    for digest, size in index.sizes.items():
        if (piece := index.slices.get(digest)) is not None:
            if piece.size != size:
                raise ValueError("an object of another size")
        elif (whole := index.parts.get(digest)) is None or len(whole.digests) != count_of_parts(size):
            raise ValueError("an object without a place")


def count_of_parts(size: int) -> int:
    return max(1, -(-size // PART_BYTES))


def _place(path: str) -> str:
    """A path of ours, so that a hostile index makes nobody ask for anything else."""
    if not _PLACE.fullmatch(path):
        raise ValueError("a place that is none")
    return path


def _whole(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError("a number that is none")
    return number


def packed(scope: str, content: Mapping[Digest, bytes]) -> tuple[str, bytes, dict[Digest, Slice]]:
    """One pack of small objects: its path, its content, and where each lies in it."""
    data = b"".join(content.values())
    path, offset = pack_path(scope, digest_bytes(data)), 0
    slices = {}
    for digest, one in content.items():
        slices[digest] = Slice(path, offset, len(one))
        offset += len(one)
    return path, data, slices
