"""Images among the files of a source: told by content, with what is known of them, or rejected with a reason."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pictures import bad_images, digit, encoded, odd_images, photos

from spark_build.contract import Bad, Media, Raw, SourceFile
from spark_build.core.digest import digest_bytes
from spark_build.core.errors import ItemRejected
from spark_build.modalities.media.kinds import media_format
from spark_build.modalities.media.probing import Prober
from spark_build.sources.files import Files, Params

Read = Callable[..., list[Raw | Bad]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads `data` as a file of that name."""

    def read_content(path: str, data: bytes, **params: Any) -> list[Raw | Bad]:
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        rule = Files(Params(path="data", **params))
        return list(rule.read(SourceFile(path, place, len(data), digest_bytes(data))))

    return read_content


def image_in(records: list[Raw | Bad]) -> Media:
    (record,) = records
    assert isinstance(record, Raw), record
    (media,) = record.fields.values()
    assert isinstance(media, Media)
    return media


def test_an_image_is_one_record_under_the_name_of_its_modality(read: Read) -> None:
    (record,) = read("train/a.png", digit(0))
    assert isinstance(record, Raw)
    assert [*record.fields] == ["image"]
    assert (record.key, record.split) == ("train/a.png", "train")
    media = record.fields["image"]
    assert (media.kind, media.suffix, media.name) == ("image", ".png", "train/a.png")
    assert media.facts == {"format": "PNG", "width": 32, "height": 32, "mode": "L", "bits": 8}


def test_content_tells_an_image_whatever_the_file_is_called(read: Read) -> None:
    assert image_in(read("a.txt", digit(1))).suffix == ".png"
    assert image_in(read("b.png", encoded(photos()[0], "JPEG"))).suffix == ".jpg"


def test_text_that_begins_like_media_stays_text(read: Read) -> None:
    for text in (
        "ID3 is an algorithm",
        "BM25 ranks",
        "II*",
        "GIF",
        "OggS is a magic",
        "RIFF of a guitar, WAVE",
    ):
        (record,) = read("a.txt", text.encode())
        assert isinstance(record, Raw), text
        assert record.fields == {"text": text}
        assert media_format(text.encode(), len(text)) is None


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("cmyk.jpg", {"mode": "CMYK"}),
        ("deep.png", {"mode": "I;16", "bits": 16}),
        ("animated.gif", {"frames": 4, "format": "GIF"}),
        ("exif.jpg", {"exif": {"Make": "ACME", "Orientation": 6.0}}),
        ("wrong-exif.jpg", {"format": "JPEG", "width": 96}),
        ("small.webp", {"format": "WEBP"}),
        ("small.tif", {"format": "TIFF"}),
        ("small.bmp", {"format": "BMP"}),
        ("one-bit.png", {"bits": 1}),
    ],
)
def test_an_unusual_image_is_kept_with_what_is_known(read: Read, name: str, facts: dict[str, Any]) -> None:
    known = image_in(read(name, odd_images()[name])).facts
    assert {fact: known.get(fact) for fact in facts} == facts


@pytest.mark.parametrize("name", list(bad_images()))
def test_a_broken_or_hostile_image_is_rejected_with_a_reason(read: Read, name: str) -> None:
    data, reason = bad_images()[name]
    (record,) = read(name, data)
    assert isinstance(record, Bad), record
    assert record.reason == reason
    assert str(os.getcwd()) not in record.detail


def test_the_limit_of_pixels_is_a_param(read: Read) -> None:
    (record,) = read("a.png", digit(0), max_pixels=1000)
    assert isinstance(record, Bad)
    assert record.reason == "too_many_pixels"
    assert "32 x 32" in record.detail


def test_modalities_that_are_not_asked_for_are_passed_over(read: Read) -> None:
    assert read("a.png", digit(0), modalities=["text"]) == []
    assert read("a.txt", b"text", modalities=["image"]) == []


def test_only_the_libraries_of_what_is_read_are_in_the_key() -> None:
    assert "pillow" in Files.libraries_of(Params(path="data"))
    assert Files.libraries_of(Params(path="data", modalities=["image"])) == ("pillow",)
    assert Files.libraries_of(Params(path="data", modalities=["audio", "video"])) == ("av",)


def test_a_file_that_ends_the_decoder_costs_itself_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(digit(0))
    asked = {"path": str(file), "name": "a.png", "family": "image", "max_pixels": 10**6}
    prober = Prober()
    try:
        assert "facts" in prober.ask(asked)
        assert prober._process is not None
        os.kill(prober._process.pid, signal.SIGKILL)
        with pytest.raises(ItemRejected, match="decoder_crashed"):
            prober.ask(asked)
        assert "facts" in prober.ask(asked)
    finally:
        prober.close()


def test_a_decoder_that_hangs_is_ended(tmp_path: Path) -> None:
    file = tmp_path / "pipe"
    os.mkfifo(file)  # whoever opens it waits
    prober = Prober(timeout_seconds=0.5)
    with pytest.raises(ItemRejected, match="too_slow"):
        prober.ask({"path": str(file), "name": "pipe", "family": "image", "max_pixels": 1})
    assert prober._process is None
