"""When a build is gone, nothing that it started is left, whatever was killed and in which order."""

import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import KEY, ended, eventually, job_in, living_with, shell

from spark_build.executors.local import LocalExecutor
from spark_build.storage.leases import LocalLeases
from tests.seeds import seed

SEED = seed("SPARK_KILL_SEED")

# A build in a process of its own: takes a lease, starts a worker, tells its watchdog's process, and waits.
BUILD = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from processes import KEY, job_in, shell
from spark_build.storage.leases import LocalLeases
store = Path(sys.argv[1])
lease = LocalLeases(store).acquire(KEY)
executor = shell(store, sys.argv[2])
handle = executor.start(job_in(store, **{"env": ("MARKER",)}), lease)
children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
print(children, flush=True)
while sys.argv[3] == "wait" or not executor.poll(0.1):
    time.sleep(0.1)
"""

# Children that try to get away: in a session of their own, twice forked, deaf to signals.
FAMILY = """
setsid sleep 1000 &
(setsid sh -c 'trap "" TERM HUP INT; sleep 1000 & sleep 1000; sleep 1000' &)
(sleep 1000 & sleep 1000) &
trap "" TERM
env -i setsid sleep 1000 &
touch ready
sleep 1000
"""


class Build:
    def __init__(self, store: Path, script: str = FAMILY) -> None:
        self.store, self.marker = store, f"marker-{store.name}-{os.getpid()}-{time.monotonic_ns()}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", BUILD, str(store), script, "wait", str(Path(__file__).parent)],
            env={**os.environ, "MARKER": self.marker},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.watchdog = int(self.process.stdout.readline())

    def wait_until_ready(self) -> None:
        eventually((self.store / "work" / KEY / "scratch" / "ready").exists)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def left(self) -> list[int]:
        return [*living_with(self.marker), *_below(self.watchdog)]

    def is_over(self) -> bool:
        return not self.left() and not _lives(self.watchdog)


def keepers_of(watchdog: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{watchdog}/task/{watchdog}/children").read_text().split()]


def _below(process: int) -> list[int]:
    try:
        children = keepers_of(process)
    except OSError:
        return []
    return children + [p for child in children for p in _below(child)]


def _lives(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def drawn() -> random.Random:
    print(f"SPARK_KILL_SEED={SEED}")
    return random.Random(SEED)


def is_free(store: Path) -> bool:
    lease = LocalLeases(store).acquire(KEY)
    if lease is not None:
        lease.release()
    return lease is not None


def test_a_killed_build_leaves_no_process_and_frees_its_lease(tmp_path: Path) -> None:
    build = Build(tmp_path)
    build.wait_until_ready()
    assert len(build.left()) >= 8
    assert not is_free(tmp_path)
    build.kill()
    eventually(build.is_over, 5)
    assert is_free(tmp_path)


def test_a_build_killed_at_any_moment_leaves_no_process(tmp_path: Path) -> None:
    moments = drawn()
    for number in range(5):
        store = tmp_path / str(number)
        store.mkdir()
        build = Build(store)
        time.sleep(moments.random() * 0.06)
        build.kill()
        eventually(build.is_over, 5)
        assert is_free(store)


def test_the_lease_is_held_as_long_as_anything_lives(tmp_path: Path) -> None:
    build = Build(tmp_path)
    build.wait_until_ready()
    (keeper,) = keepers_of(build.watchdog)
    for process in (build.watchdog, keeper):
        os.kill(process, signal.SIGSTOP)
    build.kill()
    time.sleep(0.2)
    assert not is_free(tmp_path)
    os.kill(keeper, signal.SIGCONT)
    eventually(build.is_over, 5)
    assert is_free(tmp_path)


@pytest.mark.parametrize("stopped", ["watchdog", "keeper", "worker", "build"])
def test_a_process_that_was_stopped_is_no_hiding_place(tmp_path: Path, stopped: str) -> None:
    build = Build(tmp_path)
    build.wait_until_ready()
    (keeper,) = keepers_of(build.watchdog)
    worker = keepers_of(keeper)[0]
    chosen = {"watchdog": build.watchdog, "keeper": keeper, "worker": worker, "build": build.process.pid}
    os.kill(chosen[stopped], signal.SIGSTOP)
    build.kill()
    eventually(build.is_over, 5)


@pytest.mark.parametrize("killed", ["watchdog", "keeper", "watchdog and build"])
def test_a_killed_watchdog_or_keeper_takes_the_workers_along(tmp_path: Path, killed: str) -> None:
    build = Build(tmp_path)
    build.wait_until_ready()
    (keeper,) = keepers_of(build.watchdog)
    before = [p for p in build.left() if p not in (keeper, build.watchdog, build.process.pid)]
    if killed == "watchdog and build":
        build.process.kill()
    os.kill(keeper if killed == "keeper" else build.watchdog, signal.SIGKILL)
    eventually(lambda: not any(_lives(process) for process in before), 5)
    build.kill()
    eventually(build.is_over, 5)
    eventually(lambda: is_free(tmp_path), 5)


def test_a_watchdog_killed_while_it_ends_the_workers_leaves_none(tmp_path: Path) -> None:
    moments = drawn()
    for number in range(20):
        store = tmp_path / str(number)
        store.mkdir()
        build = Build(store)
        build.wait_until_ready()
        build.process.kill()
        time.sleep(moments.random() * 0.004)
        if _lives(build.watchdog):
            os.kill(build.watchdog, signal.SIGKILL)
        build.process.wait()
        eventually(build.is_over, 5)


@pytest.mark.parametrize("killed", ["watchdog", "keeper"])
def test_the_build_is_told_when_watchdog_or_keeper_was_killed(tmp_path: Path, killed: str) -> None:
    executor = shell(tmp_path, "touch ready; sleep 1000")
    handle = executor.start(job_in(tmp_path))
    eventually((tmp_path / "work" / KEY / "scratch" / "ready").exists)
    watchdog = keepers_of(os.getpid())[-1]
    os.kill(watchdog if killed == "watchdog" else keepers_of(watchdog)[0], signal.SIGKILL)
    assert ended(executor, handle) in [(-signal.SIGKILL, None), (-signal.SIGTERM, None)]
    handle = executor.start(job_in(tmp_path, "two"))  # and it can go on
    executor.stop_all()


def test_what_a_worker_leaves_behind_ends_before_its_result_counts(tmp_path: Path) -> None:
    marker = f"left-{time.monotonic_ns()}"
    executor = shell(tmp_path, f"setsid sh -c 'sleep 1000; : {marker}' & env -i setsid sleep 1000 & exit 0")
    handle = executor.start(job_in(tmp_path))
    assert ended(executor, handle)[0] == 0
    assert living_with(marker) == []


def test_other_workers_are_spared(tmp_path: Path) -> None:
    executor = shell(tmp_path, "setsid sleep 1000 & [ $(basename $PWD) = quick ] || sleep 1000")
    slow = executor.start(job_in(tmp_path, "slow"))
    quick = executor.start(job_in(tmp_path, "quick", scratch=str(tmp_path / "quick")))
    assert ended(executor, quick)[0] == 0
    assert executor.poll(0.2) == []
    executor.stop(slow)
    assert ended(executor, slow)[0] == -signal.SIGTERM
    executor.close()


def test_a_terminals_interrupt_does_not_reach_the_workers(tmp_path: Path) -> None:
    build = Build(tmp_path)
    build.wait_until_ready()
    (keeper,) = keepers_of(build.watchdog)
    for process in (build.watchdog, keeper):
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            os.kill(process, number)
    os.kill(build.watchdog, signal.SIGTERM)
    time.sleep(0.1)
    assert _lives(keeper)
    assert os.getsid(keepers_of(keeper)[0]) != os.getsid(build.process.pid)
    build.kill()
    eventually(build.is_over, 5)


def test_stopping_gives_time_to_clean_up(tmp_path: Path) -> None:
    script = "trap 'sleep 0.2; echo cleaned; exit 5' TERM; touch ready; while :; do sleep 0.05; done"
    executor = shell(tmp_path, script)
    handle = executor.start(job_in(tmp_path))
    eventually((tmp_path / "work" / KEY / "scratch" / "ready").exists)
    executor.stop(handle)
    assert ended(executor, handle)[0] == 5
    assert executor.log_tail(handle).endswith("cleaned")
    executor.close()


def test_stopping_at_once_after_the_start_is_not_lost(tmp_path: Path) -> None:
    executor = shell(tmp_path, "sleep 1000")
    for number in range(10):
        executor.start(job_in(tmp_path, str(number)))
        executor.stop_all()


def test_no_watchdog_is_left_when_the_executor_is_gone(tmp_path: Path) -> None:
    executor: LocalExecutor | None = shell(tmp_path, "exit 0")
    assert executor is not None
    ended(executor, executor.start(job_in(tmp_path)))
    watchdog = keepers_of(os.getpid())[-1]
    executor = None
    assert not Path(f"/proc/{watchdog}").exists()


def test_a_worker_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    executor = LocalExecutor(tmp_path, ["/no/such/program"])
    handle = executor.start(job_in(tmp_path))
    assert ended(executor, handle)[0] == 127
    assert "the worker could not be started" in executor.log_tail(handle)


def test_one_action_after_another_has_the_same_keeper_and_nothing_of_the_one_before(tmp_path: Path) -> None:
    executor = shell(tmp_path, "exit 0")
    leases, keepers, held = LocalLeases(tmp_path), [], []
    for number in range(3):
        lease = leases.acquire(KEY)
        assert lease is not None
        handle = executor.start(job_in(tmp_path, str(number)), lease)
        assert ended(executor, handle)[0] == 0
        assert executor.log_tail(handle) == ""
        keepers.append(keepers_of(keepers_of(os.getpid())[-1]))
        held.append(len(os.listdir(f"/proc/{keepers[-1][0]}/fd")))
        lease.release()
        assert is_free(tmp_path)
    assert keepers[0] == keepers[1] == keepers[2]
    assert held[0] == held[1] == held[2], "a keeper holds something of an action that is over"
    executor.close()


def test_a_stop_that_comes_too_late_stops_no_other(tmp_path: Path) -> None:
    executor = shell(tmp_path, "sleep 0.05")
    for number in range(20):
        handle = executor.start(job_in(tmp_path, str(number)))
        if number % 2:
            assert ended(executor, handle)[0] == 0
        else:
            time.sleep(0.05)  # it ends just now, or has
            executor.stop(handle)
            ended(executor, handle)
    executor.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_free_keeper_that_is_killed_is_replaced(tmp_path: Path, number: int) -> None:
    executor = shell(tmp_path, "exit 0")
    for name in range(5):
        assert ended(executor, executor.start(job_in(tmp_path, str(name))))[0] == 0
        for keeper in keepers_of(keepers_of(os.getpid())[-1]):
            kill(keeper, number)
        time.sleep(0.01 * name)
    executor.close()


def kill(keeper: int, number: int) -> None:
    """Of SIGKILL it has died when this returns, whoever has noticed; a signal before that may hit a new order."""
    process = os.pidfd_open(keeper)
    os.kill(keeper, number)
    if number == signal.SIGKILL:
        select.select([process], [], [])
    os.close(process)


def test_free_keepers_end_with_the_build(tmp_path: Path) -> None:
    executor: LocalExecutor | None = shell(tmp_path, "sleep 0.1")
    assert executor is not None
    left = {id(executor.start(job_in(tmp_path, str(number)))) for number in range(3)}
    while left:
        left -= {id(handle) for handle, _, _ in executor.poll(1)}
    keepers = keepers_of(keepers_of(os.getpid())[-1])
    assert len(keepers) == 3
    executor = None
    eventually(lambda: not any(_lives(keeper) for keeper in keepers), 5)
