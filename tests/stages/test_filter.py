import pytest
from stage_bench import Bench, Ran, step
from stage_rules import calls

from spark_build.core.errors import BadInput, StageFailed


def ingested(bench: Bench, *texts: str) -> Ran:
    for number, text in enumerate(texts):
        bench.write(f"data/{number:05d}.txt", text)
    return bench.ingest()


def texts(ran: Ran) -> list[str]:
    return [row["text"] for row in ran.rows()]


def test_a_gate_drops_with_reason_score_and_threshold(bench: Bench) -> None:
    ran = bench.filter(ingested(bench, "short", "x" * 30), step("Long", {"most": 20}, label="brief"))
    assert texts(ran) == ["short"]
    (row,) = ran.dataset.rejected()
    assert (row["gate"], row["reason"], row["score"], row["threshold"]) == ("brief", "long", 30.0, 20.0)
    assert (row["source"], row["split"]) == ("00001.txt", "train")
    assert (ran.output / "rejected" / "filter-00000.parquet").exists()


def test_figures_of_every_gate_are_noted(bench: Bench) -> None:
    ran = bench.filter(ingested(bench, "short", "x" * 30), step("Long", {"most": 20}, label="brief"))
    assert ran.outcome.notes["gates"]["brief"] == {
        "in": 2, "dropped": 1, "replaced": 0, "reasons": {"long": 1}, "flagged": {}, "counts": {"units": 5},
    }  # fmt: skip
    assert ran.outcome.metrics == {"items": 1.0, "items.train": 1.0, "rejected": 0.5}


def test_raising_a_threshold_measures_nothing_again(bench: Bench) -> None:
    dataset = ingested(bench, "short", "x" * 30, "y" * 50)
    bench.filter(dataset, step("Long", {"most": 20}))
    before = calls["measure"]
    ran = bench.filter(dataset, step("Long", {"most": 40}))
    assert len(texts(ran)) == 2
    assert (ran.handled, ran.remembered, calls["measure"]) == (0, 3, before)


def test_another_param_measures_again(bench: Bench) -> None:
    dataset = ingested(bench, "short", "x" * 30)
    bench.filter(dataset, step("Long"))
    assert bench.filter(dataset, step("Long", {"unit": "words"})).handled == 2


def test_measure_can_not_read_what_decides(bench: Bench) -> None:
    with pytest.raises(StageFailed, match=r"'Peeking' failed .*'most' only decides; measure can't read it"):
        bench.filter(ingested(bench, "x"), step("Peeking"))


def test_each_gate_sees_what_the_earlier_ones_left(bench: Bench) -> None:
    dataset = ingested(bench, "call 12345", "x" * 30, "plain")
    ran = bench.filter(dataset, step("Long"), step("Masked"), step("Long", {"most": 9}, label="again"))
    assert texts(ran) == ["plain"]
    assert [(r["gate"], r["id"] in {x["id"] for x in dataset.rows()}) for r in ran.dataset.rejected()] == [
        ("again", True), ("Long", True),
    ]  # fmt: skip
    notes = ran.outcome.notes["gates"]
    assert [notes[name]["in"] for name in ("Long", "Masked", "again")] == [3, 2, 2]


def test_a_replaced_field_is_what_comes_out(bench: Bench) -> None:
    ran = bench.filter(ingested(bench, "call 12345"), step("Masked"))
    assert texts(ran) == ["call #####"]
    assert ran.outcome.notes["gates"]["Masked"]["counts"] == {"digit": 5}
    assert ran.outcome.notes["gates"]["Masked"]["replaced"] == 1


def test_an_item_that_can_not_be_measured_is_rejected_and_remembered_as_such(bench: Bench) -> None:
    dataset = ingested(bench, "good", "unmeasurable")
    ran = bench.filter(dataset, step("Long"))
    assert [(r["gate"], r["reason"]) for r in ran.dataset.rejected()] == [("Long", "unmeasurable")]
    assert bench.filter(dataset, step("Long")).handled == 0


def test_a_crash_of_a_gate_names_gate_item_and_error(bench: Bench) -> None:
    with pytest.raises(
        StageFailed, match=r"'div' \(Dividing\) failed on item .* of 00000.txt.*ZeroDivisionError"
    ):
        bench.filter(ingested(bench, "x"), step("Dividing", label="div"))


def test_a_measure_that_is_no_json_is_refused(bench: Bench) -> None:
    with pytest.raises(StageFailed, match="what it found is not JSON"):
        bench.filter(ingested(bench, "x"), step("Infinite"))


def test_gates_that_leave_nothing_say_which_dropped_how_many(bench: Bench) -> None:
    with pytest.raises(BadInput, match=r"the gates left none of 2 items: 'brief' dropped 2 of 2 \(long 2\)"):
        bench.filter(ingested(bench, "aaa", "bbb"), step("Long", {"most": 1}, label="brief"))


def test_a_gate_on_a_field_that_is_not_there_is_refused(bench: Bench) -> None:
    with pytest.raises(
        BadInput, match=r"'Long' reads the field 'txt', which is not there\n  fix: the dataset has text"
    ):
        bench.filter(ingested(bench, "aaa"), step("Long", {"fields": ["txt"]}))


def test_a_gate_that_finds_no_text_is_refused(bench: Bench) -> None:
    bench.write("data/a.jsonl", '{"n": 1}\n')
    with pytest.raises(BadInput, match="'Alike' finds no field to read"):
        bench.filter(bench.ingest(), step("Alike"))


