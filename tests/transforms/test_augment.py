"""augment: what varies and by how much, from which draw, and only where it may."""

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import RATE, audio, tone
from pictures import encoded, photos
from PIL import Image
from pydantic import ValidationError

from spark_build.contract import Item, Media
from spark_build.core.digest import digest_file
from spark_build.core.errors import ItemRejected
from spark_build.transforms._media import made
from spark_build.transforms.augment import Augment, Params
from tests.spark import Folder


@pytest.fixture
def picture(tmp_path: Path) -> Media:
    (tmp_path / "a.png").write_bytes(encoded(photos()[0].resize((96, 64))))
    return made(tmp_path / "a.png")


@pytest.fixture
def sound(tmp_path: Path) -> Media:
    (tmp_path / "a.wav").write_bytes(audio(tone(2.0)))
    return made(tmp_path / "a.wav")


def variants(media: Media, *, keep: bool = False, **params: Any) -> list[Media]:
    found = Augment(Params(keep=keep, **params)).apply(
        Item("a", "a", "train", {media.kind: media, "label": "x"})
    )
    return [fields[media.kind] for fields in found]


def variant(media: Media, **params: Any) -> Media:
    (one,) = variants(media, **params)
    return one


def pixels(media: Media) -> Any:
    with Image.open(media.path) as image:
        return np.asarray(image.convert("RGB")).astype(float)


