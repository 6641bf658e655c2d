"""A stage that goes on from its last result gives, byte for byte, what it gives from nothing."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from chain import Chain
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from stage_bench import Bench, step

from spark_build.core.errors import SparkError
from spark_build.stages import filter, filter_changes, ingest, ingest_changes, shard_writer
from spark_build.stages.splicing import DoesNotFit

WORDS = ["ab", "cd", "12", "é", "e\u0301", "word", "another", "forbidden", "unmeasurable", "7", "long"]


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_writer, "TARGET_BYTES", 400)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which stages went on from their last result, and why others did not."""
    told: list[str] = []

    def watched(name: str, run: Any) -> Any:
        def call(*args: Any, **rest: Any) -> Any:
            try:
                outcome = run(*args, **rest)
            except DoesNotFit as why:
                told.append(f"{name}: {why}")
                raise
            told.append(name)
            return outcome

        return call

    monkeypatch.setattr(ingest, "ingest_changes", watched("ingest", ingest_changes.ingest_changes))
    monkeypatch.setattr(filter, "filter_changes", watched("filter", filter_changes.filter_changes))
    return told


def document(number: int, *more: str) -> str:
    draw = random.Random(str((number, more)))
    return " ".join(
        [
            f"document {number}",
            *(draw.choice(["the", "of", "and", "to", "in", "that", "have"]) for _ in range(20)),
            *more,
        ]
    )


def many(bench: Bench, count: int = 60) -> None:
    for number in range(count):
        bench.write(f"data/{number % 5}/{number:03d}.txt", document(number))


def same_as_cold(chain: Chain) -> None:
    assert chain.build().told == chain.cold().build().told


GATES = {
    "none": [],
    "one": [step("Long", {"most": 150})],
    "two": [step("Masked"), step("Long", {"most": 150}, label="again")],
    "three": [step("Long", {"most": 190}), step("Masked"), step("Long", {"most": 150})],
    "flagging": [step("Long", {"most": 140, "action": "flag"}), step("Long", {"most": 190})],
}  # fmt: skip


@pytest.mark.parametrize("gates", GATES)
def test_one_edited_file_is_one_item(bench: Bench, fits: list[str], gates: str) -> None:
    many(bench)
    chain = Chain(bench, GATES[gates])
    chain.build()
    bench.write("data/3/018.txt", document(18, "and more"))
    built = chain.build()
    assert set(built.handled) == {1}
    assert fits == ["ingest", "filter"][: len(built.handled)]
    assert built.told == chain.cold().build().told


@pytest.mark.parametrize(
    ("edits", "ingested"),
    [
        ({"data/3/018.txt": None}, 0),
        ({"data/3/018x.txt": "a new one"}, 1),
        ({"data/0/000.txt": "the first"}, 1),
        ({"data/4/059.txt": "the last"}, 1),
        ({"data/5/behind.txt": "behind the last", "data/5/c.txt": "and on", "data/5/d.txt": "d"}, 3),
        ({"data/3/018.txt": "x " * 90}, 1),
        ({f"data/0/{n:03d}.txt": f"{n} is another" for n in range(0, 40, 5)}, 8),
        ({"data/1/001.txt": None, "data/1/moved.txt": document(1)}, 1),
    ],
)  # fmt: skip
def test_additions_deletions_and_renames_fit(
    bench: Bench, fits: list[str], edits: dict[str, str | None], ingested: int
) -> None:
    many(bench)
    chain = Chain(bench, [step("Masked"), step("Long", {"most": 170})])
    chain.build()
    edit(bench, edits)
    assert chain.build().ingest.handled == ingested
    assert fits == ["ingest", "filter"]
    assert chain.last is not None
    assert chain.last.told == chain.cold().build().told


def test_untouched_shards_are_the_same_files(bench: Bench) -> None:
    many(bench)
    chain = Chain(bench, [step("Masked")])
    before = chain.build()
    bench.write("data/3/018.txt", document(18, "and more"))
    now = chain.build()
    assert before.filter is not None
    assert now.filter is not None
    for then, here in ((before.ingest, now.ingest), (before.filter, now.filter)):
        inodes = {f.stat().st_ino for f in (then.output / "data").iterdir()}
        new = [f for f in (here.output / "data").iterdir() if f.stat().st_ino not in inodes]
        assert len(inodes) > 4
        assert len(new) <= 2


