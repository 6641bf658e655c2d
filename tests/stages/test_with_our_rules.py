"""Ingest, filter and version with the rules that come with spark build."""

import random
from pathlib import Path

import pytest
from stage_bench import Bench, Ran, step

from spark_build.core.job import JobStep
from spark_build.core.values import replace

IMPL = {
    "files": "spark_build.sources.files:Files",
    "chunk": "spark_build.transforms.chunk:Chunk",
    "near_duplicates": "spark_build.gates.near_duplicates:NearDuplicates",
    "pii": "spark_build.gates.pii:Pii",
    "quality": "spark_build.gates.quality:Quality",
    "snapshot": "spark_build.versioning.snapshot:Snapshot",
}
WORDS = [f"word{n}" for n in range(400)]


def ours(rule: str, **params: object) -> JobStep:
    return step(rule, params, IMPL[rule])


def documents(bench: Bench, numbers: range) -> None:
    """Random texts; every tenth is nearly the one before, every fifteenth holds an address."""
    for number in numbers:
        rng = random.Random(number - (number % 10 == 9))
        words = rng.choices(WORDS, k=80)
        words[7] = words[-7] = f"number{number}"
        if number % 15 == 0:
            words[3] = f"mail me{number}@example.org"
        bench.write(f"data/{number:05d}.md", " ".join(words) + "\n")


def gates(threshold: float = 0.8) -> list[JobStep]:
    return [
        ours("near_duplicates", threshold=threshold),
        ours("pii", action="redact"),
        ours("quality", rules=["word_count"]),
    ]


def built(bench: Bench) -> tuple[Ran, Ran]:
    source = replace(ours("files", path="data"), inputs={"path": str(bench.project / "data")})
    dataset = bench.ingest(
        source, ours("chunk", words=60, stride=10), splits={"ratios": {"train": 0.9, "test": 0.1}}
    )
    return dataset, bench.filter(dataset, *gates())


def test_a_hundred_documents_more_handle_these_alone_and_give_what_a_cold_build_gives(bench: Bench) -> None:
    documents(bench, range(2000))
    before, _ = built(bench)
    documents(bench, range(2000, 2100))
    dataset, kept = built(bench)
    assert (dataset.handled, dataset.remembered) == (100, 2000)
    new_items = dataset.outcome.metrics["items"] - before.outcome.metrics["items"]
    assert kept.handled == new_items
    cold_dataset, cold = built(bench.cold())
    assert cold_dataset.tree == dataset.tree
    assert cold.tree == kept.tree
    notes = kept.outcome.notes["gates"]
    assert 150 < notes["near_duplicates"]["dropped"] < 450
    assert notes["pii"]["replaced"] > 100
    assert not any("@" in row["text"] for row in kept.rows())


def test_a_threshold_of_ours_measures_nothing_again(bench: Bench) -> None:
    documents(bench, range(60))
    dataset, _ = built(bench)
    assert bench.filter(dataset, *gates(threshold=0.5)).handled == 0


def test_a_versioned_dataset_is_one_of_hugging_face(bench: Bench, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    documents(bench, range(60))
    dataset, kept = built(bench)
    ran = bench.run(
        "version",
        [ours("snapshot", tag="1.0")],
        {"dataset": kept.output, "ingest": dataset.output},
        {"card": {"license": "mit"}},
    )
    loaded = datasets.load_dataset(str(ran.output), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {
        split: len(ran.dataset.rows(split)) for split in ("train", "test")
    }
    assert loaded["train"][0]["text"] == ran.rows()[0]["text"]
