"""What `spark report` says is counted again here, from the Parquet files."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.spark import Folder

Told = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def notes(texts: Folder, told: Told) -> dict[str, Any]:
    texts.spark("get", "dataset:notes", "--to", "out")
    return told(texts, "dataset:notes")


@pytest.fixture(scope="module")
def album(media: Folder, told: Told) -> dict[str, Any]:
    media.spark("get", "dataset:album", "--to", "out")
    return told(media, "dataset:album")


def rows(folder: Folder, part: str) -> list[dict[str, Any]]:
    return [
        row
        for f in sorted((folder.path / "out" / part).glob("*.parquet"))
        for row in pq.read_table(f).to_pylist()
    ]


def test_the_funnel_is_what_rows_and_gates_say(texts: Folder, notes: dict[str, Any]) -> None:
    gone = Counter((row["gate"], row["reason"]) for row in rows(texts, "rejected"))
    funnel = notes["funnel"]
    steps = [*funnel["reading"], *funnel["gates"]]
    assert {(s["name"], reason): n for s in steps for reason, n in s["reasons"].items()} == gone
    assert funnel["rejected"] == gone.total()
    assert funnel["kept"] == len(rows(texts, "data")) == sum(notes["splits"].values())
    assert [g["name"] for g in funnel["gates"]] == ["same", "short", "twins", "secrets", "long"]
    flags = Counter(
        f["gate"] for row in rows(texts, "data") if row["meta"] for f in json.loads(row["meta"])["flagged_by"]
    )
    assert {g["name"]: g["flagged"] for g in funnel["gates"] if g["flagged"]} == flags == {"long": 1}
    assert {g["name"]: g["replaced"] for g in funnel["gates"] if g["replaced"]} == {"secrets": 1}


def test_items_that_come_to_a_gate_are_those_that_the_one_before_left(notes: dict[str, Any]) -> None:
    funnel = notes["funnel"]
    left = funnel["items"]
    for gate in funnel["gates"]:
        assert gate["came"] == left
        left -= gate["rejected"]
    assert left == funnel["kept"]
    assert funnel["read"] == funnel["items"] + sum(step["rejected"] for step in funnel["reading"])


@pytest.mark.parametrize(("unit", "count"), [("characters", len), ("words", lambda text: len(text.split()))])
def test_lengths_are_counted_between_the_edges(
    texts: Folder, notes: dict[str, Any], unit: str, count: Callable[[str], int]
) -> None:
    (told,) = [h for h in notes["histograms"] if h["unit"] == unit]
    assert_spreads(told, [count(row["text"]) for row in rows(texts, "data")])


def assert_spreads(told: dict[str, Any], values: list[float]) -> None:
    ordered = sorted(values)
    assert (told["least"], told["greatest"], told["values"]) == (ordered[0], ordered[-1], len(values))
    assert told["total"] == pytest.approx(sum(values))
    assert told["median"] == pytest.approx(
        ordered[(len(values) - 1) // 2], rel=1e-3
    )  # cut off after four digits
    assert told["counts"] == [
        sum(a <= v < b for v in values) for a, b in zip(told["edges"], told["edges"][1:], strict=False)
    ]
    assert sum(told["counts"]) == len(values)


def test_sizes_and_durations_are_those_in_meta(media: Folder, album: dict[str, Any]) -> None:
    known = [json.loads(row["meta"])["media"] for row in rows(media, "data") if row["meta"]]
    for field, fact, unit in (
        ("image", "width", "pixels wide"),
        ("audio", "duration", "seconds"),
        ("video", "bytes", "bytes"),
    ):
        (told,) = [h for h in album["histograms"] if (h["field"], h["unit"]) == (field, unit)]
        assert_spreads(told, [own[field][fact] for own in known if field in own])


def test_labels_formats_and_sources_are_counted(media: Folder, album: dict[str, Any]) -> None:
    told = {(one["field"], one["unit"]): one["counts"] for one in album["labels"]}
    kept = rows(media, "data")
    assert told["label", "label"] == Counter(row["label"] for row in kept)
    known = [json.loads(row["meta"])["media"] for row in kept if row["meta"]]
    assert told["image", "format"] == Counter(own["image"]["format"] for own in known if "image" in own)
    assert album["sources"]["counts"] == Counter(row["source"].partition("/")[0] + "/" for row in kept)


def test_clusters_are_the_rows_that_name_one_kept_item(texts: Folder, notes: dict[str, Any]) -> None:
    alike: dict[str, Counter[str]] = {}
    for row in rows(texts, "rejected"):
        if row["matched"]:
            alike.setdefault(row["gate"], Counter())[row["matched"]] += 1
    told = {c["gate"]: c for c in notes["clusters"]}
    assert told.keys() == alike.keys() == {"same", "twins"}
    for gate, sizes in alike.items():
        assert told[gate]["clusters"] == len(sizes)
        assert told[gate]["items"] == sum(n + 1 for n in sizes.values())
        assert {c["kept"]: c["items"] for c in told[gate]["largest"]} == {
            kept: n + 1 for kept, n in sizes.items()
        }
    assert told["same"]["sizes"] == {"4": 1}


def test_the_way_here_is_told_by_records(texts: Folder, notes: dict[str, Any]) -> None:
    assert [o["stage"] for o in notes["origins"]] == [
        f"dataset:notes/{s}" for s in ("ingest", "filter", "version")
    ]
    assert notes["origins"][-1]["output"] == notes["output"]
    assert [step["name"] for step in notes["origins"][1]["steps"]] == [
        "same",
        "short",
        "twins",
        "secrets",
        "long",
    ]
    assert [(v["tag"], v["output"]) for v in notes["versions"]] == [("1.0", notes["output"])]


def test_a_page_is_the_same_each_time(texts: Folder, notes: dict[str, Any], told: Told) -> None:
    first = Path(texts.path, notes["path"]).read_bytes()
    again = told(texts, "dataset:notes", "--to", "again.html")
    assert (texts.path / "again.html").read_bytes() == first
    assert again | {"path": ""} == notes | {"path": ""}


def test_what_a_gate_hides_in_kept_items_is_not_shown_of_rejected_ones(texts: Folder, told: Told) -> None:
    page = Path(texts.path, told(texts, "dataset:notes", "--samples", "100")["path"]).read_text()
    assert "ada.lovelace@example.org" not in page
    assert "EMAIL" in page
    assert "Few words 1" not in page
    shown = told(texts, "dataset:notes", "--unredacted", "--to", "all.html")
    assert "Few words 1" in (texts.path / shown["path"]).read_text()


def test_more_samples_are_shown_where_they_are_asked_for(texts: Folder, told: Told) -> None:
    few, many = (
        (texts.path / told(texts, "dataset:notes", "--samples", n, "--to", f"{n}.html")["path"]).read_text()
        for n in ("2", "30")
    )
    assert few.count("<article") < many.count("<article")
    assert "another look shows the same" in few
    assert len(few) < len(many)


def test_a_dataset_that_moved_on_is_told_to_have_done_so(texts: Folder, told: Told, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for name in ("Sparkfile.yaml", "data", ".spark"):
        (tmp_path / name).symlink_to(texts.path / name)
    (tmp_path / "Sparkfile.yaml").unlink()
    folder.write("Sparkfile.yaml", (texts.path / "Sparkfile.yaml").read_text())
    folder.edit("min_words: 5", "min_words: 6")
    facts = told(folder, "dataset:notes")
    assert facts["output"] == told(texts, "dataset:notes")["output"]
    assert facts["stale"] == ["dataset:notes/filter: min_words 5 → 6 at Sparkfile.yaml:13:42"]
    assert "Not what the Sparkfile asks for today" in (tmp_path / facts["path"]).read_text()


def parts() -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    yield np.floor(rng.lognormal(7, 1.5, 3000))
    yield rng.normal(0, 3, 3000)
    yield np.round(rng.exponential(1, 3000) ** 3, 3)
    yield np.round(rng.uniform(0, 1, 3000), 2)
    yield rng.integers(1990, 2027, 300).astype(float)
    yield np.array([0.0, 0.0, 7.0])
    yield np.full(9, 32.0)
    yield -np.floor(rng.exponential(50, 300))
    yield np.array([1e-9, 1.0, 1e9, 1e14])


@pytest.mark.parametrize("values", list(parts()), ids=lambda v: f"{v.min():.3g}-{v.max():.3g}")
def test_a_histogram_counts_every_value_between_its_edges(values: np.ndarray) -> None:
    from spark_build.report.dataset.tallies import Tally

    tally = Tally()
    for part in np.array_split(values, 3):
        tally.add(np.concatenate([part, [np.nan, np.inf]]))
    histogram = tally.histogram("f", "u")
    assert histogram is not None
    told = {name: getattr(histogram, name) for name in ("least", "greatest", "values", "total", "median")}
    assert_spreads(
        {**told, "edges": list(histogram.edges), "counts": list(histogram.counts)}, values.tolist()
    )
    assert len(histogram.counts) <= 60
