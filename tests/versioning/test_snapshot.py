"""Snapshot: a card that is measured, metadata that others' tools read, and shards that stay as they are."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError

from spark_build.contract import Context
from spark_build.contract.shards import table_of
from spark_build.core.digest import digest_file
from spark_build.core.errors import BadInput
from spark_build.versioning._card_keys import to_yaml
from spark_build.versioning.snapshot import Params, Snapshot

FIELDS = {"text": "text", "label": "label", "score": "number", "chat": "messages", "extra": "json"}
CARD = {
    "license": "cc-by-4.0",
    "language": "no",
    "title": "Bokmål: notes",
    "description": "Notes.",
    "tags": ["a", "b"],
}


class Silent:
    def progress(self, done: int, total: int | None, unit: str = "items") -> None: ...
    def metric(self, name: str, value: float, step: int | None = None) -> None: ...
    def log(self, text: str) -> None: ...
    def checkpoint(self, step: int) -> None: ...
    def note(self, name: str, value: object) -> None: ...


def row(number: int) -> dict[str, Any]:
    return {
        "id": f"id-{number:03}",
        "source": "notes/a.md",
        "text": "word " * (number + 1),
        "label": "even" if number % 2 == 0 else "odd",
        "score": None if number == 0 else number / 2,
        "chat": [{"role": "user", "content": "q"}, {"role": "assistant", "content": f"å{number}"}],
        "extra": {"k": [number]},
        "meta": {"line": number} if number else {},
    }


def write_data(folder: Path, shards: dict[str, list[int]]) -> None:
    (folder / "data").mkdir(parents=True)
    for name, numbers in shards.items():
        pq.write_table(table_of([row(n) for n in numbers], FIELDS), folder / "data" / f"{name}.parquet")


def write_rejected(folder: Path, rows: list[tuple[str, str]]) -> None:
    (folder / "rejected").mkdir(exist_ok=True)
    gates, reasons = [gate for gate, _ in rows], [reason for _, reason in rows]
    columns = {name: [""] * len(rows) for name in ("id", "source", "split", "detail", "matched")}
    table = pa.table({**columns, "gate": gates, "reason": reasons, "score": [0.5] * len(rows)})
    pq.write_table(table, folder / "rejected" / "filter-00000.parquet")


def snapshot(folder: Path, *, facts: dict[str, Any] | None = None, **params: Any) -> Path:
    context = Context({}, folder, folder.parent / "scratch", Silent(), facts=facts or {"card": CARD})
    Snapshot(Params(**params)).write(context)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "output"
    write_data(made, {"train-00000": [0, 1, 2], "train-00001": [3, 4], "test-00000": [5]})
    return made


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def front_matter(folder: Path) -> dict[str, Any]:
    """As the Hub reads it: with PyYAML."""
    text = (folder / "README.md").read_text()
    return dict(yaml.safe_load(text.split("---\n")[1]))


def test_datasets_reads_every_split_and_row(folder: Path, tmp_path: Path, offline: None) -> None:
    import datasets

    write_rejected(folder, [("pii", "email")])
    snapshot(folder)
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: loaded[split]["id"][:] for split in loaded} == {
        "train": ["id-000", "id-001", "id-002", "id-003", "id-004"],
        "test": ["id-005"],
    }
    expected = {**row(3), "extra": '{"k":[3]}', "meta": '{"line":3}'}
    assert loaded["train"][3] == expected


def test_datasets_checks_the_rows_against_the_card(folder: Path, tmp_path: Path, offline: None) -> None:
    import datasets

    snapshot(folder)
    (folder / "data" / "train-00001.parquet").write_bytes(
        (folder / "data" / "test-00000.parquet").read_bytes()
    )
    with pytest.raises(datasets.exceptions.DatasetsError):
        datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))


def test_mlcroissant_accepts_the_metadata_and_reads_the_records(folder: Path) -> None:
    import mlcroissant

    snapshot(folder, tag="1.0")
    croissant = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert not croissant.operations.issues.errors
    records = list(croissant.records("train"))
    assert [r["train/id"].decode() for r in records] == [f"id-{n:03}" for n in range(5)]
    assert records[3]["train/score"] == 1.5
    assert records[3]["train/chat"][1]["train/chat/content"].decode() == "å3"
    assert json.loads(records[3]["train/extra"]) == {"k": [3]}
    assert len(list(croissant.records("test"))) == 1


def test_the_front_matter_is_what_was_written_and_what_was_measured(folder: Path) -> None:
    front = front_matter(snapshot(folder))
    assert front["license"] == "cc-by-4.0"
    assert front["language"] == ["no"]  # not False: YAML 1.1 has opinions on Norwegian
    assert front["pretty_name"] == "Bokmål: notes"
    assert front["size_categories"] == ["n<1K"]
    assert front["configs"][0]["data_files"] == [
        {"split": "test", "path": ["data/test-00000.parquet"]},
        {"split": "train", "path": ["data/train-00000.parquet", "data/train-00001.parquet"]},
    ]
    counts = {split["name"]: split["num_examples"] for split in front["dataset_info"]["splits"]}
    assert counts == {"test": 1, "train": 5}


def test_hugging_face_s_own_card_reader_takes_the_card(folder: Path) -> None:
    from huggingface_hub import DatasetCard

    card = DatasetCard.load(snapshot(folder) / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert card.data.tags == ["a", "b"]


def test_the_card_states_what_was_measured(folder: Path) -> None:
    write_rejected(folder, [("pii", "email"), ("pii", "email"), ("near-dup", "duplicate"), ("", "not_json")])
    facts = {"card": CARD, "gates": ["near-dup", "toxic", "pii"]}
    text = (snapshot(folder, facts=facts, tag="1.0") / "README.md").read_text()
    assert "# Bokmål: notes\n\nNotes.\n\n- Version: 1.0\n- License: cc-by-4.0\n" in text
    assert "| test | 1 |\n| train | 5 |\n| all | 6 |" in text
    assert "| `text` | text | 6 | characters | 5 | 15 | 30 |\n|  |  |  | words | 1 | 3 | 6 |" in text
    assert "| `score` | number | 5 | value | 0.5 | 1.5 | 2.5 |" in text
    assert "| `chat` | messages | 6 | messages | 2 | 2 | 2 |" in text
    assert "| even | 3 | 50.0% |\n| odd | 3 | 50.0% |" in text
    left_out = text.split("## Left out\n\n")[1].split("\n\n")[0].splitlines()[2:]
    assert left_out == [
        "|  | not_json | 1 |",
        "| near-dup | duplicate | 1 |",
        "| toxic |  | 0 |",
        "| pii | email | 2 |",
    ]


def test_shards_are_not_touched(folder: Path) -> None:
    write_rejected(folder, [("pii", "email")])
    before = {f: (digest_file(f), f.stat().st_mtime_ns) for f in folder.rglob("*.parquet")}
    snapshot(folder)
    assert {f: (digest_file(f), f.stat().st_mtime_ns) for f in folder.rglob("*.parquet")} == before
    assert {f.name for f in folder.iterdir() if f.is_file()} == {"README.md", "croissant.json", "spark.json"}


def test_the_same_data_gives_the_same_bytes_in_any_place(tmp_path: Path) -> None:
    written = []
    for place in ("one", "another/deeper"):
        made = tmp_path / place / "output"
        write_data(made, {"train-00000": [0, 1], "test-00000": [2]})
        snapshot(made, tag="v1")
        written.append(
            {name: (made / name).read_bytes() for name in ("README.md", "croissant.json", "spark.json")}
        )
        assert str(tmp_path).encode() not in b"".join(written[-1].values())
    assert written[0] == written[1]


def test_spark_json_names_every_file_by_its_digest(folder: Path) -> None:
    write_rejected(folder, [("pii", "email")])
    facts = {"card": CARD, "inputs": {"dataset": {"data/train-*": "ab"}}}
    papers = json.loads((snapshot(folder, facts=facts, tag="1.10") / "spark.json").read_text())
    assert papers["tag"] == "1.10"
    assert papers["fields"] == FIELDS
    assert papers["splits"] == {"test": 1, "train": 5}
    assert papers["rejected"] == [{"gate": "pii", "reason": "email", "rows": 1}]
    assert papers["inputs"] == {"dataset": {"data/train-*": "ab"}}
    assert {path: facts["blake3"] for path, facts in papers["files"].items()} == {
        f.relative_to(folder).as_posix(): digest_file(f) for f in folder.rglob("*.parquet")
    }


def test_the_version_s_card_goes_over_the_dataset_s(folder: Path) -> None:
    front = front_matter(snapshot(folder, card={"license": "mit", "language": ["de", "en"]}))
    assert (front["license"], front["language"], front["tags"]) == ("mit", ["de", "en"], ["a", "b"])


def test_a_tag_alone_changes_the_card_alone(folder: Path) -> None:
    first = front_matter(snapshot(folder, tag="1"))
    assert front_matter(snapshot(folder, tag="2")) == first
    assert "- Version: 2\n" in (folder / "README.md").read_text()


def test_a_split_that_datasets_can_not_read_is_refused(tmp_path: Path) -> None:
    made = tmp_path / "output"
    write_data(made, {"held-out-00000": [0]})
    with pytest.raises(
        BadInput, match=r"the split 'held-out' can't be read by `datasets`\n  fix: letters, digits"
    ):
        snapshot(made)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"tag": 1.1}, 'a number loses its zeros (1.10 is 1.1)\n  fix: quote it: tag: "1.1"'),
        ({"tag": " "}, "empty; leave it out for no tag"),
        ({"card": {"licence": "mit"}}, "unknown key 'licence' in the card\n  fix: did you mean 'license'?"),
        (
            {"card": {"descripton": "x"}},
            "unknown key 'descripton' in the card\n  fix: did you mean 'description'?",
        ),
        ({"card": {"configs": []}}, "'configs' is measured, not written\n  fix: take it out"),
        ({"card": {"license": 1.0}}, "'license' is text\n  fix: quote it: license: \"1.0\""),
        ({"tga": "1"}, "Extra inputs are not permitted"),
    ],
)
def test_what_no_card_has_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        Params(**params)


def test_a_dataset_s_own_card_is_held_to_the_same_keys(folder: Path) -> None:
    with pytest.raises(
        BadInput, match=r"card: unknown key 'lisense' in the card\n  fix: did you mean 'license'\?"
    ):
        snapshot(folder, facts={"card": {"lisense": "mit"}})


@pytest.mark.parametrize(
    "text",
    ["no", "1.10", "null", "a: b", "# x", "", " x", "é\u2028\x85\ufeff", "- x", "~", "2020-01-01", '"', "\t"],
)
def test_any_text_comes_back_from_the_yaml_as_it_was(text: str) -> None:
    from ruamel.yaml import YAML

    value = {"k": text, "list": [text, {"deep": text}], "none": None, "n": 3}
    assert yaml.safe_load(to_yaml(value)) == value
    assert YAML(typ="safe", pure=True).load(to_yaml(value)) == value
