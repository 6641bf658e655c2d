"""A push, a gc or a fetch that is cut off at any of its requests, before or after the server has done it.

The points are found by counting: every request goes through `Bucket._tried`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spark_build.core.digest import digest_json
from spark_build.remote.bucket import Bucket
from spark_build.remote.collect import collect_remote
from tests.remote.memory import KEY, Memory, action, opened, pushed, taken

FIRST = {"a": b"first", "b": b"of both", "large": bytes(range(256)) * (17 << 10)}
SECOND = {"b": b"of both", "c": b"second", "large": FIRST["large"]}
OTHER = action("other")


class Killed(BaseException):
    """Nobody handles it: the process is gone."""


class Cut(Memory):
    """Ends whoever uses it at its Nth request."""

    def __init__(self, kept: Any, at: int, *, is_done: bool) -> None:
        super().__init__(kept)
        self.at, self.is_done, self.count = at, is_done, 0

    def _tried(self, what: str, ask: Callable[[Any], Any], **rest: Any) -> Any:
        self.count += 1
        is_last = self.count == self.at
        if is_last and not self.is_done:
            raise Killed(what)
        try:
            return super()._tried(what, ask, **rest)
        finally:
            if is_last:
                raise Killed(what)


def push_both_and_collect(bucket: Bucket, folder: Path) -> None:
    """Two results that share objects, and a gc between that leaves them."""
    for files, manifest in ((FIRST, action("train")), (SECOND, OTHER)):
        pushed(bucket, folder, files, manifest)
        keys = {KEY, digest_json(OTHER)}
        collect_remote(opened(bucket, folder), keys, set(), young_seconds=0.0)


def cut_off(bucket: Cut, use: Callable[[], object]) -> bool:
    """Whether it was; False where it came to its end before."""
    try:
        use()
    except Killed:
        return True
    return False


def assert_whole(bucket: Memory, folder: Path, name: str) -> None:
    """No Record without its objects, whatever happened."""
    for number, (files, manifest) in enumerate(((FIRST, action("train")), (SECOND, OTHER))):
        record, got = taken(bucket, folder / f"{name}-{number}", manifest)
        assert record is None or got == files, name


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_a_push_or_gc_that_is_cut_off_anywhere_leaves_nothing_torn_and_goes_on(
    tmp_path: Path, is_done: bool
) -> None:
    points = 0
    while True:
        bucket, folder = Memory(), tmp_path / f"at-{points}"
        cut = Cut(bucket.kept, points + 1, is_done=is_done)
        if not cut_off(cut, lambda c=cut, f=folder: push_both_and_collect(c, f)):
            break
        points += 1
        assert_whole(bucket, tmp_path, f"cut-{points}")
        again = folder.with_name(f"{folder.name}-again")
        push_both_and_collect(bucket, again)
        for files, manifest in ((FIRST, action("train")), (SECOND, OTHER)):
            assert taken(bucket, again / str(len(files)) / manifest["stage"], manifest)[1] == files
    assert points > 30


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_a_fetch_that_is_cut_off_anywhere_goes_on(tmp_path: Path, is_done: bool) -> None:
    bucket = Memory()
    pushed(bucket, tmp_path / "first", FIRST)
    points = 0
    while True:
        folder = tmp_path / f"at-{points}"
        cut = Cut(bucket.kept, points + 1, is_done=is_done)
        if not cut_off(cut, lambda c=cut, f=folder: taken(c, f)):
            break
        points += 1
        assert taken(bucket, folder)[1] == FIRST
    assert points >= 4
