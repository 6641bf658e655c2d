"""Where gates compare items, a filter that goes on from its last result gives what it gives from nothing."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain import Chain
from stage_bench import Bench, step
from stage_rules import calls

from spark_build.core.errors import BadInput
from spark_build.core.job import JobStep
from spark_build.core.values import replace
from spark_build.stages import entering, filter, filter_changes, join_gate, shard_writer
from spark_build.stages.entering import Entering
from spark_build.stages.joining import Joining
from spark_build.stages.splicing import DoesNotFit

WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "that",
    "have",
    "it",
    "for",
    "not",
    "on",
    "with",
    "he",
    "as",
    "you",
    "do",
    "42",
]
EXACT = step(
    "exact", {"fields": ["text"], "ignore": ["case"]}, "spark_build.gates.exact_duplicates:ExactDuplicates"
)
NEAR = step(
    "near",
    {"threshold": 0.5, "shingle": 1, "fields": ["text"]},
    "spark_build.gates.near_duplicates:NearDuplicates",
)
ALIKE, LONG, MASKED = step("Alike", {"threshold": 0.7}), step("Long", {"most": 55}), step("Masked")
CHAINS = {
    "a join": [ALIKE],
    "signatures in bands": [NEAR],
    "between item gates": [MASKED, ALIKE, LONG],
    "behind a flag": [step("Long", {"most": 45, "action": "flag"}), step("LongestFirst", {"threshold": 0.6})],
    "two joins": [EXACT, LONG, NEAR],
    "three, and gates between": [EXACT, MASKED, ALIKE, LONG, step("LongestFirst", {"threshold": 0.4})],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_writer, "TARGET_BYTES", 600)
    monkeypatch.setattr(join_gate, "LARGE_CLUSTER_ITEMS", 2)
    monkeypatch.setattr(join_gate, "LARGE_CLUSTER_SHARE", 0.03)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """'' for each time that the filter went on from its last result, and else why not."""
    told: list[str] = []

    def watched(*args: Any) -> Any:
        try:
            outcome = filter_changes.filter_changes(*args)
        except DoesNotFit as why:
            told.append(str(why))
            raise
        told.append("")
        return outcome

    monkeypatch.setattr(filter, "filter_changes", watched)
    return told


def text_of(draw: random.Random) -> str:
    """One of a few themes with some words changed, so that clusters overlap; some can't be signed."""
    theme = random.Random(draw.randrange(14))
    words = [theme.choice(WORDS) for _ in range(theme.randrange(5, 14))]
    for _ in range(draw.randrange(3)):
        words[draw.randrange(len(words))] = draw.choice(WORDS)
    words += ["unsignable"] if draw.random() < 0.02 else []
    return " ".join(words).upper() if draw.random() < 0.1 else " ".join(words)


def path_of(number: int) -> str:
    return f"data/{'test/' if number % 4 == 3 else ''}{number % 3}/{number:03d}.txt"


def edit(bench: Bench, draw: random.Random, there: set[str]) -> None:
    for _ in range(draw.randrange(1, 6)):
        kind = draw.choice(["new", "new", "edited", "gone", "copied"])
        if kind == "new":
            bench.write(path := path_of(draw.randrange(200)), text_of(draw))
            there.add(path)
            continue
        path = draw.choice(sorted(there))
        if kind == "edited":
            bench.write(path, text_of(draw))
        elif kind == "gone":
            (bench.project / path).unlink()
            there.discard(path)
        else:
            text = (bench.project / path).read_text()
            bench.write(to := path_of(draw.randrange(200)), f"{text} {draw.choice(WORDS)}")
            there.add(to)


@pytest.mark.parametrize("gates", CHAINS)
@pytest.mark.parametrize("seed", range(2))
def test_any_edits_give_what_a_cold_build_gives(
    tmp_path: Path, ways: list[str], gates: str, seed: int
) -> None:
    bench, draw = Bench(tmp_path), random.Random(f"{gates} {seed}")
    there = {path_of(number) for number in range(50)}
    for path in sorted(there):
        bench.write(path, text_of(draw))
    chain = Chain(bench, CHAINS[gates])
    long_way = chain.cold(goes_on=False)
    for _ in range(6):
        built, whole = chain.build(), long_way.build()
        assert built.told == chain.cold().build().told
        assert built.handled == whole.handled
        edit(bench, draw, there)
    assert ways.count("") >= 3, ways


