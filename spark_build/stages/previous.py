"""What this stage gave last time, as far as it can be trusted: every file is held against its digest."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from spark_build.contract.rows import DatasetFolder
from spark_build.core.digest import Digest, digest_file
from spark_build.core.files import shards_in
from spark_build.core.job import Job
from spark_build.core.tree import differing
from spark_build.core.values import Struct
from spark_build.stages.splicing import DoesNotFit, Shard

Listed = tuple[str, int, Digest]  # path, size, digest


class OldSplit(Struct, frozen=True, dict=True):
    shards: Sequence[Shard]

    @cached_property
    def ids(self) -> list[str]:
        return self._column("id")

    @cached_property
    def sources(self) -> list[str]:
        return self._column("source")

    def _column(self, name: str) -> list[str]:
        return [value for shard in self.shards for value in shard.read(name)[name].to_pylist()]


class OldFolder:
    """A dataset as `Job.previous` names it. Errors: DoesNotFit where a file is not what it should be."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.path, self.files = Path(given["folder"]), dict(given["files"])
        self.dataset = DatasetFolder(self.path)

    def check(self, parts: Iterable[str] = ("data/",)) -> None:
        for path, digest in self.files.items():
            if path.startswith(tuple(parts)) and not _is(self.path / path, digest):
                raise DoesNotFit(f"{path} is not what it was")

    @cached_property
    def fields(self) -> dict[str, str]:
        return self.dataset.fields

    def split(self, name: str) -> OldSplit:
        return OldSplit([Shard.of(path) for path in self.dataset.shards(name)])

    def rejected(self, stage: str) -> list[dict[str, Any]]:
        """The stage's own rows of `rejected/`."""
        return [row for file in self.rejected_files(stage) for row in Shard.of(file).read().to_pylist()]

    def rejected_files(self, stage: str) -> list[Path]:
        return [file for file in shards_in(self.path / "rejected") if file.name.startswith(f"{stage}-")]


def differing_files(old: Path, new: Path) -> tuple[list[Listed], list[Listed], int]:
    """Entries of the old listing alone, of the new one alone, and about how many the new one has."""
    try:
        before, now = old.read_bytes(), new.read_bytes()
    except OSError:
        raise DoesNotFit("a listing that is not there") from None
    then, here = ([(e.path, e.size, e.digest) for e in side] for side in differing(before, now))
    return then, here, now.count(b"],[") + 1


def _is(file: Path, digest: Digest) -> bool:
    try:
        return digest_of(file) == digest
    except OSError:
        return False


def digest_of(file: Path) -> Digest:
    return digest_file(file, file.stat().st_size)


def clear(job: Job) -> None:
    """The attempt's folder is empty again."""
    for left in Path(job.output).iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()