def test_a_duplicate_that_comes_or_goes_takes_the_long_way_and_is_the_same(
    bench: Bench, fits: list[str]
) -> None:
    many(bench)
    chain = Chain(bench, [step("Long", {"most": 900})])
    chain.build()
    for text in (document(7), "no duplicate any more"):
        bench.write("data/0/000.txt", text)
        same_as_cold(chain)
    why = ["ingest: an id that is taken", "ingest: ids that others have, too"]
    assert [told for told in fits if told.startswith("ingest: ")] == why


def test_an_id_whose_pieces_were_all_dropped_is_taken_all_the_same(bench: Bench, fits: list[str]) -> None:
    many(bench, 12)
    bench.write("data/early.jsonl", json.dumps({"id": "dup", "text": "bad word bad word"}))
    chain = Chain(bench, transforms=[step("Words", {"words": 2}), step("Unless", {"word": "bad"})])
    chain.build()
    bench.write("data/late.jsonl", json.dumps({"id": "dup", "text": "good"}))
    same_as_cold(chain)
    assert fits == ["ingest: an id that is taken"]


def test_a_field_that_is_not_there_is_not_a_null(bench: Bench, fits: list[str]) -> None:
    many(bench, 12)
    bench.write("data/late.jsonl", json.dumps({"text": "t", "score": None}))
    chain = Chain(bench, transforms=[step("Scored")])
    chain.build()
    bench.write("data/early.jsonl", json.dumps({"text": "t"}))
    same_as_cold(chain)
    assert fits == ["ingest"]


def test_fields_come_in_one_order_whatever_transforms_they_went_through(
    bench: Bench, fits: list[str]
) -> None:
    many(bench, 12)
    row = {"score": 1, "text": "T", "title": "t"}
    bench.write("data/train/late.jsonl", json.dumps({**row, "id": "late"}))
    first = step("Upper", options={"only": "train"})  # it leaves the text behind the title
    chain = Chain(bench, transforms=[first, step("Named")])
    chain.build()
    bench.write("data/test/early.jsonl", json.dumps({**row, "id": "early"}))
    same_as_cold(chain)
    assert fits == ["ingest"]


def test_a_zero_that_changes_its_sign_is_a_change(bench: Bench, fits: list[str]) -> None:
    for number in range(12):
        bench.write(f"data/{number}.jsonl", json.dumps({"id": f"r{number}x", "text": "t", "x": 0.0}))
    chain = Chain(bench, [step("Long")])
    before = chain.build()
    bench.write("data/7.jsonl", json.dumps({"id": "r7x", "text": "t", "x": -0.0}))
    same_as_cold(chain)
    assert fits == ["ingest", "filter"]
    assert chain.last is not None
    assert chain.last.told != before.told


def test_a_type_that_changes_takes_the_long_way(bench: Bench, fits: list[str]) -> None:
    many(bench)
    bench.write("data/z.jsonl", json.dumps({"text": "t", "score": 1}))
    chain = Chain(bench)
    chain.build()
    for score in ("one", 2, None, [1], []):
        bench.write("data/z.jsonl", json.dumps({"text": "t", "score": score}))
        same_as_cold(chain)
    bench.write("data/z.jsonl", json.dumps({"text": "t"}))
    same_as_cold(chain)
    assert fits.count("ingest") == 1  # json by another reason, and json all the same


@pytest.mark.parametrize("kind", ["ingest", "filter"])
@pytest.mark.parametrize("damage", ["other bytes", "gone"])
def test_a_damaged_last_result_is_not_gone_on_from(
    bench: Bench, fits: list[str], kind: str, damage: str
) -> None:
    many(bench)
    chain = Chain(bench, [step("Long", {"most": 150})])
    built = chain.build()
    ran = built.ingest if kind == "ingest" else built.filter
    assert ran is not None
    bench.write("data/3/018.txt", "another text")
    new = Chain(bench, chain.gates, known=chain.hints())
    shard = sorted((ran.output / "data").iterdir())[1]
    shard.write_bytes(shard.read_bytes()[:-1] + b"x") if damage == "other bytes" else shard.unlink()
    assert new.build().told == chain.cold().build().told
    assert any("is not what it was" in told for told in fits)


def test_a_lost_memo_is_no_trouble(bench: Bench, fits: list[str]) -> None:
    many(bench)
    chain = Chain(bench, [step("Long", {"most": 150})])
    chain.build()
    shutil.rmtree(bench.store / "memo")
    bench.write("data/3/018.txt", "another text")
    built = chain.build()
    assert built.handled == [60, 60]
    assert built.told == chain.cold().build().told
    assert fits == [
        "ingest: how many records there were",
        "filter: what the gates found of an item that is gone",
    ]


