"""Datasets of the hub and of folders: what the `datasets` library wrote is read as it reads it itself."""

import gzip
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_double import Dataset as Repository
from hub_double import Hub, running

from spark_build.contract import SourceFile
from spark_build.contract.rows import DatasetFolder
from spark_build.core.errors import BadInput
from spark_build.sources._hub_layout import card_of, front_matter, splits_of
from spark_build.sources.huggingface import HuggingFace, Params
from tests.golden import Heard
from tests.spark import Folder

os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
LOCAL = (
    "datasets:\n  d:\n    source: {use: huggingface, with: {path: data, MORE}}\n    splits: {keep: true}\n"
)
REMOTE = "datasets:\n  d:\n    source: {use: huggingface, with: {dataset: ann/calls, MORE}}\n    splits: {keep: true}\n"
NAMES = ["billing", "login", "other"]


def picture(number: int) -> Any:
    from PIL import Image

    return Image.radial_gradient("L").resize((24, 24 + number))


def sound(number: int) -> bytes:
    import wave

    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes([number, number]) * 800)
    return file.getvalue()


def made(count: int, *, has_media: bool = True) -> Any:
    """A dataset of the library's, with each of its types that matter here."""
    from datasets import Audio, ClassLabel, Dataset, Features, Image, Sequence, Value

    types = {
        "text": Value("string"), "label": ClassLabel(names=NAMES), "tags": Sequence(Value("string")),
        "marks": Sequence(ClassLabel(names=["x", "y"])), "caller": {"name": Value("string"), "age": Value("int32")},
    }  # fmt: skip
    rows: dict[str, Any] = {
        "text": [f"call {n}" for n in range(count)], "label": [n % 4 - 1 for n in range(count)],
        "tags": [["a", f"{n}"] for n in range(count)], "marks": [[n % 2] for n in range(count)],
        "caller": [{"name": f"c{n}", "age": n} for n in range(count)],
    }  # fmt: skip
    if has_media:
        types |= {"picture": Image(), "sound": {"bytes": Value("binary"), "path": Value("string")}}
        rows["picture"] = [picture(n) for n in range(count)]
        rows["sound"] = [{"bytes": sound(n), "path": f"{n}.wav"} for n in range(count)]
    found = Dataset.from_dict(rows, features=Features(types))
    # so the library needs no encoder of its own
    return found.cast_column("sound", Audio(decode=False)) if has_media else found


def built(folder: Folder) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """Rows by split and types of fields, of what ingest left."""
    folder.build()
    shutil.rmtree(folder.path / "got", ignore_errors=True)
    folder.spark("get", "dataset:d", "--to", "got")
    data = DatasetFolder(folder.path / "got")
    return {split: sorted(data.rows(split), key=lambda row: row["id"]) for split in data.splits}, dict(
        data.fields
    )


def items(place: Path, **params: Any) -> tuple[list[Any], HuggingFace]:
    """What a folder gives, and the source that was asked."""
    source = HuggingFace(Params(path="data", **params), {"path": place})
    files = sorted(f for f in place.rglob("*") if f.is_file())
    named = [SourceFile(f.relative_to(place).as_posix(), f, f.stat().st_size, "") for f in files]
    read = [(file.path, record) for file in named for record in source.read(file)]
    return [record for _, record in source.gather(read, Heard())], source


def local(folder: Folder, more: str = "") -> None:
    folder.sparkfile(LOCAL.replace(", MORE", f", {more}" if more else ""))