def test_a_split_left_empty_is_told(bench: Bench) -> None:
    bench.write("data/train/a.txt", "x")
    bench.write("data/test/b.txt", "y" * 99)
    ran = bench.filter(bench.ingest(splits={"keep": True}), step("Long"))
    assert ran.heard.of("log") == ["warning: the gates left nothing of split 'test'"]


def test_adding_items_measures_these_alone_and_gives_what_a_cold_build_gives(bench: Bench) -> None:
    gates = [step("Masked"), step("Long"), step("Alike", {"threshold": 0.6})]
    bench.filter(ingested(bench, *(f"text {n % 40} and {n}" for n in range(100))), *gates)
    dataset = ingested(bench, *(f"text {n % 40} and {n}" for n in range(110)))
    warm = bench.filter(dataset, *gates)
    assert (warm.handled, warm.remembered) == (10, 100)
    cold = bench.cold().filter(dataset, *gates)
    assert cold.handled == 110
    assert warm.tree == cold.tree


# the join


def test_of_items_that_are_alike_one_is_kept_and_named(bench: Bench) -> None:
    ran = bench.filter(ingested(bench, "a b c d", "a b c e", "x y z"), step("Alike"))
    assert len(texts(ran)) == 2
    (row,) = ran.dataset.rejected()
    assert (row["reason"], row["score"], row["threshold"]) == ("near_duplicate", 0.6, 0.5)
    assert row["matched"] in {r["id"] for r in ran.rows()}


def test_the_very_same_content_is_a_duplicate_of_similarity_one(bench: Bench) -> None:
    ran = bench.filter(ingested(bench, "a b c d", "a b c d"), step("Alike", {"threshold": 0.9}))
    (row,) = ran.dataset.rejected()
    assert (row["reason"], row["score"], row["source"]) == ("duplicate", 1.0, "00001.txt")
    assert row["matched"] == ran.rows()[0]["id"]


def test_what_is_alike_only_to_a_dropped_item_stays(bench: Bench) -> None:
    """A chain a-b-c where a and c are not alike: whichever end comes first, dropped items drop nobody."""
    chain = ["a b c d e f", "c d e f g h", "e f g h i j"]
    ran = bench.filter(ingested(bench, *chain), step("Alike", {"threshold": 0.5}))
    kept = {frozenset(text.split()) for text in texts(ran)}
    for row in ran.dataset.rejected():
        assert row["matched"] in {r["id"] for r in ran.rows()}
    alike = [(one, two) for one in kept for two in kept if one < two]
    assert not alike
    assert len(kept) in (1, 2)


def test_a_duplicate_of_a_dropped_item_names_the_kept_one(bench: Bench) -> None:
    dataset = ingested(bench, "a b c d", "a b c e", "a b c d", "a b c e")
    ran = bench.filter(dataset, step("Alike"))
    (kept,) = ran.rows()
    assert {row["matched"] for row in ran.dataset.rejected()} == {kept["id"]}


def test_priority_says_which_one_stays(bench: Bench) -> None:
    dataset = ingested(bench, "a b c", "a b c d", "a b c d e")
    assert texts(bench.filter(dataset, step("LongestFirst"))) == ["a b c d e"]


def test_the_order_of_arrival_decides_nothing(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    words = ["a b c d", "a b c e", "b c d e", "x y", "x z", "p q r s t"]
    other = Bench(tmp_path_factory.mktemp("other"))
    one = bench.filter(ingested(bench, *words), step("Alike", {"threshold": 0.3}))
    two = other.filter(ingested(other, *reversed(words)), step("Alike", {"threshold": 0.3}))
    assert set(texts(one)) == set(texts(two))


def test_a_lower_threshold_of_a_join_signs_nothing_again(bench: Bench) -> None:
    dataset = ingested(bench, "a b c d", "a b c e", "x y z")
    bench.filter(dataset, step("Alike", {"threshold": 0.9}))
    before = dict(calls)
    ran = bench.filter(dataset, step("Alike", {"threshold": 0.5}))
    assert len(texts(ran)) == 2
    assert ran.handled == 0
    assert calls["signature"] == before["signature"]
    assert calls["similarity"] == before["similarity"]


def test_items_without_the_field_are_not_duplicates_of_each_other(bench: Bench) -> None:
    bench.write("data/a.jsonl", '{"text": "x", "n": 1}\n{"n": 2}\n{"n": 3}\n')
    assert len(bench.filter(bench.ingest(), step("Alike")).rows()) == 3


def test_an_item_without_a_signature_is_rejected_with_its_copies(bench: Bench) -> None:
    ran = bench.filter(ingested(bench, "unsignable", "unsignable", "fine"), step("Alike"))
    assert texts(ran) == ["fine"]
    assert [row["reason"] for row in ran.dataset.rejected()] == ["unsignable", "unsignable"]


def test_candidates_out_of_order_are_a_bug_that_is_told(bench: Bench) -> None:
    with pytest.raises(StageFailed, match="BUG: 'Disorderly' gave candidates out of order"):
        bench.filter(ingested(bench, "a b", "a c", "a d"), step("Disorderly"))


def test_a_large_cluster_is_told_with_examples(bench: Bench) -> None:
    dataset = ingested(bench, *(f"the same boilerplate text every time {n}" for n in range(15)), "another")
    ran = bench.filter(dataset, step("Alike"))
    (cluster,) = ran.outcome.notes["gates"]["Alike"]["large_clusters"]
    assert cluster["items"] == 15
    assert len(cluster["examples"]) == 3
    assert any("found 15 items alike" in text for text in ran.heard.of("log"))
