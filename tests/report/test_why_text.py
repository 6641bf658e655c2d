"""`spark why` as text: chains, each link once; what a key is made of."""

from msgspec.structs import replace

from spark_build.core.record import Record
from spark_build.engine.chain import Cause, Link
from spark_build.engine.explain import Reason
from spark_build.engine.plan import StagePlan
from spark_build.report.why import Why, why_text

FILTER, VERSION, TRAIN = "dataset:tickets/filter", "dataset:tickets/version", "model:x/train"
THRESHOLD = Reason("param", "threshold", 0.9, 0.8, at="Sparkfile.yaml:22:55")
RECORD = Record(
    "a" * 64, "b" * 64, FILTER,
    {
        "kind": "filter",
        "steps": [{"rule": "near_duplicates", "revision": 2, "params": {"threshold": 0.9, "field": None}}],
        "inputs": {"dataset": {"data/train-*": "c" * 64}},
        "libraries": {"pyarrow": "25.0"},
    },
    "d" * 64, {"data/train-*": "c" * 64}, 12_300_000, 1.9, "2026-11-20T12:00:00+00:00",
)  # fmt: skip


def told(planned: StagePlan, chain: Link | None = None, **more: object) -> str:
    return why_text(
        Why(planned.stage, planned, None, chain, **{"ran": None, "record": None, "builds": {}, **more})
    )  # type: ignore[arg-type]


def test_a_maybe_is_followed_up_to_where_it_begins() -> None:
    behind = Link(FILTER, "run", None, None, (Cause(THRESHOLD),))
    chain = Link(VERSION, "maybe", None, None, (Cause(Reason("upstream", FILTER), behind),))
    assert told(StagePlan(VERSION, "maybe"), chain) == (
        "maybe dataset:tickets/version\n"
        "  behind run dataset:tickets/filter\n"
        "    threshold 0.9 → 0.8 at Sparkfile.yaml:22:55\n"
        "  there is no earlier result"
    )


def test_what_keeps_it_from_being_planned_stands_line_by_line() -> None:
    text = why_text(
        Why(TRAIN, None, "Sparkfile.yaml:4:5: no such folder\n  fix: make it", None, None, None, {})
    )
    assert "  can't be planned here: Sparkfile.yaml:4:5: no such folder\n    fix: make it\n" in text


def test_what_two_stages_share_is_told_once() -> None:
    base = Link(FILTER, "run", None, None, (Cause(THRESHOLD),))
    both = tuple(
        Cause(Reason("upstream", s), Link(s, "maybe", None, None, (Cause(Reason("upstream", FILTER), base),)))
        for s in ("dataset:a/version", "dataset:b/version")
    )
    text = told(StagePlan(TRAIN, "maybe"), Link(TRAIN, "maybe", None, None, both))
    assert text.count("threshold") == 1
    assert f"behind run {FILTER} (see above)" in text


def test_a_result_that_changed_says_when_and_in_which_build() -> None:
    newer = replace(RECORD, key="e" * 64)
    behind = Link(FILTER, None, RECORD, newer, (Cause(THRESHOLD),))
    chain = Link(VERSION, "run", RECORD, None, (Cause(Reason("upstream", FILTER), behind),))
    text = told(StagePlan(VERSION, "run"), chain, builds={(FILTER, newer.key): "b1"})
    assert f"  {FILTER} gave something else on 2026-11-20 12:00 in build b1\n    threshold" in text


def test_every_file_is_named_where_the_one_line_leaves_some_out() -> None:
    reason = Reason("input", "data", added=("z.md",), changed=tuple(f"{n}.md" for n in range(30)), at="S:1:2")
    text = told(StagePlan(FILTER, "run"), Link(FILTER, "run", None, None, (Cause(reason),)))
    for line in ("data: 1 added, 30 changed (0.md, 1.md, 2.md and 27 more)", "named at S:1:2", "added z.md",
                 "changed 19.md", "and 10 more changed"):  # fmt: skip
        assert line in text


def test_a_fresh_stage_lists_what_its_key_holds_and_why_it_ran() -> None:
    older = replace(RECORD, started="2026-11-19T12:00:00+00:00")
    ran = Link(FILTER, None, older, RECORD, (Cause(THRESHOLD),))
    text = told(
        StagePlan(FILTER, "fresh", record=RECORD), record=RECORD, ran=ran, builds={(FILTER, "a" * 64): "b2"}
    )
    assert "nothing that counts has changed" in text
    assert (
        "last ran 2026-11-20 12:00 in build b2, after 2026-11-19 12:00; since then:\n  threshold 0.9 → 0.8"
        in text
    )
    for fact in ("near_duplicates revision 2", "threshold 0.9", "input dataset data/train-* cccccccccccc",
                 "library pyarrow 25.0", "it took 1.9 s, 12.3 MB"):  # fmt: skip
        assert fact in text


def test_a_shared_result_says_where_it_was_built() -> None:
    planned = StagePlan("dataset:other/filter", "fresh", record=RECORD)
    assert f" as {FILTER}, for the first time" in told(planned, record=RECORD)


def test_without_a_plan_it_is_told_from_records() -> None:
    text = why_text(Why(FILTER, None, "data: not there", None, None, RECORD, {}))
    assert "can't be planned here: data: not there" in text
    assert "near_duplicates revision 2" in text