def samples(media: Media) -> Any:
    with wave.open(str(media.path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


def decibels(signal: Any, noise: Any) -> float:
    return float(10 * np.log10(np.mean(signal**2) / np.mean(noise**2)))


# images


def test_flip_changes_left_and_right(picture: Media) -> None:
    assert np.array_equal(pixels(variant(picture, flip=1)), pixels(picture)[:, ::-1])


def test_half_of_many_are_flipped(picture: Media) -> None:
    flipped = [
        np.array_equal(pixels(one), pixels(picture)[:, ::-1])
        for one in variants(picture, flip=0.5, copies=40)
    ]
    assert 10 <= sum(flipped) <= 30


def test_a_crop_is_a_part_of_the_image_and_no_smaller_than_said(picture: Media) -> None:
    whole, sizes = pixels(picture), set()
    for one in variants(picture, crop=0.6, copies=8):
        part = pixels(one)
        sizes.add(part.shape)
        assert part.shape[0] >= round(64 * 0.6)
        assert part.shape[1] >= round(96 * 0.6)
        places = [(y, x) for y in range(64 - part.shape[0] + 1) for x in range(96 - part.shape[1] + 1)]
        assert any(
            np.array_equal(whole[y : y + part.shape[0], x : x + part.shape[1]], part) for y, x in places
        )
    assert len(sizes) > 3


def test_turns_are_as_far_as_said(picture: Media) -> None:
    for one in variants(picture, rotate=5, copies=6):
        middle = np.s_[24:40, 36:60]
        assert np.abs(pixels(one) - pixels(picture)).mean() > 0.5
        assert np.abs(pixels(one)[middle] - pixels(picture)[middle]).mean() < 25


@pytest.mark.parametrize(
    ("params", "figure"),
    [
        ({"brightness": [0.5, 0.5]}, lambda new, old: new.mean() / old.mean()),
        ({"contrast": 0.5}, lambda new, old: new.std() / old.std()),
        ({"saturation": 0.5}, lambda new, old: np.ptp(new, axis=2).mean() / np.ptp(old, axis=2).mean()),
    ],
)
def test_colors_change_by_the_factor(picture: Media, params: dict[str, Any], figure: Any) -> None:
    """Within 10%: what is clipped and rounded."""
    assert figure(pixels(variant(picture, **params)), pixels(picture)) == pytest.approx(0.5, rel=0.1)


def test_noise_is_as_strong_as_said(picture: Media) -> None:
    """Within 10%: 18,000 samples, some clipped."""
    gray = Image.new("RGB", (96, 64), "#808080")
    gray.save(picture.path)
    assert (pixels(variant(picture, noise=8)) - 128).std() == pytest.approx(8, rel=0.1)


def test_a_jpeg_stays_one_and_a_png_loses_nothing(tmp_path: Path, picture: Media) -> None:
    (tmp_path / "b.jpg").write_bytes(encoded(photos()[1].resize((96, 64)), "JPEG"))
    photo = made(tmp_path / "b.jpg")
    assert [variant(one, flip=1).suffix for one in (picture, photo)] == [".png", ".jpg"]
    assert variant(photo, flip=1, image_format="png").suffix == ".png"


# sound


def test_noise_lies_so_many_decibels_below(sound: Media) -> None:
    for wanted in (0, 20, 40):
        before, after = samples(sound) / 4, samples(variant(sound, snr=wanted, gain=-12.0412))
        assert decibels(before, after - before) == pytest.approx(wanted, abs=1.0)


def test_gain_is_in_decibels_and_what_is_too_loud_is_clipped(sound: Media) -> None:
    louder = samples(variant(sound, gain=6))
    assert np.abs(louder).max() <= 32768
    quiet = samples(variant(sound, gain=-20))
    assert decibels(samples(sound), quiet) == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_faster_is_shorter_and_higher(sound: Media, speed: float) -> None:
    changed = variant(sound, speed=speed)
    assert changed.facts["duration"] == pytest.approx(2.0 / speed, abs=0.02)
    assert changed.facts["sample_rate"] == RATE
    spectra = [np.abs(np.fft.rfft(samples(one)[: RATE // 4])) for one in (sound, changed)]
    first, second = (int(np.argmax(spectrum)) * 4 for spectrum in spectra)
    assert second / first == pytest.approx(speed, rel=0.03)


def test_flac_holds_the_same_samples(sound: Media) -> None:
    wav, flac = (variant(sound, snr=20, audio_format=kind) for kind in ("wav", "flac"))
    assert (flac.suffix, flac.facts["duration"]) == (".flac", wav.facts["duration"])


def test_silence_stays_silent(tmp_path: Path) -> None:
    (tmp_path / "b.wav").write_bytes(audio(np.zeros(RATE, np.int16)))
    assert not samples(variant(made(tmp_path / "b.wav"), snr=10)).any()


# what is drawn


def digests(found: list[Media]) -> list[str]:
    return [digest_file(one.path) for one in found]


@pytest.mark.parametrize("kind", ["picture", "sound"])
def test_variants_differ_hang_on_the_content_alone_and_follow_the_seed(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    media = request.getfixturevalue(kind)
    params: dict[str, Any] = (
        {"noise": [1, 9], "crop": 0.7} if kind == "picture" else {"snr": [5, 30], "speed": [0.9, 1.1]}
    )
    first = digests(variants(media, copies=3, **params))
    assert len(set(first)) == 3
    elsewhere = tmp_path / f"other{media.suffix}"
    elsewhere.write_bytes(media.path.read_bytes())
    assert digests(variants(made(elsewhere), copies=2, **params)) == first[:2], (
        "more copies leave the first as they are"
    )
    assert not set(digests(variants(media, copies=3, seed=1, **params))) & set(first)


def test_one_more_kind_of_change_draws_the_others_as_before(picture: Media) -> None:
    one, both = (variant(picture, crop=0.5, **more) for more in ({}, {"flip": 1}))
    assert pixels(one).shape == pixels(both).shape


def test_other_modalities_pass_and_a_field_of_another_type_is_refused(picture: Media) -> None:
    rule = Augment(Params(snr=20))
    assert rule.apply(Item("a", "a", "train", {"image": picture, "text": "x"})) == [{}]
    with pytest.raises(ItemRejected, match="field_type"):
        Augment(Params(snr=20, field="text")).apply(Item("a", "a", "train", {"text": "x"}))


def test_what_can_not_be_meant_is_told() -> None:
    for params, said in (
        ({}, "say what varies"),
        ({"snr": [30, 10]}, "the smaller one first"),
        ({"speed": 9}, "is not within 0.25 and 4"),
    ):
        with pytest.raises(ValidationError, match=said):
            Params(**params)


def test_only_the_split_that_is_named_grows_and_an_added_image_leaves_the_others(folder: Folder) -> None:
    folder.sparkfile(
        "datasets:\n  pictures:\n    source: {use: files, with: {path: data, label: parent}}\n"
        "    splits: {train: 0.5, test: 0.5}\n    transforms:\n"
        "      - use: augment\n        only: train\n"
        "        with: {copies: 2, flip: 0.5, crop: 0.8, noise: [0, 8], number_in: variant}\n"
    )
    for number in range(12):
        picture = photos()[0].crop((number * 9, 20, number * 9 + 40, 60))
        folder.write(f"data/{'ab'[number % 2]}/{number}.png", encoded(picture))
    folder.build()
    rows = shown(folder)
    counts = {split: sum(row["split"] == split for row in rows) for split in ("train", "test")}
    assert counts["train"] % 3 == 0
    assert counts["train"] // 3 + counts["test"] == 12
    tests = [row for row in rows if row["split"] == "test"]
    assert all("#" not in row["id"] and not row["variant"] for row in tests)
    trains = [row for row in rows if row["split"] == "train"]
    assert {row["id"].rpartition("#")[2] for row in trains} == {"0", "1", "2"}
    assert {row["label"] for row in trains} == {"a", "b"}
    folder.write("data/a/new.png", encoded(photos()[1].resize((40, 40))))
    built = folder.build()
    assert built.items["dataset:pictures/ingest"]["handled"] <= 2
    after = {row["id"]: json.dumps(row, sort_keys=True) for row in shown(folder)}
    assert all(after[row["id"]] == json.dumps(row, sort_keys=True) for row in rows)
    assert len(after) in (len(rows) + 1, len(rows) + 3)


def shown(folder: Folder) -> list[dict[str, Any]]:
    rows = []
    for split in ("train", "test"):
        told = folder.spark("show", "dataset:pictures", "--split", split, "--json", "--limit", "1000").lines[
            0
        ]["rows"]
        rows += [{**row, "split": split} for row in told]
    return rows