def test_a_join_gate_sees_all_items(bench: Bench, fits: list[str]) -> None:
    many(bench, 12)
    chain = Chain(bench, [step("Alike", {"threshold": 0.9})])
    chain.build()
    bench.write("data/3/003.txt", document(4, "too"))
    same_as_cold(chain)
    assert fits == ["ingest", "filter"]


def edit(bench: Bench, edits: dict[str, str | None]) -> None:
    for path, text in edits.items():
        if text is None:
            (bench.project / path).unlink(missing_ok=True)
        else:
            bench.write(path, text)


# random sequences of edits

TEXTS = st.lists(st.sampled_from(WORDS), min_size=0, max_size=8).map(" ".join)
ROWS = st.fixed_dictionaries(
    {"text": TEXTS},
    optional={
        "id": st.sampled_from(["a", "a-2", "b", "x", "x#0", "x#1", "x#0-2", "é", 3, ""]),
        "score": st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1, 2.5]), st.just("high")),
        "chat": st.sampled_from([[], [{"role": "user", "content": "hi"}]]),
        "meta": st.just({"k": 1}),
    },
)
LINES = st.lists(st.one_of(ROWS.map(json.dumps), st.just("no json")), max_size=4).map("\n".join)
PATHS = [
    f"{folder}{name}" for folder in ("", "test/", "b/") for name in ("a.txt", "b.txt", "c.jsonl", "d.jsonl")
]
FILE = st.sampled_from(PATHS).flatmap(
    lambda p: st.tuples(st.just(f"data/{p}"), TEXTS if p.endswith(".txt") else LINES)
)
EDIT = st.one_of(
    st.lists(FILE, min_size=1, max_size=2).map(dict),
    st.sampled_from(PATHS).map(lambda path: {f"data/{path}": None}),
)
CASES = st.fixed_dictionaries(
    {
        "gates": st.lists(
            st.sampled_from(
                [
                    step("Long", {"most": 12}),
                    step("Long", {"most": 9, "action": "flag"}, label="flagged"),
                    step("Masked"),
                    step("Long", {"most": 4, "unit": "words"}, label="words"),
                    step("Alike", {"threshold": 0.8}),
                ]
            ),
            max_size=3,
        ),
        "transforms": st.sampled_from(
            [
                [],
                [],
                [step("Words", {"words": 2})],
                [step("Upper"), step("Words", {"words": 3})],
                [step("Words", {"words": 2}), step("Unless", {"word": "ab"})],
                [step("Scored")],
            ]
        ),
        "options": st.sampled_from(
            [
                {},
                {},
                {"splits": {"ratios": {"train": 0.7, "test": 0.3}}},
                {"splits": {"ratios": {"train": 0.6, "test": 0.4}, "group": "text"}},
                {"splits": {"ratios": {"train": 0.6, "test": 0.4}, "balance": "score"}},
                {"splits": {"at_least": {"train": 2}}},
                {"fields": {"text": "text", "score": "label"}},
                {"on_error": "fail"},
            ]
        ),
    }
)  # fmt: skip


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=[Phase.generate],
)
@given(case=CASES, edits=st.lists(EDIT, min_size=1, max_size=5))
def test_incremental_is_cold_over_any_edits(
    tmp_path_factory: pytest.TempPathFactory, case: dict[str, Any], edits: list[dict[str, str | None]]
) -> None:
    folder = tmp_path_factory.mktemp("chain")
    try:
        follow(folder, case, edits)
    finally:
        shutil.rmtree(folder)


def follow(folder: Path, case: dict[str, Any], edits: list[dict[str, str | None]]) -> None:
    bench = Bench(folder)
    for number in range(16):
        bench.write(f"data/base/{number:02d}.txt", f"word {number} " + "of " * (number % 5))
    chain = Chain(bench, **case)
    long_way = chain.cold(goes_on=False)
    for edits_at_once in [{}, *edits]:
        edit(bench, edits_at_once)
        results = [outcome_of(chain), outcome_of(long_way), outcome_of(chain.cold())]
        assert results[0][:1] == results[1][:1] == results[2][:1]
        assert results[0] == results[1]  # handled, too


def outcome_of(chain: Chain) -> tuple[Any, ...]:
    try:
        built = chain.build()
    except SparkError as error:
        return (str(error),)
    return built.told, built.handled
