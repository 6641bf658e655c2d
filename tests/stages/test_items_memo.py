import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from spark_build.core.digest import digest_bytes
from spark_build.core.ports import Services
from spark_build.stages.items_memo import CHUNK_ITEMS, remember
from spark_build.storage.memo import LocalMemo
from tests.stages.stage_bench import Heard

OPERATION = "a" * 64
KEYS = [bytes.fromhex(digest_bytes(b"%d" % n)) for n in range(CHUNK_ITEMS + 500)]


def services(folder: Path) -> Services:
    return Services(LocalMemo(folder), Heard())


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_items_memo import KEYS, OPERATION, remember, services

def compute(positions):
    for position in positions:
        if position == len(KEYS) - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield b"found"

remember(services(Path(sys.argv[1])), OPERATION, KEYS, compute, batch=64)
"""


def numbers(positions: Sequence[int]) -> Iterator[bytes]:
    return (b"%d" % position for position in positions)


def test_equal_keys_are_computed_once(tmp_path: Path) -> None:
    values, ran = remember(services(tmp_path), OPERATION, [KEYS[0], KEYS[1], KEYS[0]], numbers)
    assert [*values] == [b"0", b"1", b"0"]
    assert ran == {0, 1}


def test_what_is_known_is_not_computed(tmp_path: Path) -> None:
    remember(services(tmp_path), OPERATION, KEYS[:3], numbers)
    values, ran = remember(services(tmp_path), OPERATION, KEYS[1:5], numbers, batch=2)
    assert [*values] == [b"1", b"2", b"2", b"3"]
    assert ran == {2, 3}


def test_an_error_keeps_what_came_before_it(tmp_path: Path) -> None:
    def breaking(positions: Sequence[int]) -> Iterator[bytes]:
        for position in positions:
            if position == 7:
                raise ZeroDivisionError
            yield b"found"

    with pytest.raises(ZeroDivisionError):
        remember(services(tmp_path), OPERATION, KEYS[:10], breaking, batch=4)
    _, ran = remember(services(tmp_path), OPERATION, KEYS[:10], numbers)
    assert ran == {7, 8, 9}


def test_a_killed_run_keeps_the_chunks_that_it_had(tmp_path: Path) -> None:
    here, root = Path(__file__).parent, Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(here), str(root)], check=False)
    assert ended.returncode == -signal.SIGKILL
    _, ran = remember(services(tmp_path), OPERATION, KEYS, numbers)
    assert len(ran) == len(KEYS) - CHUNK_ITEMS


def test_batches_are_as_large_as_asked_for(tmp_path: Path) -> None:
    asked: list[int] = []

    def compute(positions: Sequence[int]) -> list[bytes]:
        asked.append(len(positions))
        return [b""] * len(positions)

    remember(services(tmp_path), OPERATION, KEYS[:10], compute, batch=4)
    assert asked == [4, 4, 2]
