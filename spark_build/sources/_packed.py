"""Single compressed files (`train.jsonl.gz`): what they hold is read as if it lay there, named without the suffix."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from spark_build.contract import SourceFile
from spark_build.core.values import replace

COMPRESSIONS = ("gz", "bz2", "xz", "zst")  # of a single file, and of a tar
_MOST_TIMES = 1000.0  # as large as it was; gzip itself can't do more than 1,032


def without_compression(path: str) -> str:
    """`data/train.jsonl` of `data/train.jsonl.gz`; any other path as it is."""
    suffix = PurePosixPath(path).suffix
    return path.removesuffix(suffix) if suffix[1:].lower() in COMPRESSIONS else path


@contextmanager
def unpacked(file: SourceFile) -> Iterator[SourceFile]:
    """The file as it is, or what it holds where its name says that it is compressed.

    Errors: ItemRejected with reason not_archive, cut_off, archive_ratio or binary.
    """
    path = without_compression(file.path)
    if path == file.path:
        yield file
        return
    import tempfile

    from spark_build.sources._archives import unpack_single

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "content")
        unpack_single(file.location, place, ratio=_MOST_TIMES)
        yield replace(file, path=path, location=place, size=place.stat().st_size)
