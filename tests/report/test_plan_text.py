"""What `spark plan` and `spark why` say."""

from typing import Any

import pytest

from spark_build.core.record import Record
from spark_build.engine.explain import KINDS, Reason
from spark_build.engine.plan import Plan, StagePlan
from spark_build.report.causes import TEXTS, cause_text, causes_text
from spark_build.report.text import plan_text, summary_text


def record(stage: str = "dataset:tickets/filter", **changed: Any) -> Record:
    facts: dict[str, Any] = {
        "key": "a" * 64,
        "loose_key": "b" * 64,
        "manifest": {
            "kind": "filter",
            "revision": 1,
            "steps": [{"rule": "near_duplicates", "revision": 2, "params": {"threshold": 0.9}}],
            "inputs": {"dataset": {"data/train-*": "c" * 64}},
            "libraries": {"pyarrow": "25.0"},
        },
        "output": "d" * 64,
        "parts": {},
        "size": 12_300_000,
        "seconds": 1.9,
        "started": "2026-11-20T12:00:00+00:00",
    }
    return Record(stage=stage, **{**facts, **changed})


THRESHOLD = Reason("param", "gates.near-dup.threshold", 0.9, 0.8, "Sparkfile.yaml:22:55")
CHANGED = Plan(
    (
        StagePlan("dataset:tickets/ingest", "fresh", "a" * 64, "b" * 64),
        StagePlan("dataset:tickets/filter", "run", "c" * 64, reasons=(THRESHOLD,), seconds=1.9),
        StagePlan(
            "dataset:tickets/version",
            "maybe",
            reasons=(Reason("upstream", "dataset:tickets/filter"),),
            seconds=242.0,
        ),
    )
)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (
            Reason("param", "recipes.sft.learning_rate", 2e-4, 1e-4, "Sparkfile.yaml:31:52"),
            "learning_rate 2e-4 → 1e-4 at Sparkfile.yaml:31:52",
        ),
        (Reason("param", "recipes.sft.learning_rate", 2e-4, 1e-4), "recipes.sft.learning_rate 2e-4 → 1e-4"),
        (Reason("param", "recipes.sft.betas.1", 0.9, None, "S:1:2"), "betas.1 0.9 → unset at S:1:2"),
        (
            Reason("input", "data/tickets", added=("b.md", "c.md"), changed=("a.md",)),
            "data/tickets: 2 added, 1 changed (a.md)",
        ),
        (Reason("input", "data/tickets", added=("b.md",)), "data/tickets: 1 added (b.md)"),
        (
            Reason("input", "data/tickets", removed=tuple(f"{n}.md" for n in range(15))),
            "data/tickets: 15 removed (0.md, 1.md, 2.md and 12 more)",
        ),
        (Reason("input", "data/tickets"), "data/tickets changed"),
        (Reason("input", "model:x@v1", "a" * 64, "b" * 64), "model:x@v1 aaaaaaaaaaaa → bbbbbbbbbbbb"),
        (Reason("param", "datasets.d.gates", ["a", "b"], ["b", "a"], "S:4:9"), "order of gates a, b → b, a at S:4:9"),
        (Reason("param", "datasets.d.gates", ["a", "b"], ["b", "c"], "S:4:9"), "gates: c added, a removed at S:4:9"),
        (Reason("library", "transformers", "5.22", "5.23"), "transformers 5.22 → 5.23"),
        (Reason("library", "rensa", None, "0.5"), "rensa not there → 0.5"),
        (Reason("rule", "near_duplicates", 3, 4), "rule revision 3 → 4 (near_duplicates)"),
        (Reason("rule", "./g.py:Mine", changed=("g.py",)), "rule ./g.py:Mine: 1 changed (g.py)"),
        (Reason("new", "model:x/train", at="Sparkfile.yaml:9:3"), "never built"),
        (Reason("env", "LANG"), "env LANG changed"),
        (Reason("tool", "gcc", "gcc 13.2", "gcc 14.1"), "gcc gcc 13.2 → gcc 14.1"),
        (Reason("numerics", "threads", 1, 2), "numerics threads 1 → 2"),
        (Reason("upstream", "dataset:tickets/filter"), "dataset:tickets/filter gave something else"),
        (Reason("missing", "model:x/train", "a" * 64), "its result is in no store"),
        (Reason("corrupt", "model:x/train", "a" * 64), "its result is damaged in the store"),
        (Reason("runtime", "--again", new="model:x/train"), "asked for with --again"),
    ],
)  # fmt: skip
def test_a_cause_is_told_in_the_words_of_the_design(reason: Reason, text: str) -> None:
    assert cause_text(reason) == text


