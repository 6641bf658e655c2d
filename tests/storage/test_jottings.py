"""What is jotted down is there after a kill, whole, once, and for whoever looks next."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from spark_build.storage.jottings import SUFFIX, Jottings, left_behind
from spark_build.storage.memo import KEY_BYTES, LocalMemo

OPERATION = "ab" * 32


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "big")


def jotted(folder: Path) -> list[Path]:
    return sorted(folder.rglob(f"*{SUFFIX}"))


def killed_after(folder: Path, count: int) -> None:
    """A process that jots down so many and is killed then."""
    script = (
        "import sys, time; from pathlib import Path; from spark_build.storage.memo import LocalMemo\n"
        f"memo = LocalMemo(Path({str(folder)!r}))\n"
        f"for n in range({count}): memo.jot({OPERATION!r}, n.to_bytes(32, 'big'), b'value \\n %d' % n)\n"
        "print('done', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        assert LocalMemo(folder).get(OPERATION, [key(0)]) == [None], "it is still being written to"
        os.kill(process.pid, signal.SIGKILL)


def test_what_a_killed_process_jotted_down_is_found(tmp_path: Path) -> None:
    killed_after(tmp_path, 100)
    memo = LocalMemo(tmp_path)
    assert memo.get(OPERATION, [key(n) for n in (0, 99, 100)]) == [b"value \n 0", b"value \n 99", None]
    assert not jotted(tmp_path)
    assert LocalMemo(tmp_path).get(OPERATION, [key(50)]) == [b"value \n 50"]


def test_a_line_that_a_kill_cut_off_is_none(tmp_path: Path) -> None:
    jottings = Jottings(tmp_path)
    jottings.add(key(1), b"whole")
    jottings.add(key(2), b"cut off")
    os.truncate(jottings.path, jottings.path.stat().st_size - 3)
    os.close(jottings._fd)
    ((path, entries),) = left_behind(tmp_path, KEY_BYTES)
    assert (path, entries) == (jottings.path, {key(1): b"whole"})


def test_what_stands_in_a_segment_is_jotted_down_no_more(tmp_path: Path) -> None:
    memo = LocalMemo(tmp_path)
    for number in range(3):
        memo.jot(OPERATION, key(number), b"a")
    memo.put(OPERATION, {key(0): b"a"})
    assert len(jotted(tmp_path)) == 1, "two are in no segment yet"
    memo.put(OPERATION, {key(number): b"a" for number in range(3)})
    assert not jotted(tmp_path)
    memo.jot(OPERATION, key(3), b"b")
    assert memo.get(OPERATION, [key(2)]) == [b"a"]


def test_two_at_a_time_have_a_file_each(tmp_path: Path) -> None:
    first, second = LocalMemo(tmp_path), LocalMemo(tmp_path)
    first.jot(OPERATION, key(1), b"a")
    second.jot(OPERATION, key(2), b"b")
    assert len(jotted(tmp_path)) == 2
    second.put(OPERATION, {key(2): b"b"})
    assert first.get(OPERATION, [key(2)]) == [b"b"]
