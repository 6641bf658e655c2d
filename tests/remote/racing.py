"""Eight builders race for the same actions, are killed and stopped at any moment; what they saw is told afterwards.

Each is a process with a store of its own that does what a build does with each action: looks for the Record, takes the
lease, looks again, makes a result that nobody else makes, pushes it, gives the lease back.
"""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from spark_build.core.digest import Digest, digest_bytes, digest_json
from spark_build.core.record import Record
from spark_build.core.trust import Trust
from spark_build.remote.bucket import Bucket
from spark_build.remote.leases import RemoteLeases
from spark_build.remote.store import RemoteStore
from spark_build.storage.leases import LocalLeases
from spark_build.storage.local import LocalStore

BUILDERS = 8
LEASE_SECONDS = 1.0
RACE_SECONDS = 20.0  # on the average, with all who are killed or stopped in it: longer is a deadlock
HARMS = 0.6  # for each race; were there no end of them, nobody would come through


def manifest(race: int) -> dict[str, Any]:
    return {"steps": [], "stage": "race", "number": race}


def key_of(race: int) -> Digest:
    return digest_json(manifest(race))


class Racer:
    """One process's part."""

    def __init__(self, url: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.store = folder, LocalStore(folder)
        self.remote = RemoteStore(Bucket(url), self.store.objects, self.store.state, trust=Trust())
        self.leases = RemoteLeases(
            LocalLeases(folder),
            self.remote.bucket,
            self.remote.scope,
            seconds=LEASE_SECONDS,
            are_kept=lambda: self.remote.features.leases,
            is_published=self._is_published,
            warn=self._fail,
        )
        self.chance = random.Random(os.getpid())

    def run(self, races: Iterable[int], told: Path) -> None:
        with told.open("a", buffering=1) as out:
            for race in races:
                out.write(json.dumps(self._race(race)) + "\n")
        self.leases.close()

    def _race(self, race: int) -> dict[str, Any]:
        key, did = key_of(race), "took"
        while (record := self._published(key)) is None:
            lease = self.leases.acquire(key)
            if lease is None:
                time.sleep(0.02)
                continue
            try:
                if self._published(key) is None:
                    did = "made"
                    self._make(race)
            finally:
                lease.release()
        return {"race": race, "did": did, "output": record.output, "record": self._raw(key)}

    def _make(self, race: int) -> None:
        """What takes longer than the lease now and then, and comes out otherwise each time."""
        time.sleep(self.chance.choice((0.0, 0.0, 0.0, 0.01, 0.05, LEASE_SECONDS * 1.2)))
        attempt = self.folder / f"attempt-{race}-{os.urandom(4).hex()}"
        attempt.mkdir()
        (attempt / "x").write_bytes(os.urandom(100))
        tree = self.store.objects.add_folder(attempt)
        record = Record(
            key_of(race), "0" * 64, "model:race/train", manifest(race), tree.digest, tree.parts(), tree.size, 1.0, "now"
        )  # fmt: skip
        self.remote.push(record, with_artifact=True)

    def _published(self, key: Digest) -> Record | None:
        self.remote.look_again(key)
        return self.remote.record(key)

    def _is_published(self, key: Digest) -> bool:
        return self._published(key) is not None

    def _raw(self, key: Digest) -> str:
        return digest_bytes(self.remote.bucket.get(f"{self.remote.scope}/records/{key}.json") or b"")

    def _fail(self, text: str) -> None:
        raise AssertionError(text)


class Told:
    """What came of some races."""

    def __init__(self) -> None:
        self.outputs: dict[int, set[str]] = {}
        self.records: dict[int, set[str]] = {}
        self.did: Counter[str] = Counter()
        self.killed = self.stopped = 0
        self.seconds = 0.0

    def read(self, file: Path) -> None:
        for line in file.read_text().splitlines() if file.exists() else []:
            with suppress(ValueError):  # killed in the middle of it
                told = json.loads(line)
                self.outputs.setdefault(told["race"], set()).add(told["output"])
                self.records.setdefault(told["race"], set()).add(told["record"])
                self.did[told["did"]] += 1


def races(url: str, folder: Path, numbers: Sequence[int], *, seed: int, harm: bool) -> Told:
    """All of `numbers`, which `BUILDERS` go through in the same order. Errors: TimeoutError for a deadlock."""
    chance, told, began = random.Random(seed), Told(), time.monotonic()
    files: list[Path] = []

    def start() -> int:
        place = folder / f"racer-{len(files)}"
        files.append(folder / f"told-{len(files)}.jsonl")
        return _forked(lambda: Racer(url, place).run(numbers, files[-1]))

    running = {start() for _ in range(BUILDERS)}
    stopped: dict[int, float] = {}
    deadline = began + RACE_SECONDS * len(numbers)
    try:
        while running:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{len(running)} racers wait for each other in {numbers[0]} to {numbers[-1]}"
                )
            _wake(stopped)
            _reap(running)
            is_enough = told.killed + told.stopped >= HARMS * len(numbers)
            if harm and running and not is_enough and chance.random() < 0.05:
                _harm(chance, running, stopped, told, start)
            time.sleep(0.02)
    finally:
        for process in running:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
    for file in files:
        told.read(file)
    told.seconds = time.monotonic() - began
    return told


