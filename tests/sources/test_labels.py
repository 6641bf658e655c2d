"""Labels of files: the folder that they lie in, and a table beside them."""

from pathlib import Path
from typing import Any

import pytest

from spark_build.contract import Bad, Raw, SourceFile
from spark_build.core.errors import BadInput
from spark_build.sources.files import Files, Params
from tests.golden import Heard
from tests.spark import Folder

FILES = {"cats/1.md": "A cat.", "dogs/2.md": "A dog.", "dogs/3.md": "Two dogs.", "loose.md": "None."}


def read(
    folder: Path, files: dict[str, str], table: str | None = None, **params: Any
) -> dict[str, Raw | Bad]:
    """What becomes of each file, by its path."""
    for path, text in {**files, "labels.csv": table or ""}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    inputs = {"path": folder, "join.table": folder / "labels.csv"}
    source = Files(Params(path="data", **params), inputs)
    places = [SourceFile(path, folder / path, 0, "") for path in sorted(files)]
    found = [(file.path, record) for file in places for record in source.read(file)]
    if source.looks_at_all():
        return {found[number][0]: record for number, record in source.gather(found, Heard())}
    return dict(found)


def labels(found: dict[str, Raw | Bad], field: str = "label") -> dict[str, Any]:
    return {p: r.fields.get(field) if isinstance(r, Raw) else r.reason for p, r in found.items()}


def test_the_folder_is_the_label_and_a_file_in_none_is_rejected(tmp_path: Path) -> None:
    expected = {"cats/1.md": "cats", "dogs/2.md": "dogs", "dogs/3.md": "dogs", "loose.md": "no_label"}
    assert labels(read(tmp_path, FILES, label="parent")) == expected


def test_the_folder_of_a_split_is_no_label(tmp_path: Path) -> None:
    files = {"train/cats/1.md": "x", "test/2.md": "y", "data/train/3.md": "z", "data/cats/4.md": "z"}
    found = read(tmp_path, files, label="parent", label_field="kind")
    assert labels(found, "kind") == {
        "train/cats/1.md": "cats",
        "test/2.md": "no_label",
        "data/train/3.md": "no_label",
        "data/cats/4.md": "cats",
    }


def test_a_row_with_a_label_of_its_own_is_not_labelled_over(tmp_path: Path) -> None:
    (bad,) = read(tmp_path, {"cats/rows.jsonl": '{"text": "x", "label": "dog"}\n'}, label="parent").values()
    assert isinstance(bad, Bad)
    assert bad.reason == "two_labels"


TABLE = "file,kind,weight\ncats/1.md,cat,4\ndogs/2.md,dog,\ngone.md,cat,1\n"


def test_columns_of_the_row_with_its_name_become_fields_and_who_has_none_is_rejected(tmp_path: Path) -> None:
    found = read(tmp_path, FILES, TABLE, join={"table": "labels.csv", "on": "file"})
    assert labels(found, "kind") == {
        "cats/1.md": "cat",
        "dogs/2.md": "dog",
        "dogs/3.md": "no_row",
        "loose.md": "no_row",
    }
    one = found["cats/1.md"]
    assert isinstance(one, Raw)
    assert one.fields == {"text": "A cat.", "kind": "cat", "weight": "4"}


def test_who_has_no_row_may_be_kept(tmp_path: Path) -> None:
    found = read(tmp_path, FILES, TABLE, join={"table": "labels.csv", "on": "file", "unmatched": "keep"})
    assert labels(found, "kind")["loose.md"] is None


def test_or_either_kind_without_a_partner_ends_the_stage(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"2 of 4 records have no row.*dogs/3\.md, loose\.md.*1 rows.*gone\.md"
    ):
        read(tmp_path, FILES, TABLE, join={"table": "labels.csv", "on": "file", "unmatched": "fail"})


@pytest.mark.parametrize(("to", "key"), [("name", "1.md"), ("stem", "1"), ("text", "A cat."), ("id", "7")])
def test_a_row_may_be_about_a_name_a_stem_an_id_or_a_field(tmp_path: Path, to: str, key: str) -> None:
    files = {"a/1.md": "A cat."} if to != "id" else {"rows.jsonl": '{"id": 7, "text": "A cat."}\n'}
    found = read(
        tmp_path, files, f"which,kind\n{key},cat\n", join={"table": "labels.csv", "on": "which", "to": to}
    )
    assert set(labels(found, "kind").values()) == {"cat"}


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("file,kind\ncats/1.md,cat\ncats/1.md,dog\n", "two rows for 'cats/1.md'"),
        ("name,kind\ncats/1.md,cat\n", "no column 'file'"),
        ("file,kind\ncats/1.md,cat,more\n", "uneven_row"),
        ("file,text\ncats/1.md,cat\n", "'text' is a field of cats/1.md already"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, table: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read(tmp_path, FILES, table, join={"table": "labels.csv", "on": "file"})


def test_a_new_row_for_a_new_file_reads_that_file_alone(folder: Folder) -> None:
    folder.sparkfile(
        """\
datasets:
  pets:
    source: {use: files, with: {path: data, label: parent, join: {table: owners.csv, on: file}}}
"""
    )
    for path, text in FILES.items():
        folder.write(f"data/{path}", text)
    rows = "file,owner\n" + "".join(f"{path},Ann\n" for path in FILES)
    folder.write("owners.csv", rows)
    assert folder.build().items["dataset:pets/ingest"] == {"handled": 4, "remembered": 0}
    folder.write("data/cats/9.md", "Another cat.")
    folder.write("owners.csv", f"{rows}cats/9.md,Ben\n")
    assert [r["kind"] for r in folder.reasons("dataset:pets/ingest")] == ["input", "input"]
    assert folder.build().items["dataset:pets/ingest"] == {"handled": 1, "remembered": 4}
    shown = folder.spark("show", "dataset:pets", "--rejected").out
    assert "no_label" in shown
    folder.edit("owners.csv, on", "owner.csv, on")
    assert "owner.csv" in folder.spark("plan", code=None).err