def test_every_kind_of_cause_has_words() -> None:
    assert set(TEXTS) == set(KINDS)


def test_a_value_that_differs_in_type_alone_is_told_apart() -> None:
    assert cause_text(Reason("param", "tag", 1, "1")) == 'tag 1 → "1"'


def test_long_values_are_shown_from_where_they_differ() -> None:
    text = cause_text(Reason("param", "prompt", "x" * 200 + "old", "x" * 200 + "new"))
    assert "old → …" in text
    assert text.endswith("new")
    assert len(text) < 100


def test_a_file_name_can_not_steer_the_terminal() -> None:
    assert "\x1b" not in cause_text(Reason("input", "data", changed=("\x1b[2Ja.md",)))


def test_a_plan_names_state_stage_cause_and_time() -> None:
    assert plan_text(CHANGED, False) == (
        "run      dataset:tickets/filter   threshold 0.9 → 0.8 at Sparkfile.yaml:22:55  (1.9 s)\n"
        "maybe    dataset:tickets/version  behind dataset:tickets/filter  (4 min 2 s)\n"
        "fresh    1 other stage\n"
        "\n"
        "1 to run, 1 maybe, 1 fresh; 1.9 s of work; 4 min 2 s more at most"
    )


def test_verbose_shows_fresh_stages_by_name() -> None:
    assert "fresh    dataset:tickets/ingest\n" in plan_text(CHANGED, False, verbose=True)


def test_a_fresh_plan_is_one_line() -> None:
    plan = Plan((StagePlan("model:x/train", "fresh", "a" * 64, "b" * 64),))
    assert plan_text(plan, False) == "nothing to do: 1 stage is fresh"


def test_drift_is_shown_though_the_stage_is_fresh() -> None:
    plan = Plan((StagePlan("model:x/train", "fresh", drift=("transformers 5.22 → 5.23",)),))
    assert "model:x/train  drift: transformers 5.22 → 5.23 (--strict runs it again)" in plan_text(plan, False)


def test_a_restore_says_how_much_is_fetched() -> None:
    plan = Plan((StagePlan("model:x/train", "restore", bytes=12_300_000),))
    assert plan_text(plan, False).splitlines()[0] == "restore  model:x/train  12.3 MB"


def test_many_causes_are_counted_not_dropped() -> None:
    reasons = tuple(Reason("param", f"p{n}", 1, 2) for n in range(9))
    text = plan_text(Plan((StagePlan("model:x/train", "run", reasons=reasons),)), False)
    assert "and 5 more causes" in text
    assert "p8 1 → 2" in plan_text(
        Plan((StagePlan("model:x/train", "run", reasons=reasons),)), False, verbose=True
    )


def test_stages_that_were_never_timed_are_said_to_be() -> None:
    plan = Plan((StagePlan("a/train", "run", seconds=60.0), StagePlan("b/train", "run")))
    assert summary_text(plan) == "2 to run; 1 min of work and 1 never timed"


def test_a_maybe_tells_its_own_causes_before_what_it_waits_for() -> None:
    waits = [Reason("upstream", f"dataset:{n}/version") for n in "abc"]
    new = Reason("library", "rensa", "0.4", "0.5")
    assert causes_text([*waits, THRESHOLD, new], "maybe") == [
        "threshold 0.9 → 0.8 at Sparkfile.yaml:22:55",
        "rensa 0.4 → 0.5",
        "behind dataset:a/version, dataset:b/version, dataset:c/version",
    ]


def test_a_single_cause_and_what_is_waited_for_share_a_line() -> None:
    reasons = [Reason("new", "model:x/train"), Reason("upstream", "dataset:a/version")]
    assert causes_text(reasons, "maybe") == ["never built, behind dataset:a/version"]


def test_colour_changes_no_word() -> None:
    import re

    assert re.sub(r"\x1b\[\d+m", "", plan_text(CHANGED, True)) == plan_text(CHANGED, False)
