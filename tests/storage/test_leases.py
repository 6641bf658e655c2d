"""Leases: one holder, free at once when all who hold it are dead."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from spark_build.storage.leases import LocalLeases, take

HOLD = (
    "import sys, time; from spark_build.storage.leases import take\n"
    "lease = take(sys.argv[1]); print(lease is not None, flush=True); time.sleep(60)\n"
)


def holder_process(work: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(work)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "True\n"
    return process


def test_only_one_holds_it(tmp_path: Path) -> None:
    leases = LocalLeases(tmp_path)
    lease = leases.acquire("k")
    assert lease is not None
    assert leases.acquire("k") is None
    assert leases.acquire("other") is not None
    lease.release()
    assert leases.acquire("k") is not None


def test_it_says_who_holds_it(tmp_path: Path) -> None:
    process = holder_process(tmp_path / "work" / "k")
    assert LocalLeases(tmp_path).holder("k") == f"another build (process {process.pid})"
    process.kill()
    process.wait()


def test_it_is_free_at_once_when_its_holder_is_killed(tmp_path: Path) -> None:
    process = holder_process(tmp_path)
    assert take(tmp_path) is None
    process.kill()
    process.wait()
    assert take(tmp_path) is not None


def test_a_stopped_holder_holds_it_still(tmp_path: Path) -> None:
    process = holder_process(tmp_path)
    os.kill(process.pid, signal.SIGSTOP)
    assert take(tmp_path) is None
    process.kill()
    process.wait()


def test_a_copy_of_the_descriptor_holds_it_until_released(tmp_path: Path) -> None:
    lease = take(tmp_path)
    assert lease is not None
    copy = os.dup(lease.fileno())
    lease.release()
    assert not lease.is_held
    assert take(tmp_path) is not None
    os.close(copy)


def test_a_lock_file_that_was_removed_protects_nothing(tmp_path: Path) -> None:
    old = take(tmp_path / "work")
    shutil.rmtree(tmp_path / "work")
    new = take(tmp_path / "work")
    assert old is not None
    assert new is not None
    assert take(tmp_path / "work") is None


def test_a_released_lease_leaves_no_empty_folder(tmp_path: Path) -> None:
    lease = take(tmp_path / "done")
    assert lease is not None
    lease.release()
    assert not (tmp_path / "done").exists()


def test_what_a_failed_stage_left_stays(tmp_path: Path) -> None:
    lease = take(tmp_path / "failed")
    assert lease is not None
    (tmp_path / "failed/scratch").mkdir()
    lease.release()
    assert [p.name for p in (tmp_path / "failed").iterdir()] == ["scratch"]


def test_a_second_release_takes_nothing_from_the_next_holder(tmp_path: Path) -> None:
    first = take(tmp_path / "work")
    assert first is not None
    first.release()
    second = take(tmp_path / "work")
    first.release()
    assert second is not None
    assert take(tmp_path / "work") is None


def test_many_at_once_give_it_to_one_after_the_other(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from spark_build.storage.leases import take\n"
        "for _ in range(20):\n"
        "    while (lease := take(sys.argv[1])) is None: time.sleep(0.001)\n"
        "    n = Path(sys.argv[2]); n.write_text(str(int(n.read_text()) + 1)); lease.release()\n"
    )
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", code, str(tmp_path / "work"), str(counter)]
    assert [p.wait() for p in [subprocess.Popen(command) for _ in range(3)]] == [0] * 3
    assert counter.read_text() == "60"
