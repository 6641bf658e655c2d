"""Another project's results, read only: its lock, and objects by digest; in a folder, in S3, or behind HTTP.

A project's folder is read as it stands: `Sparkfile.lock`, and `objects/` below `.spark/`, there or in its git root. At
a URL both lie side by side: `<url>/Sparkfile.lock`, `<url>/objects/ab/…`. Every object is verified before it counts.
"""

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from spark_build.core.buckets import open_bucket, told
from spark_build.core.digest import Digest
from spark_build.core.disk import disk_problems
from spark_build.core.errors import StoreDamaged, Unavailable, UsageError
from spark_build.core.places import SPARK_FOLDER, git_root
from spark_build.core.tree import Tree

if TYPE_CHECKING:
    from spark_build.storage.objects import LocalObjects

SCHEMES = ("s3://", "http://", "https://", "file://")
_CHUNK_BYTES = 1 << 20


class Elsewhere(Protocol):
    """One place that holds another project's results."""

    def chunks(self, path: str) -> Iterator[bytes] | None:
        """A file of any size, piece by piece; None where it is not there.

        Errors: TransientError where the place does not answer.
        """


def open_elsewhere(url: str, folder: str) -> Elsewhere:
    """`url`: a URL, or a folder counted from `folder`. Errors: UsageError for a scheme that nobody knows."""
    if "://" not in url or url.startswith("file://"):
        return FolderElsewhere(os.path.join(folder, url.removeprefix("file://")))
    if not url.startswith(SCHEMES):
        raise UsageError(
            f"'{url}': nobody here reads such a URL", fix=f"a folder, or one of {', '.join(SCHEMES)}"
        )
    return UrlElsewhere(url)


def lock_text(elsewhere: Elsewhere, name: str, url: str) -> str:
    """Errors: Unavailable where there is no lock: nothing was built, or published, there."""
    chunks = elsewhere.chunks(name)
    if chunks is None:
        raise Unavailable(
            f"{url}: no {name} there", fix="build there, and publish its lock beside its objects"
        )
    return b"".join(chunks).decode()


def bring(elsewhere: Elsewhere, output: Digest, objects: "LocalObjects", url: str) -> int:
    """Brings an Artifact into the local store; how many bytes came. What is here already is not fetched again."""
    fetched = _bring_objects(elsewhere, [output], objects, url)
    tree: Tree = objects.tree(output)
    return fetched + _bring_objects(elsewhere, (e.digest for e in tree), objects, url)


def _bring_objects(elsewhere: Elsewhere, digests: Iterable[Digest], objects: "LocalObjects", url: str) -> int:
    fetched = 0
    for digest in objects.claim(digests):
        chunks = elsewhere.chunks(f"objects/{digest[:2]}/{digest[2:]}")
        if chunks is None:
            raise Unavailable(
                f"{url}: object {digest[:12]} is not there",
                fix="push it there again, or pin another result: spark update",
            )
        try:
            fetched += objects.write_chunks(digest, chunks)
        except StoreDamaged as error:
            raise StoreDamaged(f"{url}: {error.message}", fix="its owner runs: spark store check") from None
    return fetched


class FolderElsewhere:
    """A project's folder on this machine, or a folder laid out as a URL would be."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        home = os.path.join(git_root(os.path.realpath(folder)) or folder, SPARK_FOLDER)
        self._stores = dict.fromkeys((os.path.join(folder, SPARK_FOLDER), folder, home))
        if not os.path.isdir(folder):
            raise UsageError(f"{folder} is no folder", fix="name another project's folder, or a URL")

    def chunks(self, path: str) -> Iterator[bytes] | None:
        places = self._stores if path.startswith("objects/") else (self.folder,)
        found = next((p for place in places if os.path.isfile(p := os.path.join(place, path))), None)
        return None if found is None else _chunks_of(found)


class UrlElsewhere:
    """S3, or any HTTP server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._store: Any = open_bucket(url)

    def chunks(self, path: str) -> Iterator[bytes] | None:
        import obstore

        try:
            found = told(self.url, lambda: obstore.get(self._store, path))
        except FileNotFoundError:
            return None
        return (bytes(chunk) for chunk in found.stream(min_chunk_size=_CHUNK_BYTES))


def _chunks_of(path: str) -> Iterator[bytes]:
    with disk_problems(path), open(path, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
