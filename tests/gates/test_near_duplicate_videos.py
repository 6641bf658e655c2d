"""Videos that are nearly the same: planted re-encodings, scalings and crops of clips are found, others are not."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from clips import moving, tone, video
from PIL import Image

from spark_build.contract import Item
from spark_build.gates.near_duplicates import NearDuplicates, Params
from spark_build.transforms._media import made

Frames = list[np.ndarray]
GATE = NearDuplicates(Params(method="phash"))
CLIPS = 8


@cache
def original(number: int) -> Frames:
    return moving(size=(128, 96), seed=number)


def resized(frames: Frames, width: int, height: int) -> Frames:
    return [np.asarray(Image.fromarray(frame).resize((width, height))) for frame in frames]


EDITS: dict[str, Callable[[Frames], bytes]] = {
    "vp9": lambda frames: video(frames, "libvpx-vp9", "webm"),
    "av1": lambda frames: video(frames, "libsvtav1", "matroska"),
    "half the size": lambda frames: video(resized(frames, 64, 48)),
    "cropped": lambda frames: video([frame[2:-2, 4:-2] for frame in frames]),
    "with sound": lambda frames: video(frames, sound=tone(2)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


def item(folder: Path, name: str, data: bytes) -> Item:
    (folder / name).write_bytes(data)
    return Item(name, name, "train", {"video": made(folder / name)})


@pytest.fixture(scope="module")
def known(folder: Path) -> list[Item]:
    return [item(folder, f"original-{n}", video(original(n))) for n in range(CLIPS)]


@pytest.mark.parametrize("name", list(EDITS))
def test_planted_copies_are_found(folder: Path, known: list[Item], name: str) -> None:
    for number, one in enumerate(known):
        copy = item(folder, f"{name}-{number}", EDITS[name](original(number)))
        assert list(GATE.candidates([GATE.signature(one), GATE.signature(copy)], GATE.params))
        assert GATE.is_similar(GATE.similarity(one, copy), GATE.params), number


def test_other_clips_are_told_apart(known: list[Item]) -> None:
    for number, one in enumerate(known):
        assert not any(GATE.is_similar(GATE.similarity(one, other), GATE.params) for other in known[:number])


def test_a_clip_of_another_length_is_another_one(folder: Path, known: list[Item]) -> None:
    longer = item(folder, "longer", video([*original(0), *original(0)[::-1]]))
    assert GATE.similarity(known[0], longer) == 0.0


def test_a_video_is_not_like_an_image(folder: Path, known: list[Item]) -> None:
    Image.fromarray(original(0)[12]).save(folder / "still.png")
    still = Item("i", "i", "train", {"image": made(folder / "still.png")})
    gate = NearDuplicates(Params(method="phash", fields=["video", "image"]))
    assert gate.similarity(known[0], still) == 0.0