def give_back_all(url: str, folder: Path) -> int:
    """How many leases those left who were killed; each can be had once its time is up. Errors: TimeoutError."""
    racer = Racer(url, folder)
    names = [found.path.rpartition("/")[2] for found in racer.remote.bucket.list("trusted/leases")]
    left, deadline = [name for name in names if len(name) == len(key_of(0))], time.monotonic() + 60.0
    for key in left:
        while (lease := racer.leases.acquire(key)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody can have the lease of {key}")
            time.sleep(0.05)
        lease.release()
    racer.leases.close()
    return len(left)


def _harm(
    chance: random.Random, running: set[int], stopped: dict[int, float], told: Told, start: Callable[[], int]
) -> None:
    """One is killed, and another comes in its place; or it stands still, at times for longer than its lease."""
    process = chance.choice(sorted(running))
    if chance.random() < 0.4:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        running.discard(process)
        stopped.pop(process, None)
        running.add(start())
        told.killed += 1
    elif process not in stopped:
        os.kill(process, signal.SIGSTOP)
        stopped[process] = time.monotonic() + chance.choice((0.05, 0.5, LEASE_SECONDS * 3))
        told.stopped += 1


def _wake(stopped: dict[int, float]) -> None:
    for process in [process for process, until in stopped.items() if time.monotonic() > until]:
        del stopped[process]
        os.kill(process, signal.SIGCONT)


def _reap(running: set[int]) -> None:
    for process in list(running):
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            running.discard(process)
            assert status == 0, f"a racer ended with {status}"


def _forked(work: Callable[[], None]) -> int:
    """obstore starts its threads at the first request, of which the process that forks makes none."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    return process


if (
    __name__ == "__main__"
):  # python -m tests.remote.racing URL FOLDER COUNT harm|calm; in a process that used no obstore
    import sys

    totals, size, bad = Counter[str](), 25, list[int]()
    for first in range(0, int(sys.argv[3]), size):
        numbers = range(first, min(first + size, int(sys.argv[3])))
        one = races(
            sys.argv[1], Path(sys.argv[2], str(first)), numbers, seed=first, harm=sys.argv[4] == "harm"
        )
        bad += [n for n in numbers if len(one.outputs[n]) != 1 or len(one.records[n]) != 1]
        totals.update(one.did, killed=one.killed, stopped=one.stopped, races=len(numbers))
    left = give_back_all(sys.argv[1], Path(sys.argv[2], "last"))
    print(json.dumps({**totals, "bad": bad, "left": left}))
