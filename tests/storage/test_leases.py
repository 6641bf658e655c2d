"""Leases: one holder, free at once when all who hold it are dead."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from spark_build.storage.leases import LocalLeases, take, wait_for

HOLD = (
    "import sys, time; from spark_build.storage.leases import take\n"
    "lease = take(sys.argv[1]); print(lease is not None, flush=True); time.sleep(60)\n"
)


def holder_process(work: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(work)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
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
    assert LocalLeases(tmp_path).holder("k") == f"another build (pid {process.pid})"
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


def test_waiting_tells_once_and_ends_with_the_lease(tmp_path: Path) -> None:
    process = holder_process(tmp_path)
    told: list[int | None] = []

    def on_wait(pid: int | None) -> None:
        told.append(pid)
        process.kill()
        process.wait()

    lease = wait_for(tmp_path, on_wait)
    assert lease is not None
    assert lease.is_held
    assert told == [process.pid]


def test_waiting_ends_when_the_time_is_up(tmp_path: Path) -> None:
    lease = take(tmp_path)
    began = time.monotonic()
    assert wait_for(tmp_path, lambda pid: None, timeout_seconds=0.1) is None
    assert time.monotonic() - began < 5
    assert lease is not None


def test_many_at_once_give_it_to_one_after_the_other(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from spark_build.storage.leases import wait_for\n"
        "for _ in range(20):\n"
        "    with wait_for(sys.argv[1], lambda pid: None):\n"
        "        n = Path(sys.argv[2]); n.write_text(str(int(n.read_text()) + 1))\n"
    )
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", code, str(tmp_path / "work"), str(counter)]
    assert [p.wait() for p in [subprocess.Popen(command) for _ in range(3)]] == [0] * 3
    assert counter.read_text() == "60"
