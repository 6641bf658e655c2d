"""Images that are nearly the same: planted copies of photos, digits and drawn scenes are found, others are not."""

import io
import itertools
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from gate_corpus import kept_after_join
from pictures import digits, encoded, odd_images, photos
from PIL import Image, ImageDraw

from spark_build.contract import Item, Media
from spark_build.gates.near_duplicates import NearDuplicates, Params
from spark_build.modalities.media.hamming import MOST_BITS, near_pairs
from spark_build.modalities.media.pictures import picture_hashes

Edit = Callable[[Image.Image], Image.Image]
GATE = NearDuplicates(Params(method="phash"))


def scene(seed: int) -> Image.Image:
    """Boxes and ellipses."""
    draw_of = random.Random(seed)
    image = Image.new("RGB", (160, 120), tuple(draw_of.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(draw_of.randrange(4, 14)):
        x, y, w, h = (draw_of.randrange(8, most) for most in (160, 120, 90, 70))
        color = tuple(draw_of.randrange(256) for _ in range(3))
        shape = draw.rectangle if draw_of.random() < 0.5 else draw.ellipse
        shape((x - w // 2, y - h // 2, x + w // 2, y + h // 2), fill=color)
    return image


@cache
def originals() -> tuple[Image.Image, ...]:
    """12 pieces of photos that don't overlap and show something, 45 digits, 45 scenes."""
    pieces = [
        photo.crop((x, y, x + 210, y + 200)) for photo in photos() for x in (0, 215, 430) for y in (20, 225)
    ]
    return (
        *pieces,
        *(digit.resize((64, 64)).convert("RGB") for digit in digits()[:45]),
        *map(scene, range(45)),
    )


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(encoded(image, "JPEG", quality=quality)))


def cropped(image: Image.Image, share: float, across: float = 0.5, down: float = 0.5) -> Image.Image:
    width, height = int(image.width * share), int(image.height * share)
    left, top = int((image.width - width) * across), int((image.height - height) * down)
    return image.crop((left, top, left + width, top + height))


EDITS: dict[str, Edit] = {
    "jpeg 50": lambda image: jpeg(image, 50),
    "jpeg 25": lambda image: jpeg(image, 25),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "twice the size": lambda image: image.resize((image.width * 2, image.height * 2)),
    "wider": lambda image: image.resize((image.width * 6 // 5, image.height)),
    "97% of the side": lambda image: cropped(image, 0.97, 0.3, 0.7),
    "95% of the side": lambda image: cropped(image, 0.95, 0.8, 0.2),
    "a corner cut off": lambda image: cropped(image, 0.94, 0.0, 0.0),
    "90% from the middle": lambda image: cropped(image, 0.9),
}  # fmt: skip


class Album:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def item(self, name: str, image: Image.Image, kind: str = "PNG") -> Item:
        path = self._folder / f"{name}.png"
        path.write_bytes(encoded(image, kind))
        return Item(name, name, "train", {"image": Media("image", path, ".png")})


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    return Album(tmp_path_factory.mktemp("album"))


@pytest.fixture(scope="module")
def known(album: Album) -> list[Item]:
    return [album.item(f"original-{n}", image) for n, image in enumerate(originals())]


def hashes_of(items: list[Item]) -> np.ndarray:
    return np.frombuffer(b"".join(GATE.signature(item) for item in items), "<u8").reshape(len(items), -1)


@pytest.mark.parametrize("name", list(EDITS))
def test_planted_copies_are_found(album: Album, known: list[Item], name: str) -> None:
    copies = [album.item(f"{name}-{n}", EDITS[name](image)) for n, image in enumerate(originals())]
    found = 0
    for original, copy in zip(known, copies, strict=True):
        pairs = list(GATE.candidates([GATE.signature(original), GATE.signature(copy)], GATE.params))
        found += bool(pairs) and GATE.is_similar(GATE.similarity(original, copy), GATE.params)
    assert found / len(copies) >= 0.98


def test_other_images_are_told_apart(known: list[Item]) -> None:
    pairs = list(GATE.candidates([GATE.signature(item) for item in known], GATE.params))
    wrong = [(i, j) for i, j in pairs if GATE.is_similar(GATE.similarity(known[i], known[j]), GATE.params)]
    assert len(wrong) <= 0.01 * len(known)  # of as many copies as there are originals: a precision of 0.99


def test_no_pair_within_the_bits_is_missed() -> None:
    draw = np.random.default_rng(3)
    hashes = draw.integers(0, 2**63, (300, 3), np.uint64)
    hashes[150:] = hashes[:150]
    for row in hashes[150:]:
        for bit in draw.choice(64, draw.integers(0, 20), replace=False):
            row[:] ^= np.uint64(1 << int(bit))
    near = [
        (i, j)
        for j, i in itertools.product(range(300), repeat=2)
        if i < j
        and min(
            np.bitwise_count(hashes[i, 0] ^ hashes[j]).min(), np.bitwise_count(hashes[j, 0] ^ hashes[i]).min()
        )
        <= MOST_BITS
    ]
    assert list(near_pairs(hashes, lambda position: True)) == near
    assert len(near) > 50


def test_a_cluster_of_copies_gives_a_pair_each(album: Album) -> None:
    items = [album.item(f"cluster-{n}", jpeg(originals()[0], 60 + n)) for n in range(30)]
    kept, compared = kept_after_join(GATE, items)
    assert len(kept) == 1
    assert compared == 29


def test_plain_colors_are_told_apart_by_their_color(album: Album) -> None:
    red, blue, other = (album.item(c, Image.new("RGB", (50, 50), c)) for c in ("red", "blue", "#fe0101"))
    assert GATE.similarity(red, blue) < 0.5
    assert GATE.similarity(red, other) > 0.9


@pytest.mark.parametrize("name", list(odd_images()))
def test_unusual_images_have_a_hash_and_are_like_themselves(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(odd_images()[name])
    item = Item("a", "a", "train", {"image": Media("image", tmp_path / name, Path(name).suffix)})
    assert len(GATE.signature(item)) == 64
    assert GATE.similarity(item, item) == 1.0


def test_an_image_turned_by_its_exif_is_like_the_upright_one(tmp_path: Path, album: Album) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "turned.jpg").write_bytes(encoded(originals()[1].rotate(90, expand=True), "JPEG", exif=exif))
    turned = Item("t", "t", "train", {"image": Media("image", tmp_path / "turned.jpg", ".jpg")})
    assert GATE.similarity(turned, album.item("upright", originals()[1])) > 0.9


def test_hashes_are_these_bits_on_every_machine(tmp_path: Path) -> None:
    x, y = np.mgrid[0:96, 0:128]
    pixels = np.stack([(x * y) % 256, (x + 3 * y) % 256, (5 * x) % 256], axis=-1).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(pixels)))
    assert picture_hashes(tmp_path / "a.png")[:8].hex() == "cc6630e438e47cf6"