def built(bench: Bench, *gates: JobStep) -> Chain:
    for number in range(40):
        bench.write(path_of(number), " ".join(random.Random(number).sample(WORDS, 9)))
    chain = Chain(bench, gates)
    chain.build()
    return chain


def test_the_kept_one_of_a_pair_may_be_another_when_a_smaller_one_comes(
    bench: Bench, ways: list[str]
) -> None:
    chain = built(bench, EXACT)
    for number in range(5):  # one of them has a smaller digest than what is there
        bench.write(f"data/new-{number}.txt", (bench.project / path_of(7)).read_text().title()[number:])
        assert chain.build().told == chain.cold().build().told
    assert ways == [""] * 5


def test_only_what_changed_is_asked_for(bench: Bench, ways: list[str]) -> None:
    chain = built(bench, ALIKE, step("LongestFirst", {"threshold": 0.9}))
    bench.write(path_of(7), "another text")
    calls.clear()
    assert chain.build().handled == [1, 1]
    assert calls["signature"] == 2  # one by each gate
    assert ways == [""]


def test_where_it_is_forgotten_what_came_in_all_is_read_again(bench: Bench, ways: list[str]) -> None:
    chain = built(bench, ALIKE)
    shutil.rmtree(bench.store / "memo" / entering.operation_of(bench.job("filter", [ALIKE]), 0))
    for text in ("another text", "and another"):
        bench.write(path_of(7), text)
        built_ = chain.build()
        assert built_.handled == [1, 1]
        assert built_.told == chain.cold().build().told
    assert ways == ["what came into a gate that compares items is not remembered", ""]


def test_what_came_in_is_bound_to_the_shard_and_to_all_that_is_done_before(bench: Bench) -> None:
    jobs = [
        bench.job("filter", gates)
        for gates in ([ALIKE], [step("Alike", {"threshold": 0.8})], [MASKED, ALIKE], [LONG, ALIKE])
    ]
    jobs.append(replace(jobs[0], manifest={"code": "another"}))
    operations = {entering.operation_of(job, len(job.steps) - 1) for job in jobs}
    assert len(operations) == len(jobs)
    assert entering.operation_of(replace(jobs[0], manifest={"inputs": {"dataset": "x"}}), 0) in operations


@pytest.mark.parametrize("damage", [lambda v: v[:-1], lambda v: v + b"x", lambda v: v[20:], lambda v: b""])
def test_a_part_that_is_none_is_not_taken(damage: Callable[[bytes], bytes]) -> None:
    whole = Entering.unknown(9)
    whole.note(range(2, 8), [Joining(n, "id", "source", bytes([n]) * 32, -n / 2) for n in (3, 5)])
    part = whole.part(1, 7)
    again = Entering.of_part(part, 7)
    assert again is not None
    assert again.state.tolist() == [0, 1, 2, 1, 2, 1, 1]
    assert [item.digest for item in again.joining(np.array([2, 4]), [("a", "s"), ("b", "s")])] == [
        bytes([3]) * 32,
        bytes([5]) * 32,
    ]
    assert Entering.of_part(damage(part), 7) is None


def test_a_finding_that_may_not_be_ends_the_build_either_way(bench: Bench, ways: list[str]) -> None:
    chain = built(bench, step("Alike", {"threshold": 0.95, "action": "fail"}))
    bench.write("data/copy.txt", (bench.project / path_of(7)).read_text())
    for build in (chain.build, chain.cold().build):
        with pytest.raises(BadInput, match="1 item not pass"):
            build()
    assert ways == ["an item that may not be"]


def test_flags_of_a_gate_that_compares_items_take_the_long_way(bench: Bench, ways: list[str]) -> None:
    chain = built(bench, step("Alike", {"threshold": 0.5, "action": "flag"}), LONG)
    bench.write(path_of(7), "another text")
    assert chain.build().told == chain.cold().build().told
    assert ways == ["a gate that compares items and flags them"]
