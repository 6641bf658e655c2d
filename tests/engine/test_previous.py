"""When a stage may go on from what it gave last: where only what it reads item by item is another."""

from typing import Any

import pytest

from spark_build.core.record import Record
from spark_build.engine.previous import goes_on_from


def ingest(rule: str, **inputs: str) -> dict[str, Any]:
    return {"kind": "ingest", "steps": [{"rule": rule, "inputs": dict(inputs)}]}


def record(manifest: dict[str, Any]) -> Record:
    return Record("k", "l", "dataset:d/ingest", manifest, "o", {}, 0, 0.0, "")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (ingest("files", path="1"), ingest("files", path="2"), True),
        (ingest("dataset", dataset="1"), ingest("dataset", dataset="2"), True),
        (ingest("./own.py:Own", path="1", dataset="1"), ingest("./own.py:Own", path="2", dataset="1"), True),
        # what a source of one's own does with a dataset, it may do to every item
        (ingest("./own.py:Own", path="1", dataset="1"), ingest("./own.py:Own", path="1", dataset="2"), False),
        (ingest("files", path="1", table="1"), ingest("files", path="1", table="2"), False),
        (ingest("files", path="1"), ingest("files", path="1"), False),
    ],
)
def test_only_what_is_read_item_by_item_may_differ(
    before: dict[str, Any], now: dict[str, Any], expected: bool
) -> None:
    assert goes_on_from("ingest", record(before), now) is expected
