"""Where gates compare items, a filter that goes on from its last result gives what it gives from nothing."""

import random
from pathlib import Path
from typing import Any

import pytest
from chain import Chain
from stage_bench import Bench, step

from spark_build.stages import filter, filter_changes, join_gate, shard_writer
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
@pytest.mark.parametrize("seed", range(3))
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
