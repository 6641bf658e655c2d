"""One of several processes on a store: `python -m tests.collecting.at_work STORE NEEDED SEED SECONDS`.

It does what builds do (takes results in whose files others have too, or takes one that is there for fresh), says what
it needs in a file as a build does in the lock, and looks whether all of it stays. `gc` for SEED collects instead, and
without the minute that is left to clocks.
"""

import os
import random
import sys
import time
from pathlib import Path

from spark_build.core.record import Record
from spark_build.storage import claims
from spark_build.storage.claims import present, untouched_before
from spark_build.storage.gc import Needs, collect
from spark_build.storage.local import LocalStore
from tests.collecting.stores import put_result

CONTENTS = [f"content {n}".encode() * 50 for n in range(6)]


def main(folder: str, needed: str, seed: str, seconds: str) -> None:
    claims.SLACK_NS = 0
    end, rounds = time.monotonic() + float(seconds), 0
    while time.monotonic() < end:
        store = LocalStore(folder)
        if seed == "gc":
            rounds += _collect(store, Path(needed))
        else:
            _build(store, Path(needed, seed), random.Random(f"{seed} {rounds}"))
            rounds += 1
        store.close()
    print(rounds)


def _collect(store: LocalStore, needed: Path) -> int:
    """How many objects went."""
    needs = Needs(untouched_before=untouched_before(store.folder), young_since=0.0)
    for file in needed.glob("*.key"):
        needs.keys.update(file.read_text().split())
    told = collect(store, needs)
    return told.removed["objects"].count if "objects" in told.removed else 0


def _build(store: LocalStore, needed: Path, chance: random.Random) -> None:
    with present(store.folder):
        record = _known(store, chance) if chance.random() < 0.5 else None
        if record is None:
            files = {f"f{n}": chance.choice(CONTENTS) for n in range(chance.randrange(1, 4))}
            record = put_result(store, "model:m/train", files)
        for _ in range(3):
            assert not store.objects.missing(record.output), "gone while it is built"
            time.sleep(chance.random() * 0.01)
        beside = needed.with_name(f".{needed.name}")
        beside.write_text(record.key)
        os.replace(beside, needed.with_name(f"{needed.name}.key"))
    for _ in range(3):
        assert not store.objects.missing(record.output), "gone although it is needed"
        assert store.records.get(record.key) is not None, "its record is gone although it is needed"
        time.sleep(chance.random() * 0.01)


def _known(store: LocalStore, chance: random.Random) -> Record | None:
    """One that counts already, and is taken as it is; None where it has just gone."""
    records = [record for record in store.records.all() if not store.objects.missing(record.output)]
    record = chance.choice(records) if records else None
    time.sleep(chance.random() * 0.01)  # which a plan takes
    return None if record is None or store.hold([record]) else record


if __name__ == "__main__":
    main(*sys.argv[1:])
