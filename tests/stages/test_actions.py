"""What becomes of what a gate finds: dropped, flagged, or the end of the build."""

import pytest
from stage_bench import Bench, Ran, step
from stage_rules import calls

from spark_build.contract import Item
from spark_build.contract.items import flags_in
from spark_build.core.errors import BadInput
from spark_build.stages.gating import Candidate, rejection


def ingested(bench: Bench, *texts: str) -> Ran:
    for number, text in enumerate(texts):
        bench.write(f"data/{number:05d}.txt", text)
    return bench.ingest()


def flags(ran: Ran) -> dict[str, list[dict[str, object]]]:
    return {row["source"]: found for row in ran.rows() if (found := flags_in(row["meta"]))}


def test_a_flagged_item_stays_in_its_place_and_its_meta_tells_what_was_found(bench: Bench) -> None:
    dataset = ingested(bench, "short", "x" * 30, "end")
    ran = bench.filter(dataset, step("Long", {"most": 20, "action": "flag"}, label="brief"))
    assert [row["id"] for row in ran.rows()] == [row["id"] for row in dataset.rows()]
    found = {"gate": "brief", "reason": "long", "score": 30.0, "threshold": 20.0}
    assert flags(ran) == {"00001.txt": [found]}
    assert list(ran.dataset.rejected()) == []


def test_a_flagged_duplicate_tells_the_item_that_it_is_like(bench: Bench) -> None:
    dataset = ingested(bench, "a b c d", "a b c d e", "another text")
    ran = bench.filter(dataset, step("Alike", {"threshold": 0.7, "action": "flag"}))
    ((flag,),) = flags(ran).values()
    ids = {row["id"] for row in ran.rows()}
    assert (flag["reason"], flag["score"], flag["threshold"]) == ("near_duplicate", 0.8, 0.7)
    assert flag["matched"] in ids
    assert len(ids) == 3


def test_findings_of_several_gates_stand_one_after_the_other(bench: Bench) -> None:
    flag = {"action": "flag"}
    ran = bench.filter(
        ingested(bench, "x" * 30, "y"), step("Long", flag, label="a"), step("Long", flag, label="b")
    )
    ((first, second),) = flags(ran).values()
    assert (first["gate"], second["gate"]) == ("a", "b")


def test_what_stood_in_the_meta_is_kept() -> None:
    meta = {"author": "Ann", "flagged_by": "a reader"}
    candidate = Candidate(Item("id", "a.md", "train", {}, meta), 0)
    flagged = candidate.flagged(rejection(candidate, step("Long"), "long")).item.meta
    assert flagged == {"author": "Ann", "flagged_by": ["a reader", {"gate": "Long", "reason": "long"}]}
    assert [flag["reason"] for flag in flags_in(flagged)] == ["long"]


def test_figures_tell_how_many_were_flagged(bench: Bench) -> None:
    ran = bench.filter(ingested(bench, "short", "x" * 30, "y" * 40), step("Long", {"action": "flag"}))
    note = ran.outcome.notes["gates"]["Long"]
    assert (note["in"], note["dropped"], note["flagged"], note["reasons"]) == (3, 0, {"long": 2}, {})


def test_fail_ends_the_build_with_the_first_examples(bench: Bench) -> None:
    dataset = ingested(bench, "short", *("x" * (30 + n) for n in range(7)))
    with pytest.raises(BadInput) as told:
        bench.filter(dataset, step("Long", {"action": "fail"}, label="brief"))
    assert "'brief' lets 7 items not pass (action: fail): 00001.txt: long (score 30, threshold 20); " in str(
        told.value
    )
    assert "and 2 more" in str(told.value)
    assert "`drop` or `flag`" in str(told.value.fix)


def test_fail_passes_where_nothing_is_found(bench: Bench) -> None:
    ran = bench.filter(ingested(bench, "short"), step("Long", {"action": "fail"}))
    assert len(list(ran.rows())) == 1


@pytest.mark.parametrize("action", ["flag", "fail"])
def test_an_item_that_can_not_be_handled_is_rejected_whatever_the_action(bench: Bench, action: str) -> None:
    ran = bench.filter(ingested(bench, "good", "unmeasurable"), step("Long", {"action": action}))
    assert [row["reason"] for row in ran.dataset.rejected()] == ["unmeasurable"]


def test_another_action_measures_nothing_again(bench: Bench) -> None:
    dataset = ingested(bench, "short", "x" * 30)
    bench.filter(dataset, step("Long", {"action": "drop"}))
    before = calls["measure"]
    ran = bench.filter(dataset, step("Long", {"action": "flag"}))
    with pytest.raises(BadInput):
        bench.filter(dataset, step("Long", {"action": "fail"}))
    assert (ran.handled, calls["measure"]) == (0, before)
