"""A folder with all four modalities becomes a dataset that `datasets` opens without any code of ours."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from clips import BAD_CLIPS, audio, bad_clip, moving, tone, video
from pictures import bad_images, digit, encoded, photos

from tests.spark import Folder

SPARKFILE = """
datasets:
  all:
    source: data
    gates: [words]
    splits: keep
gates:
  words: {use: "./words.py:Words"}
"""
WORDS = """
from spark_build.contract import ItemGate, RuleParams, Verdict
class Words(ItemGate):
    def measure(self, item):
        return len(item["text"].split())
    def decide(self, found, params):
        return Verdict.keep() if found > 2 else Verdict.drop("short")
"""
OPENED = """
import json, sys
from datasets import Audio, Video, load_dataset
rows = load_dataset(sys.argv[1], split="train")
told = {name: type(feature).__name__ for name, feature in rows.features.items()}
image = next(row["image"] for row in rows.select_columns(["image"]) if row["image"] is not None)
rows = rows.cast_column("audio", Audio(decode=False)).cast_column("video", Video(decode=False))
sounds = [row["audio"] for row in rows.select_columns(["audio"]) if row["audio"] is not None]
videos = [row["video"] for row in rows.select_columns(["video"]) if row["video"] is not None]
print(json.dumps({"features": told, "image": [image.format, *image.size], "sound": len(sounds[0]["bytes"]),
                  "video": videos[0], "rows": len(rows)}))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("media"))
    folder.sparkfile(SPARKFILE)
    folder.write("words.py", WORDS)
    folder.write("data/train/a.md", "A text of several words.")
    folder.write("data/train/short.txt", "Short.")
    folder.write("data/train/photo.jpg", encoded(photos()[0], "JPEG"))
    folder.write("data/train/digit.png", digit(1))
    folder.write("data/train/tone.wav", audio(tone(1)))
    folder.write("data/train/clip.mp4", video(moving()))
    folder.write("data/test/clip.webm", video(moving(seed=1), "libvpx-vp9", "webm"))
    folder.write("data/train/no-moov.mp4", bad_clip("no-moov.mp4"))
    folder.write("data/train/bomb.png", bad_images()["bomb.png"][0])
    folder.spark("build")
    folder.spark("get", "dataset:all", "--to", "out")
    return folder


def test_datasets_opens_it(built: Folder) -> None:
    out = built.path / "out"
    done = subprocess.run(
        [sys.executable, "-c", OPENED, str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["features"] == {
        "id": "Value", "source": "Value", "audio": "Audio", "image": "Image", "text": "Value", "video": "Video",
        "meta": "Value",
    }  # fmt: skip
    assert told["rows"] == 5
    assert told["image"] in (["PNG", 32, 32], ["JPEG", 640, 427])
    assert told["sound"] == len((built.path / "data/train/tone.wav").read_bytes())
    assert (out / told["video"]["path"]).read_bytes() == (built.path / "data/train/clip.mp4").read_bytes()


def test_broken_media_are_rejected_items_and_the_text_gate_looks_at_text_alone(built: Folder) -> None:
    rows = json.loads(built.spark("show", "dataset:all", "--rejected", "--json").out)["rows"]
    found = {row["source"]: row["reason"] for row in rows}
    assert found == {
        "train/bomb.png": "too_many_pixels", "train/no-moov.mp4": BAD_CLIPS["no-moov.mp4"],
        "train/short.txt": "short",
    }  # fmt: skip


def test_rows_are_shown_with_what_is_known_of_their_media(built: Folder) -> None:
    shown = built.spark("show", "dataset:all").out
    assert "train/photo.jpg: JPEG, 640 x 427" in shown
    assert "train/tone.wav: WAV, pcm_s16le, 1 s" in shown
    assert "h264, 96 x 64, 2 s" in shown
    rows = json.loads(built.spark("show", "dataset:all", "--json").out)["rows"]
    assert {row["video"]["frames"] for row in rows if row["video"]} == {24}


def test_the_card_counts_what_is_there(built: Folder) -> None:
    card = (built.path / "out/README.md").read_text()
    assert "| `image` | image | 2 | pixels wide | 32 | 32 | 640 |" in card
    assert "| `video` | video | 2 |" in card
    assert "dtype: audio" in card


def test_an_edited_photo_costs_itself_alone(built: Folder, tmp_path: Path) -> None:
    built.spark("tag", "dataset:all@before")
    built.write("data/train/photo.jpg", encoded(photos()[1], "JPEG"))
    again = built.spark("build", "--json")
    assert [again.items[f"dataset:all/{stage}"]["handled"] for stage in ("ingest", "filter")] == [1, 0]
    built.spark("get", "dataset:all", "--to", "again")
    cold = Folder(tmp_path)
    for file in (
        "Sparkfile.yaml",
        "words.py",
        *(f"data/{f.relative_to(built.path / 'data')}" for f in _files(built)),
    ):
        cold.write(file, (built.path / file).read_bytes())
    assert cold.spark("build", "--json").outputs == again.outputs
    changed = json.loads(built.spark("diff", "dataset:all@before", "dataset:all", "--json").out)
    assert "train/photo.jpg" in json.dumps(changed)


def _files(folder: Folder) -> list[Path]:
    return [f for f in (folder.path / "data").rglob("*") if f.is_file()]


def test_an_image_can_be_read_back_from_the_rows(built: Folder) -> None:
    from PIL import Image

    from spark_build.contract.rows import DatasetFolder

    rows = list(DatasetFolder(built.path / "out").rows("train"))
    (photo,) = (row["image"]["bytes"] for row in rows if row["source"] == "train/photo.jpg")
    assert Image.open(io.BytesIO(photo)).size == (640, 427)