def test_a_saved_dataset_has_its_splits_labels_media_and_nested_values(folder: Folder) -> None:
    from datasets import DatasetDict

    whole = DatasetDict({"train": made(6), "extra": made(2)})
    whole.save_to_disk(folder.path / "data")
    local(folder)
    rows, fields = built(folder)
    assert {split: len(found) for split, found in rows.items()} == {"train": 6, "extra": 2}
    assert {fields[name] for name in ("text", "label", "picture", "sound", "caller", "tags")} == {
        "text", "label", "image", "audio", "json"
    }  # fmt: skip
    first = next(row for row in rows["train"] if row["text"] == "call 3")
    assert (first["label"], first["tags"], first["marks"]) == ("other", ["a", "3"], ["y"])
    assert first["caller"] == {"name": "c3", "age": 3}
    assert first["meta"]["media"]["picture"]["height"] == 27
    assert first["meta"]["media"]["sound"]["duration"] == pytest.approx(0.1)
    assert next(row for row in rows["train"] if row["text"] == "call 0")["label"] is None


@pytest.mark.parametrize("form", ["parquet", "arrow", "one", "json", "csv"])
def test_each_form_that_the_library_writes_gives_the_same_texts_and_labels(tmp_path: Path, form: str) -> None:
    data, place = made(5, has_media=False), tmp_path
    if form == "one":
        data.save_to_disk(place)
    elif form == "arrow":
        data.save_to_disk(place / "train")
    else:
        getattr(data, f"to_{form}")(place / f"train.{'jsonl' if form == 'json' else form}")
    names = "".join(f"            '{n}': {name}\n" for n, name in enumerate(NAMES))
    label = f"  - name: label\n    dtype:\n      class_label:\n        names:\n{names}"
    (place / "README.md").write_text(f"---\ndataset_info:\n  features:\n{label}---\n")
    found, source = items(place)
    assert source.field_types() == {"label": "label"}
    assert {record.split for record in found} <= {"train", None}
    assert [(record.fields["text"], record.fields["label"]) for record in found] == [
        ("call 0", None), ("call 1", "billing"), ("call 2", "login"), ("call 3", "other"), ("call 4", None)
    ]  # fmt: skip


