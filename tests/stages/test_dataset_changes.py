"""A dataset made of another one goes on from its last result, and gives byte for byte what it gives from nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chain import folder_of, hint
from stage_bench import Bench, Ran, step

from spark_build.core.job import JobStep

SPLITS = {"ratios": {"train": 0.8, "test": 0.2}}


class Derived:
    """A dataset of files, and one made of it, over and over."""

    def __init__(self, folder: Path, *transforms: JobStep, **options: Any) -> None:
        self.bench, self.transforms, self.options = Bench(folder), list(transforms), options
        self.last: tuple[Ran, Ran] | None = None

    def build(self) -> Ran:
        of = self.bench.ingest()
        previous = {}
        if self.last is not None:
            previous = hint(self.last[1], inputs={"0.dataset": folder_of(self.last[0])})
        derived = self._derive(self.bench, of, previous)
        self.last = (of, derived)
        return derived

    def cold(self) -> Ran:
        assert self.last is not None
        return self._derive(self.bench.cold(), self.last[0], {})

    def _derive(self, bench: Bench, of: Ran, previous: dict[str, Any]) -> Ran:
        source = step(
            "dataset",
            {"dataset": "x"},
            "spark_build.sources.dataset:Dataset",
            inputs={"dataset": str(of.output)},
        )
        return bench.run_job(
            bench.job("ingest", [source, *self.transforms], {}, self.options, previous=previous)
        )


def lines(count: int, word: str = "line") -> str:
    rows = ({"text": f"{word} {n} of a text that is long enough"} for n in range(count))
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def derived(tmp_path: Path) -> Derived:
    made = Derived(tmp_path)
    for n in range(40):
        made.bench.write(f"data/{n:02}.jsonl", lines(3, f"file{n}"))
    made.build()
    return made


def check(derived: Derived, handled: int) -> Ran:
    ran, cold = derived.build(), derived.cold()
    assert ran.tree == cold.tree
    assert ran.outcome.metrics == cold.outcome.metrics
    assert (ran.handled, ran.handled + ran.remembered) == (handled, cold.handled)
    return ran


def went_on(capsys: pytest.CaptureFixture[str]) -> bool:
    return "not gone on" not in capsys.readouterr().out


EDITS: dict[str, tuple[Callable[[Bench], Any], int]] = {
    "a new file": (lambda b: b.write("data/99.jsonl", lines(2, "new")), 2),
    "a file between others": (lambda b: b.write("data/07a.jsonl", lines(2, "between")), 2),
    "a row more": (lambda b: b.write("data/05.jsonl", lines(4, "file5")), 1),
    "a row less": (lambda b: b.write("data/05.jsonl", lines(2, "file5")), 0),
    "another text": (lambda b: b.write("data/05.jsonl", lines(3, "edited")), 3),
    "a file gone": (lambda b: (b.project / "data/05.jsonl").unlink(), 0),
    "a file instead of another": (
        lambda b: ((b.project / "data/05.jsonl").unlink(), b.write("data/05/a.jsonl", lines(1, "below"))),
        1,
    ),
    "nothing": (lambda b: None, 0),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_the_other_handles_what_it_changed_and_comes_out_as_from_nothing(
    derived: Derived, edit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change, handled = EDITS[edit]
    change(derived.bench)
    check(derived, handled)
    assert went_on(capsys)


def test_with_splits_and_transforms_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    halves = step("chunk", {"words": 4}, "spark_build.transforms.chunk:Chunk")
    derived = Derived(tmp_path, halves, splits=SPLITS)
    for n in range(40):
        derived.bench.write(f"data/{n:02}.jsonl", lines(3, f"file{n}"))
    derived.build()
    derived.bench.write("data/41.jsonl", lines(3, "new"))
    derived.bench.write("data/03.jsonl", lines(2, "edited"))
    check(derived, 5)
    assert went_on(capsys)


def test_where_most_changed_all_of_it_is_done(derived: Derived, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(30):
        derived.bench.write(f"data/{n:02}.jsonl", lines(3, f"other{n}"))
    check(derived, 90)
    assert not went_on(capsys)


def test_what_was_read_before_it_did_not_fit_counts_as_handled(
    derived: Derived, capsys: pytest.CaptureFixture[str]
) -> None:
    derived.bench.write(
        "data/99.jsonl", f"{lines(1, 'file3')}{lines(1, 'new')}"
    )  # the first has an id that is taken
    check(derived, 2)
    assert not went_on(capsys)
