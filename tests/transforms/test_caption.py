"""With a tiny BLIP that learns here what digits are called, and all five architectures with random weights."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import moving, video
from pictures import digit, digits, encoded
from PIL import Image
from tiny_captioners import ARCHITECTURES, caption_of, shown_digits, train_blip
from tiny_models import bert
from tiny_vision import digit_labels

from spark_build.contract import Item, Media
from spark_build.core.errors import BadInput, ItemRejected
from spark_build.transforms.caption import Caption
from tests.golden.data_cases import context
from tests.spark import Folder

TAUGHT, SHOWN = shown_digits()[:600], shown_digits()[600:]
SPARKFILE = """\
datasets:
  scans:
    source: data/scans
    transforms:
      - {use: caption, with: {model: models/sees, into: text}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "sees"
    train_blip(folder, TAUGHT)
    return folder


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def untrained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The architecture, made from a config. Its weights are random: what it says means nothing."""
    folder = tmp_path_factory.mktemp("random") / request.param
    ARCHITECTURES[request.param](folder)
    return folder


def rule(folder: Path, **params: Any) -> Caption:
    return Caption(Caption.Params(model="model:sees", **params), {"model": folder})


def seen(path: Path, data: bytes, kind: str = "image", **facts: Any) -> Item:
    path.write_bytes(data)
    return Item(path.stem, path.name, "train", {kind: Media(kind, path, path.suffix, facts), "n": 1})


def found_of(caption: Caption, folder: Path, *items: Item) -> list[Any]:
    shutil.rmtree(folder / "run", ignore_errors=True)
    found = dict(caption.ask(items, context(folder / "run", {})))
    return [found[number] for number in range(len(items))]


def test_a_build_captions_images_better_than_the_most_frequent_caption_would_and_asks_once(
    folder: Folder, trained: Path
) -> None:
    shutil.copytree(trained, folder.path / "models/sees")
    folder.sparkfile(SPARKFILE)
    for number in SHOWN:
        folder.write(f"data/scans/{number}.png", encoded(digits()[number]))
    folder.build("dataset:scans")
    shown = folder.spark("show", "dataset:scans", "--json", "--limit", "1000").lines[0]["rows"]
    said = {int(Path(row["source"]).stem): row["text"] for row in shown}
    truth = {number: caption_of(digit_labels()[number]) for number in SHOWN}
    right = sum(said[number] == caption for number, caption in truth.items())
    ((_, baseline),) = Counter(truth.values()).most_common(1)
    assert right / len(SHOWN) > 0.7 > 0.4 > baseline / len(SHOWN)

    folder.edit("into: text", "into: said, shots: frames")
    again = folder.build("dataset:scans")
    assert again.items["dataset:scans/ingest"]["handled"] == 0


def test_every_architecture_answers_with_a_prompt_and_without_alone_and_among_others(
    untrained: Path, tmp_path: Path
) -> None:
    prompt = "<DETAILED_CAPTION>" if untrained.name == "Florence-2" else "What is it?"
    items = [seen(tmp_path / f"{n}.png", digit(n, 40 + 8 * n)) for n in range(2)]
    for params in ({}, {"prompt": prompt}):
        caption = rule(untrained, max_tokens=6, **params)
        together = found_of(caption, tmp_path, *items)
        assert found_of(caption, tmp_path, items[1]) == together[1:]
        assert all(len(shots) == 1 and isinstance(shots[0][1], str) for shots in together)
        assert not any("Describe" in text or "assistant" in text for ((_, text),) in together)


def test_a_video_is_described_by_its_frames_those_alike_once(trained: Path, tmp_path: Path) -> None:
    first, second = (
        np.asarray(
            digits()[digit_labels().index(label)].convert("RGB").resize((64, 64), Image.Resampling.BOX)
        )
        for label in (0, 1)
    )
    clip = seen(tmp_path / "v.mp4", video([*[first] * 12, *[second] * 12]), "video", duration=2.0)
    caption = rule(trained, frames=4, shots="shots")
    (found,) = found_of(caption, tmp_path, clip)
    (fields,) = caption.becomes(clip, found, caption.params)
    assert fields["caption"] == "the digit zero\nthe digit one"
    assert [shot["time"] for shot in fields["shots"]] == [0.25, 0.75, 1.25, 1.75]
    assert fields["video"] == clip["video"]


def test_a_broken_image_is_one_rejected_item_among_others(trained: Path, tmp_path: Path) -> None:
    clip = video(moving())
    broken = seen(tmp_path / "v.mp4", clip[: len(clip) // 2], "video", duration=2.0)
    fine = seen(tmp_path / "a.png", digit(3))
    found = found_of(rule(trained), tmp_path, broken, fine)
    assert isinstance(found[0], ItemRejected)
    assert found[1][0][0] is None


def test_an_item_without_pictures_passes_unchanged(tmp_path: Path) -> None:
    item = Item("a", "a", "train", {"text": "words"})
    caption = rule(tmp_path / "nowhere")
    assert found_of(caption, tmp_path, item) == [None]
    assert caption.becomes(item, None, caption.params) == [{}]


def test_a_text_classifier_is_refused(tmp_path: Path) -> None:
    bert(tmp_path / "rude")
    with pytest.raises(BadInput, match="'rude' is no model that says what it sees: its type is bert"):
        found_of(rule(tmp_path / "rude"), tmp_path, seen(tmp_path / "a.png", digit(1)))