CARD = """\
---
configs:
- config_name: english
  default: true
  data_files:
  - {split: train, path: en/part-*}
  - {split: heldout, path: [en/last.csv]}
- config_name: german
  data_dir: de
---
# Calls
"""
LAYOUTS = {
    "card": (
        CARD,
        ["en/part-1.csv", "en/part-2.csv", "en/last.csv", "de/train.csv", "de/test.csv", "other.csv"],
    ),
    "by folder": ("", ["train/a.csv", "train/b.csv", "dev/c.csv", "notes.txt"]),
    "by name": ("", ["my_train_file.csv", "my_eval_file.csv", "stray.csv"]),
    "shards": (
        "",
        ["data/small-00000-of-00002.csv", "data/small-00001-of-00002.csv", "data/big-00000-of-00001.csv"],
    ),
    "none": ("", ["a.csv", "b.csv", "x/c.csv", "picture.png"]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_files_of_a_split_are_those_that_the_library_takes(name: str, tmp_path: Path) -> None:
    from datasets import load_dataset

    card, paths = LAYOUTS[name]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"text\n{path}\n" if path.endswith(".csv") else path)
    (tmp_path / "README.md").write_text(card)
    for config in (None, "german") if card else (None,):
        loaded = load_dataset(str(tmp_path), config, cache_dir=str(tmp_path / ".cache"))
        known = {row["text"]: split for split, rows in loaded.items() for row in rows}
        found = splits_of(paths, card_of(front_matter(card)), config)
        assert {path: split or "train" for path, split in found.items()} == known


@pytest.mark.parametrize(
    ("paths", "card", "config", "told"),
    [
        (["a/x.csv", "b/y.csv"], "configs: [{config_name: a, data_dir: a}, {config_name: b}]", None, "2 configs"),
        (["a.csv"], "configs: [{config_name: a, data_files: a.csv}]", "c", "no config 'c'"),
        (["a.csv"], "", "c", "no config 'c'"),
        (["a.csv"], "configs: [{config_name: a, data_files: b.csv}]", None, "none of them is there"),
        (["a.csv"], "configs: [", None, "no YAML"),
    ],
)  # fmt: skip
def test_a_layout_that_says_nothing_sensible_is_refused(
    paths: list[str], card: str, config: str | None, told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        splits_of(paths, card_of(card), config)


def test_a_folder_of_images_takes_the_columns_of_its_metadata(folder: Folder) -> None:
    for number in range(4):
        place = folder.path / "data" / ("train" if number else "test") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(place)
    folder.write("data/train/metadata.csv", "file_name,caption\n1.png,one\n2.png,two\n")
    local(folder)
    rows, fields = built(folder)
    assert fields["image"] == "image"
    assert {split: len(found) for split, found in rows.items()} == {"train": 3, "test": 1}
    captions = {row["source"]: row["caption"] for row in rows["train"]}
    assert captions == {"train/1.png": "one", "train/2.png": "two", "train/3.png": None}


def test_rows_in_compressed_files_belong_to_the_split_that_their_name_says(folder: Folder) -> None:
    for split, text in (("train", "a"), ("validation", "b")):
        packed = gzip.compress(json.dumps({"text": text}).encode())
        folder.write(f"data/en/c4-{split}.00000-of-00008.json.gz", packed)
    local(folder, "config: en")
    rows, _ = built(folder)
    assert {split: [row["text"] for row in found] for split, found in rows.items()} == {
        "train": ["a"],
        "validation": ["b"],
    }


def test_a_row_that_cannot_be_read_is_rejected_alone(folder: Folder) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = io.BytesIO()
    picture(1).save(whole, "PNG")
    pictures = [
        {"bytes": whole.getvalue(), "path": "a.png"}, {"bytes": whole.getvalue()[:60], "path": "b.png"},
        {"bytes": b"no image", "path": None}, {"bytes": None, "path": "/away/c.png"}, None,
    ]  # fmt: skip
    (folder.path / "data").mkdir()
    table = pa.table({"text": list("abcde"), "picture": pictures})
    pq.write_table(table, folder.path / "data" / "train.parquet")
    folder.write("data/train-cut.parquet", (folder.path / "data/train.parquet").read_bytes()[:-40])
    local(folder)
    rows, _ = built(folder)
    assert sorted(row["text"] for row in rows["train"]) == ["a", "e"]
    shown = folder.spark("show", "dataset:d", "--rejected").out
    for reason in ("no_media", "no_bytes", "not_parquet"):
        assert reason in shown


# the hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running() as found:
        yield found


@pytest.fixture
def online(folder: Folder, hub: Hub, tmp_path: Path) -> Folder:
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return Folder(folder.path, {**own, "HF_HUB_DISABLE_XET": "1"})


def remote(folder: Folder, more: str = "") -> None:
    folder.sparkfile(REMOTE.replace(", MORE", f", {more}" if more else ""))


def pushed(tmp_path: Path, count: int = 6) -> Path:
    """As `push_to_hub` lays a dataset out."""
    place = tmp_path / "pushed"
    (place / "data").mkdir(parents=True, exist_ok=True)
    made(count).to_parquet(place / "data" / "train-00000-of-00001.parquet")
    made(2).to_parquet(place / "data" / "test-00000-of-00001.parquet")
    files = "".join(f"  - {{split: {name}, path: data/{name}-*}}\n" for name in ("train", "test"))
    (place / "README.md").write_text(
        f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n# Calls\n"
    )
    for name in ("script.py", "a.txt", "b.txt", ".gitattributes"):
        (place / name).write_text("no data\n")
    return place


def test_a_hub_dataset_is_pinned_to_its_commit_and_built_without_the_hub(
    online: Folder, hub: Hub, tmp_path: Path
) -> None:
    repository = hub.datasets["ann/calls"] = Repository()
    first = repository.commit(pushed(tmp_path))
    remote(online)
    assert "not pinned" in online.spark("plan", code=2).err
    online.spark("update")
    lock = (online.path / "Sparkfile.lock").read_text()
    assert f'at."revision" = "{first}"' in lock
    asked = len(hub.asked)
    shards = [f"data/{split}-00000-of-00001.parquet" for split in ("test", "train")]
    assert sorted(set(hub.fetched)) == ["README.md", *shards]
    rows, fields = built(online)
    assert {split: len(found) for split, found in rows.items()} == {"train": 6, "test": 2}
    assert (fields["label"], fields["picture"], fields["sound"]) == ("label", "image", "audio")
    # the branch goes on: nobody looks until an update is asked for
    second = repository.commit(pushed(tmp_path, 7))
    assert set(online.states().values()) == {"fresh"}
    assert len(hub.asked) == asked
    online.spark("update", "d")
    assert second in (online.path / "Sparkfile.lock").read_text()
    assert len(built(online)[0]["train"]) == 7


def test_what_the_store_lost_comes_again_from_the_pinned_commit_though_the_branch_went_on(
    online: Folder, hub: Hub, tmp_path: Path
) -> None:
    repository = hub.datasets["ann/calls"] = Repository()
    repository.commit(pushed(tmp_path))
    remote(online, "revision: main")
    online.spark("update")
    repository.commit(pushed(tmp_path, 7))
    for place in (online.path / ".spark", tmp_path / "home"):
        place.rename(tmp_path / f"away-{place.name}")
    assert len(built(online)[0]["train"]) == 6


def test_only_the_splits_and_the_config_that_are_asked_for_are_fetched(
    online: Folder, hub: Hub, tmp_path: Path
) -> None:
    hub.datasets["ann/calls"] = Repository()
    commit = hub.datasets["ann/calls"].commit(pushed(tmp_path), "v1")
    remote(online, f"split: test, revision: {commit}")
    online.spark("update")
    assert "data/train-00000-of-00001.parquet" not in hub.fetched
    assert list(built(online)[0]) == ["test"]
    remote(online, "split: best, revision: v1")
    refused = online.spark("update", code=1).err
    assert "no split 'best'" in refused
    assert "one of test, train" in refused


def test_the_hubs_refusals_are_told_in_words(online: Folder, hub: Hub, tmp_path: Path) -> None:
    remote(online)
    assert "no dataset 'ann/calls'" in online.spark("update", code=1).err
    repository = hub.datasets["ann/calls"] = Repository(token="hf_hush")
    repository.commit(pushed(tmp_path))
    assert "needs a login" in online.spark("update", code=1).err
    known = Folder(online.path, {**online.env, "HF_TOKEN": "hf_hush"})
    offline = Folder(online.path, {**known.env, "HF_HUB_OFFLINE": "1"})
    assert "HF_HUB_OFFLINE is set" in offline.spark("update", code=1).err
    hub.spoilt.add("README.md")
    assert "is not what commit" in known.spark("update", code=1).err
    hub.spoilt.clear()
    repository.is_gated = True
    assert "gated" in known.spark("update", code=1).err
    repository.is_gated = False
    remote(online, "revision: v9")
    assert "no revision 'v9'" in known.spark("update", code=1).err
    gone = Folder(online.path, {**known.env, "HF_ENDPOINT": "http://127.0.0.1:9"})
    assert "did not answer" in gone.spark("update", code=1).err
    for file in (f for f in online.path.rglob("*") if f.is_file()):
        assert b"hf_hush" not in file.read_bytes()


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({}, "name one"),
        ({"dataset": "a/b", "path": "x"}, "name one"),
        ({"path": "x", "revision": "main"}, "no revision"),
        ({"dataset": "a/b@main"}, "no id of the hub"),
    ],
)
def test_params_that_make_no_sense_are_refused(params: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Params(**params)


def test_a_card_is_no_item_and_its_words_wake_nobody(folder: Folder) -> None:
    folder.write("data/train.jsonl", json.dumps({"text": "a"}) + "\n")
    folder.write("data/README.md", "# Words\n")
    local(folder)
    rows, _ = built(folder)
    assert [row["text"] for row in rows["train"]] == ["a"]
    folder.write("data/README.md", "# Other words\n")
    outcomes = folder.build().outcomes
    assert outcomes["dataset:d/version"] == "fresh"
