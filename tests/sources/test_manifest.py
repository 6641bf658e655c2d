"""A manifest says which files are items, and what else is known of them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from clips import audio, moving, tone, video
from pictures import bad_images, digit

sys.path.append(str(Path(__file__).parents[1] / "stages"))

from stage_bench import Bench, Ran, step


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    for number in range(12):
        bench.write(f"clips/a/frames/{number}.png", digit(number))
    bench.write("clips/a/sound.wav", audio(tone(1)))
    bench.write("clips/b.mp4", video(moving()))
    bench.write("clips/broken.png", bad_images()["cut.png"][0])
    bench.write("clips/unused.png", digit(50))
    return bench


def read(bench: Bench, rows: list[Any], name: str = "clips/manifest.jsonl", **params: Any) -> Ran:
    bench.write(name, "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    source = step(
        "manifest",
        {"path": name, **params},
        impl="spark_build.sources.manifest:Manifest",
        inputs={"path": str(bench.project / "clips")},
    )
    return bench.run("ingest", [source], {}, {})


V1 = {
    "id": "clip-a",
    "frames_dir": "a/frames",
    "audio": "a/sound.wav",
    "meta": {"caption": "Digits.", "transcript": "One two", "duration": 1.0, "source_path": "/tapes/a.mov"},
}


def test_schema_v1_gives_an_item_for_each_frame_with_its_sound_and_words(bench: Bench) -> None:
    ran = read(bench, [V1])
    rows = sorted(ran.rows(), key=lambda row: int(row["id"].partition("#")[2]))
    assert ran.dataset.fields == {
        "audio": "audio", "caption": "text", "duration": "number", "image": "image", "transcript": "text"
    }  # fmt: skip
    assert [row["image"]["path"] for row in rows] == [f"a/frames/{n}.png" for n in range(12)]
    assert {row["audio"]["path"] for row in rows} == {"a/sound.wav"}
    assert rows[0]["id"] == "clip-a#0"
    assert rows[0]["meta"] == {"source_path": "/tapes/a.mov"}


@pytest.mark.parametrize(("frames", "path"), [("first", "a/frames/0.png"), ("middle", "a/frames/6.png")])
def test_one_frame_can_stand_for_all(bench: Bench, frames: str, path: str) -> None:
    (row,) = read(bench, [V1], frames=frames).rows()
    assert (row["id"], row["image"]["path"]) == ("clip-a", path)


def test_without_frames_the_sound_alone_is_the_item(bench: Bench) -> None:
    (row,) = read(bench, [V1], frames="none").rows()
    assert "image" not in row
    assert row["caption"] == "Digits."


def test_a_plain_list_has_one_path_a_line(bench: Bench) -> None:
    ran = read(bench, ["b.mp4", "", "a/sound.wav", "a/frames/3.png"], "clips/list.txt")
    found = {row["source"]: [kind for kind in ("image", "audio", "video") if row[kind]] for row in ran.rows()}
    assert found == {"b.mp4": ["video"], "a/sound.wav": ["audio"], "a/frames/3.png": ["image"]}


def test_rows_have_fields_of_their_own_and_a_split(bench: Bench) -> None:
    ran = read(bench, [{"image": "a/frames/1.png", "label": "one", "split": "test"}, {"path": "b.mp4"}])
    (row,) = ran.rows("test")
    assert (row["label"], row["image"]["path"]) == ("one", "a/frames/1.png")
    (other,) = ran.rows("train")
    assert other["video"]["path"] == "b.mp4"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"image": "nowhere.png"}, "missing_file"),
        ({"image": "../outside.png"}, "outside"),
        ({"image": "/etc/passwd"}, "outside"),
        ({"image": "broken.png"}, "truncated"),
        ({"image": "a/sound.wav"}, "other_kind"),
        ({"frames_dir": "empty"}, "missing_file"),
        ("{not json", "not_json"),
    ],
)
def test_a_row_that_can_not_be_used_is_rejected_with_its_number(bench: Bench, row: Any, reason: str) -> None:
    ran = read(bench, [{"path": "b.mp4"}, row])
    (rejected,) = ran.dataset.rejected()
    assert rejected["reason"] == reason
    assert "row 2" in rejected["detail"] or "line 2" in rejected["detail"]
    assert len(ran.rows()) == 1


def test_only_what_changed_is_read_again(bench: Bench) -> None:
    rows = [{"image": f"a/frames/{n}.png", "n": n} for n in range(12)]
    assert read(bench, rows).handled == 12
    bench.write("clips/another.png", digit(60))
    again = read(bench, [*rows, {"image": "another.png", "n": 12}])
    assert (again.handled, again.remembered) == (1, 12)


def test_a_limit_counts_items(bench: Bench) -> None:
    rows = [{"image": f"a/frames/{n}.png"} for n in range(12)]
    bench.write("clips/manifest.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    source = step(
        "manifest",
        {"path": "clips/manifest.jsonl"},
        impl="spark_build.sources.manifest:Manifest",
        inputs={"path": str(bench.project / "clips")},
    )
    ran = bench.run("ingest", [source], {}, {}, limit=3)
    assert [row["source"] for row in ran.rows()] == [f"a/frames/{n}.png" for n in range(3)]


def test_files_that_no_row_names_are_no_items(bench: Bench) -> None:
    ran = read(bench, [{"path": "b.mp4"}])
    assert [row["source"] for row in ran.rows()] == ["b.mp4"]
    assert len(json.loads(ran.output.with_name("taken.json").read_bytes())) == 1
