"""`spark show`, `ls`, `runs`, `status`, `log`, on real Parquet and real records."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spark_build.contract.shards import table_of
from spark_build.core.errors import SparkError
from spark_build.core.record import Record
from spark_build.engine.explain import Reason
from spark_build.engine.plan import Plan, StagePlan
from spark_build.report.log import EventLines, curve_text, read_events
from spark_build.report.shows import dataset_rows, dataset_text, item_text, model_text, split_counts
from spark_build.report.tables import Deployed, Listed, Run, ls_text, runs_text, status_text


def rows(split: str, count: int) -> pa.Table:
    told = [
        {"id": f"{split}{n:04}" + "f" * 24, "source": f"{split}.md", "text": f"row {n} of {split}"}
        for n in range(count)
    ]
    return table_of(told, {"text": "text"})


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "rejected").mkdir()
    pq.write_table(rows("train", 30), tmp_path / "data/train-00000.parquet")
    pq.write_table(rows("train-extra", 5), tmp_path / "data/train-extra-00000.parquet")
    pq.write_table(rows("test", 3), tmp_path / "data/test-00000.parquet")
    rejected = {
        "id": ["badbad" + "0" * 26], "source": ["bad.md"], "split": ["train"], "gate": ["near-dup"],
        "reason": ["near_duplicate"], "score": [0.94],
        "threshold": [0.9], "matched": ["train0000" + "f" * 24],
        "detail": [None],
    }  # fmt: skip
    pq.write_table(pa.table(rejected), tmp_path / "rejected/filter-00000.parquet")
    return tmp_path


def test_rows_are_counted_per_split_and_rejected(dataset: Path) -> None:
    assert split_counts(dataset) == {"test": 3, "train": 30, "train-extra": 5, "rejected": 1}


def test_a_split_whose_name_begins_another_shows_its_own_rows_alone(dataset: Path) -> None:
    assert len(dataset_rows(dataset, split="train", limit=100)) == 30


def test_a_dataset_shows_some_rows_and_says_how_many_there_are(dataset: Path) -> None:
    text = dataset_text(dataset, split="train", limit=2)
    assert text.startswith("38 rows (test 3, train 30, train-extra 5); 1 rejected\n")
    assert "row 1 of train" in text
    assert text.endswith("2 of 30 shown; --limit N shows more")


def test_rejected_rows_show_gate_reason_and_score(dataset: Path) -> None:
    text = dataset_text(dataset, rejected=True)
    for fact in ("bad.md", "near-dup", "near_duplicate", "0.94", "0.9", "train0000fff"):
        assert fact in text


def test_a_split_that_is_not_there_is_refused_with_those_that_are(dataset: Path) -> None:
    with pytest.raises(SparkError, match="no split 'dev'") as caught:
        dataset_rows(dataset, split="dev")
    assert caught.value.fix == "it has test, train, train-extra"


@pytest.mark.parametrize("item", ["badbad", "bad.md", "badbad" + "0" * 26])
def test_a_rejected_item_tells_who_rejected_it_and_what_it_resembles(dataset: Path, item: str) -> None:
    assert item_text(dataset, item) == (
        "bad.md  badbad000000  rejected by near-dup: near_duplicate, "
        "score 0.94, threshold 0.9, like train0000fff"
    )


def test_a_kept_item_tells_its_split(dataset: Path) -> None:
    assert item_text(dataset, "test0001") == "test.md  test0001ffff  kept, in split test"


def test_an_unknown_item_is_refused(dataset: Path) -> None:
    with pytest.raises(SparkError, match=r"no item 'nowhere\.md'"):
        item_text(dataset, "nowhere.md")


def a_record(**changed: Any) -> Record:
    facts: dict[str, Any] = {
        "stage": "model:helper/train",
        "manifest": {
            "steps": [{"rule": "llama_lora", "revision": 1, "params": {"r": 16, "learning_rate": 2e-4}}],
            "inputs": {"dataset": {"data/train-*": "c" * 64, "data/validation-*": None}},
        },
        "metrics": {"perplexity": 12.3456},
        "notes": {"supervised_tokens": 123456},
        "parts": {"model/": "e" * 64},
    }
    return Record(
        key="a" * 64, loose_key="b" * 64, output="d" * 64, size=5_000_000, seconds=62.0,
        started="2026-11-20T12:00:00+00:00", **{**facts, **changed},
    )  # fmt: skip


def test_a_model_shows_params_inputs_figures_digests_and_size() -> None:
    text = model_text("model:helper", [a_record()], tags=["v1"])
    for fact in (
        "model:helper  tags: v1", "took 1 min 2 s", "dddddddddddd, 5 MB", "model/ eeeeeeeeeeee",
        "llama_lora revision 1",
        "learning_rate: 2e-4", "dataset: data/train-* cccccccccccc, data/validation-* absent",
        "perplexity 12.35",
        "supervised_tokens: 123456",
    ):  # fmt: skip
        assert fact in text


def test_a_model_without_records_is_said_to_be_unbuilt() -> None:
    assert model_text("model:helper", []) == "model:helper is not built yet"


def test_the_list_of_results_shows_tags_sizes_and_what_is_not_here() -> None:
    text = ls_text(
        [
            Listed(
                "model:helper",
                "d" * 64,
                5_000_000,
                "2026-11-20T12:00:00+00:00",
                ("v1",),
                {"perplexity": 12.3},
            ),
            Listed("dataset:t", "e" * 64, 100, "2026-11-20T12:00:00+00:00", is_here=False),
        ]
    )
    header, helper, tickets = text.splitlines()
    assert header.split() == ["result", "tags", "digest", "size", "built", "figures"]
    assert "v1    dddddddddddd  5 MB" in helper
    assert "100 B (not here)" in tickets


def test_a_build_shows_what_had_changed_and_its_figures() -> None:
    run = Run(
        "20261120T120000.000-1f", "2026-11-20T12:00:00+00:00", 62.0, ran=("model:x/train", "model:x/eval"),
        changed=(Reason("param", "recipes.sft.learning_rate", 2e-4, 1e-4, "S:1:2"),),
        metrics={"model:x/eval": {"perplexity": 12.3456}}, options="--profile quick",
    )  # fmt: skip
    row = runs_text([run]).splitlines()[1]
    assert (
        "1 min 2 s  2 ran, --profile quick  learning_rate 2e-4 → 1e-4 at S:1:2  model:x perplexity 12.35"
        in row
    )


def test_a_status_counts_states_per_target_and_says_what_up_would_do() -> None:
    plan = Plan(
        (
            StagePlan("model:x/train", "fresh"),
            StagePlan("model:x/eval", "run"),
            StagePlan("dataset:t/ingest", "fresh"),
        )
    )
    served = [
        Deployed("chat", "running", "http://127.0.0.1:8000", "model:x", "d" * 64, None, "model changed")
    ]
    text = status_text(plan, served, False)
    assert text.startswith("model:x    1 run, 1 fresh\ndataset:t  fresh\n")
    assert "chat        running  http://127.0.0.1:8000  model:x  dddddddddddd" in text
    assert text.endswith("chat: model changed: spark up chat")


def test_events_become_lines_with_the_time_since_the_beginning() -> None:
    events = [
        {"event": "log", "text": "supervised tokens: 1234", "time": 100.0},
        {"event": "progress", "done": 0, "total": 40, "unit": "steps", "time": 101.0},
        {"event": "progress", "done": 20, "total": 40, "unit": "steps", "time": 111.0},
        {"event": "metric", "name": "loss", "value": 2.5, "step": 20, "time": 111.0},
        {"event": "checkpoint", "step": 20, "time": 112.0},
    ]
    assert [line.strip() for line in EventLines().lines(events)] == [
        "0.0 s  supervised tokens: 1234",
        "1.0 s  0/40 steps",
        "11 s  20/40 steps, 2/s, 10 s left",
        "11 s  loss 2.5 at step 20",
        "12 s  checkpoint at step 20",
    ]


def test_the_line_that_a_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps({"event": "checkpoint", "step": 1}) + '\n{"event": "chec')
    assert read_events(path) == [{"event": "checkpoint", "step": 1}]


def test_a_loss_curve_falls_from_a_high_block_to_a_low_one() -> None:
    events = [{"event": "metric", "name": "loss", "value": 10.0 - n / 10, "step": n} for n in range(100)]
    curve = curve_text(events, points=5)
    assert curve == "loss █▆▅▃▁ first 10, lowest 0.1, last 0.1"


def test_a_loss_that_is_not_finite_does_not_hide_the_others() -> None:
    events = [{"event": "metric", "name": "loss", "value": value} for value in (2.0, None, float("nan"), 1.0)]
    assert curve_text(events) == "loss █▁ first 2, lowest 1, last 1"
