"""With a real ResNet that is trained for seconds here: the handwritten 8 stands for what is unsafe."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from clips import moving, video
from pictures import digit, digits, encoded
from PIL import Image
from tiny_models import bert
from tiny_vision import digit_labels, train_resnet

from spark_build.contract import Item, Media
from spark_build.core.errors import BadInput, ItemRejected
from spark_build.gates.nsfw import Nsfw, Params
from tests.spark import Folder

TAUGHT, SHOWN = 1200, range(1200, 1400)
SPARKFILE = """\
datasets:
  scans: {source: data/scans, gates: [safe]}
gates:
  safe: {use: nsfw, with: {model: models/safe, threshold: 0.5}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "safe"
    train_resnet(folder, ["normal", "nsfw"], [int(label == 8) for label in digit_labels()[:TAUGHT]])
    return folder


def gate(folder: Path, **params: Any) -> Nsfw:
    return Nsfw(Params(model="model:safe", **params), {"model": folder})


def item(path: Path, data: bytes, kind: str = "image", **facts: Any) -> Item:
    path.write_bytes(data)
    return Item(path.stem, path.name, "train", {"media": Media(kind, path, path.suffix, facts)})


def test_a_build_drops_what_the_model_learned_to_call_unsafe_better_than_the_majority_would(
    folder: Folder, trained: Path
) -> None:
    shutil.copytree(trained, folder.path / "models/safe")
    folder.sparkfile(SPARKFILE)
    for number in SHOWN:
        folder.write(f"data/scans/{number}.png", encoded(digits()[number]))
    folder.build("dataset:scans")
    shown = folder.spark("show", "dataset:scans", "--rejected", "--json", "--limit", "1000").lines[0]["rows"]
    dropped = {int(Path(row["source"]).stem) for row in shown}
    truth = {number for number in SHOWN if digit_labels()[number] == 8}
    assert {row["reason"] for row in shown} == {"nsfw:nsfw"}
    majority = len(truth) / len(SHOWN)  # wrong verdicts of who keeps everything
    assert len(dropped ^ truth) / len(SHOWN) < majority / 2

    folder.edit("threshold: 0.5", "threshold: 0.9")
    again = folder.build("dataset:scans")
    assert again.items["dataset:scans/filter"]["handled"] == 0, "the model was asked about each image once"


def test_scores_are_the_same_bits_alone_and_in_any_order(trained: Path, tmp_path: Path) -> None:
    items = [item(tmp_path / f"{n}.png", digit(n, 8 + n)) for n in range(12)]
    nsfw = gate(trained)
    alone = [nsfw.measure(one) for one in items]
    assert nsfw.measure_many(items[::-1]) == alone[::-1]
    assert all(sum(found.values()) == pytest.approx(1, abs=1e-6) for found in alone)


def eight() -> Image.Image:
    return digits()[digit_labels().index(8)].resize((64, 64), Image.Resampling.BOX)


def blank() -> Image.Image:
    return digits()[digit_labels().index(1)].resize((64, 64), Image.Resampling.BOX)


def test_one_frame_of_a_video_is_enough(trained: Path, tmp_path: Path) -> None:
    import numpy as np

    plain, shown = (np.asarray(image.convert("RGB")) for image in (blank(), eight()))
    calm = item(tmp_path / "calm.mp4", video([plain] * 24), "video", duration=2.0)
    short = item(tmp_path / "short.mp4", video([*[plain] * 18, *[shown] * 6]), "video", duration=2.0)
    nsfw = gate(trained, frames=4)
    assert nsfw.measure(short)["nsfw"] > 0.5 > nsfw.measure(calm)["nsfw"]
    assert gate(trained, frames=1).measure(short)["nsfw"] < 0.5, "the middle one alone is a plain one"


def test_one_picture_of_an_animation_is_enough(trained: Path, tmp_path: Path) -> None:
    data = encoded(blank(), "GIF", save_all=True, append_images=[eight(), blank()], duration=40)
    moves = item(tmp_path / "a.gif", data, frames=3)
    assert gate(trained).measure(moves)["nsfw"] > 0.5


def test_what_is_no_image_passes_and_a_named_field_of_another_type_is_a_rejected_item(trained: Path) -> None:
    text = Item("a", "a", "train", {"text": "words"})
    nsfw = gate(trained)
    assert nsfw.decide(nsfw.measure(text), nsfw.params).action == "keep"
    with pytest.raises(ItemRejected) as why:
        gate(trained, fields=["text"]).measure(text)
    assert why.value.reason == "field_type"


def test_a_broken_video_is_one_rejected_item(trained: Path, tmp_path: Path) -> None:
    clip = video(moving())
    broken = item(tmp_path / "v.mp4", clip[: len(clip) // 2], "video", duration=2.0)
    with pytest.raises(ItemRejected, match="broken_media"):
        gate(trained).measure(broken)


def test_labels_that_say_that_nothing_is_wrong_do_not_count(trained: Path) -> None:
    five = {"drawings": 0.9, "hentai": 0.02, "neutral": 0.05, "porn": 0.02, "sexy": 0.01}
    nsfw = gate(trained)
    assert nsfw.decide(five, nsfw.params).action == "keep"
    strict = gate(trained, labels=["sexy"], threshold=0.01)
    assert strict.decide(five, strict.params).reason == "nsfw:sexy"


def test_a_label_that_the_model_lacks_is_named(trained: Path) -> None:
    nsfw = gate(trained, labels=["porn"])
    with pytest.raises(BadInput, match="the nsfw model has no label 'porn'") as caught:
        nsfw.decide({"normal": 0.9, "nsfw": 0.1}, nsfw.params)
    assert caught.value.fix == "the model has normal, nsfw"


def test_a_text_classifier_is_refused(tmp_path: Path) -> None:
    bert(tmp_path / "rude")
    with pytest.raises(BadInput, match="'rude' is no image classifier: its type is bert") as caught:
        gate(tmp_path / "rude").measure(item(tmp_path / "a.png", digit(0)))
    assert caught.value.fix == "name a model that was trained as image classifier"


def test_a_model_without_its_processor_says_what_is_missing(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "bare")
    (tmp_path / "bare/preprocessor_config.json").unlink()
    with pytest.raises(BadInput, match="'bare' has no image processor"):
        gate(tmp_path / "bare").measure(item(tmp_path / "a.png", digit(0)))
