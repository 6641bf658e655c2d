"""Media as rules see them: where a file lies, what it is and what is known of it. Datasets hold references to them."""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spark_build.core.digest import Digest
from spark_build.core.values import Struct, field

MEDIA_KINDS = ("image", "audio", "video")

# A media value in fields, memo and shards is {"$media": kind, "digest", "bytes", "path", "suffix", "facts"}: it refers
# to a blob of the store (design section 6). No value of a record may have this key.
MARK = "$media"

Reference = Mapping[str, Any]


class Media(Struct, frozen=True):
    """One image, audio or video. What a rule makes has a path, kind, suffix and facts; the runner takes it in."""

    kind: str  # of MEDIA_KINDS
    path: Path  # where to read it; read-only
    suffix: str  # of its format: '.png'
    facts: Mapping[str, Any] = field(default_factory=dict)  # JSON: format, width, duration …
    name: str = ""  # path in the source: what people know it by; a rule that is remembered per item sees none
    digest: Digest = ""  # '' until the runner has taken it in
    size: int = 0  # bytes

    @classmethod
    def of(cls, reference: Reference, path: Path) -> "Media":
        return cls(
            reference[MARK],
            path,
            reference["suffix"],
            reference["facts"],
            digest=reference["digest"],
            size=reference["bytes"],
        )

    def reference(self) -> dict[str, Any]:
        """As a dataset holds it, once it has a digest."""
        return {
            MARK: self.kind,
            "digest": self.digest,
            "bytes": self.size,
            "path": self.name,
            "suffix": self.suffix,
            "facts": dict(self.facts),
        }


def new_file(suffix: str) -> Path:
    """Where a rule may write media that it makes; the runner takes them in, and the file is gone then."""
    return Path(_made_files().name, f"{os.urandom(8).hex()}{suffix}")


def is_made(path: Path) -> bool:
    return _made_files.cache_info().currsize > 0 and path.parent == Path(_made_files().name)


@lru_cache(maxsize=1)
def _made_files() -> "TemporaryDirectory[str]":
    return TemporaryDirectory(prefix="spark-media-")


def is_reference(value: Any) -> bool:
    return isinstance(value, Mapping) and MARK in value


def blob_path(reference: Reference) -> str:
    """Where an Artifact holds it: content and format alone name it, so that equal files are one."""
    digest = reference["digest"]
    return f"media/{digest[:2]}/{digest}{reference['suffix']}"


def facts_in(meta: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Of a version's row: what is known of its media in the field of that name; {} where it has none there."""
    return dict(meta["media"].get(name, {})) if "media" in meta else {}


def content_of(value: Any) -> Any:
    """What makes the value equal to another: of media the kind and the digest, whatever they are called."""
    return {MARK: value[MARK], "digest": value["digest"]} if is_reference(value) else value


def without_name(value: Any) -> Any:
    """What an operation sees of the value, and its memo key covers."""
    return {name: part for name, part in value.items() if name != "path"} if is_reference(value) else value
