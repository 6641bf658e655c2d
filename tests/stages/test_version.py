import json

import pytest
from stage_bench import Bench, Ran, step

from spark_build.core.digest import digest_file
from spark_build.core.errors import StageFailed


def filtered(bench: Bench) -> tuple[Ran, Ran]:
    bench.write(
        "data/a.jsonl",
        "\n".join(
            [*(f'{{"text": "row {n}"}}' for n in range(20)), "no json", '{"text": "' + "x" * 40 + '"}']
        ),
    )
    dataset = bench.ingest()
    return dataset, bench.filter(dataset, step("Long"))


def version(bench: Bench, rule: str = "Card") -> Ran:
    dataset, kept = filtered(bench)
    options = {"card": {"license": "mit"}}
    return bench.run("version", [step(rule)], {"dataset": kept.output, "ingest": dataset.output}, options)


def test_shards_are_laid_out_as_they_are(bench: Bench) -> None:
    _, kept = filtered(bench)
    ran = version(bench)
    shard = "data/train-00000.parquet"
    assert digest_file(ran.output / shard) == digest_file(kept.output / shard)


def test_rejected_rows_of_all_stages_stand_together(bench: Bench) -> None:
    ran = version(bench)
    assert [(r["gate"], r["reason"]) for r in ran.dataset.rejected()] == [
        ("Lines", "not_json"),
        ("Long", "long"),
    ]
    assert sorted(f.name for f in (ran.output / "rejected").iterdir()) == [
        "filter-00000.parquet", "ingest-00000.parquet",
    ]  # fmt: skip


def test_only_the_shards_of_the_stage_before_count(bench: Bench) -> None:
    assert version(bench).outcome.metrics == {"items": 20.0, "items.train": 20.0, "rejected": 2 / 22}


def test_a_versioner_is_told_card_fields_splits_gates_and_figures(bench: Bench) -> None:
    facts = json.loads((version(bench).output / "spark.json").read_text())
    assert facts == {
        "card": {"license": "mit"},
        "fields": {"text": "text"},
        "splits": {"train": 20},
        "gates": ["Lines", "Long"],
        "figures": {"items": 20.0, "items.train": 20.0, "rejected": 2 / 22},
    }


def test_a_dataset_without_gates_is_versioned_from_its_ingest(bench: Bench) -> None:
    dataset, _ = filtered(bench)
    ran = bench.run("version", [step("Card")], {"dataset": dataset.output})
    assert ran.outcome.metrics["items"] == 21
    assert [r["reason"] for r in ran.dataset.rejected()] == ["not_json"]


def test_a_versioner_that_changes_a_shard_is_refused(bench: Bench) -> None:
    with pytest.raises(StageFailed, match=r"'Meddling' changed data/train-00000.parquet"):
        version(bench, "Meddling")
