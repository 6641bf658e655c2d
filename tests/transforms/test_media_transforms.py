"""Transforms of images, audio and video: what comes out, what is lost on purpose, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import audio, bad_clip, moving, tone, video
from pictures import encoded, odd_images, photos
from PIL import Image

from spark_build.contract import Item, Media
from spark_build.core.errors import ItemRejected
from spark_build.modalities.media.metadata import stripped
from spark_build.transforms._media import made
from spark_build.transforms.convert_image import ConvertImage
from spark_build.transforms.extract_audio import ExtractAudio
from spark_build.transforms.frames import Frames
from spark_build.transforms.resample import Resample
from spark_build.transforms.strip_exif import StripExif


def media(folder: Path, name: str, data: bytes) -> Media:
    (folder / name).write_bytes(data)
    return made(folder / name)


def item(one: Media, **fields: Any) -> Item:
    return Item("a", "a", "train", {one.kind: one, **fields})


def only(found: Any) -> dict[str, Any]:
    (one,) = found
    return dict(one)


def tagged(kind: str, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "ACME", 6
    exif.get_ifd(0x8825)[1] = "N"
    return encoded(photos()[0].resize((60, 40)), kind, exif=exif, **options)


# strip_exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [True, False])
def test_metadata_goes_and_pixels_stay(tmp_path: Path, kind: str, orientation: bool) -> None:
    before = media(tmp_path, "a", tagged(kind))
    assert before.facts["exif"]["Make"] == "ACME"
    after = only(StripExif(StripExif.Params(orientation=orientation)).apply(item(before)))["image"]
    assert after.facts.get("exif", {}) == ({"Orientation": 6.0} if orientation else {})
    assert b"ACME" not in after.path.read_bytes()
    pixels = [np.asarray(Image.open(one.path)) for one in (before, after)]
    assert np.array_equal(*pixels)


def test_texts_and_comments_go_too(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Author", "Ann")
    assert b"Ann" not in stripped(encoded(photos()[0].resize((9, 9)), "PNG", pnginfo=info), ".png")
    jpeg = encoded(photos()[0].resize((9, 9)), "JPEG", comment=b"by Ann")
    assert b"by Ann" in jpeg
    assert b"by Ann" not in stripped(jpeg, ".jpg")


def test_what_has_no_metadata_stays_the_same_file(tmp_path: Path) -> None:
    before = media(tmp_path, "a.png", encoded(photos()[0].resize((9, 9))))
    assert only(StripExif(StripExif.Params()).apply(item(before)))["image"] == before


def test_a_format_that_is_not_known_is_rejected_where_it_has_exif(tmp_path: Path) -> None:
    with pytest.raises(ItemRejected, match="unsupported_format"):
        StripExif(StripExif.Params()).apply(item(media(tmp_path, "a.tif", tagged("TIFF"))))


def test_a_cut_file_is_a_broken_image() -> None:
    with pytest.raises(ItemRejected, match="broken_image"):
        stripped(tagged("JPEG")[:30], ".jpg")


# convert_image


@pytest.mark.parametrize("name", list(odd_images()))
@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_any_image_becomes_any_format(tmp_path: Path, name: str, form: str) -> None:
    before = media(tmp_path, name, odd_images()[name])
    after = only(ConvertImage(ConvertImage.Params(format=form)).apply(item(before)))["image"]
    assert (after.facts["format"], after.facts["mode"]) == (form.upper(), "RGB")


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ({"size": 320}, (320, 214)),
        ({"size": 2000}, (640, 427)),
        ({"size": [100, 100]}, (100, 67)),
        ({"size": [100, 100], "fit": "cover"}, (100, 100)),
        ({"size": [100, 30], "fit": "stretch"}, (100, 30)),
    ],
)
def test_size_and_fit_say_how_large(tmp_path: Path, params: dict[str, Any], size: tuple[int, int]) -> None:
    before = media(tmp_path, "a.jpg", encoded(photos()[0], "JPEG"))
    after = only(ConvertImage(ConvertImage.Params(**params)).apply(item(before)))["image"]
    assert (after.facts["width"], after.facts["height"]) == size


def test_it_is_turned_upright_and_what_is_clear_becomes_white(tmp_path: Path) -> None:
    turned = only(ConvertImage(ConvertImage.Params()).apply(item(media(tmp_path, "a.jpg", tagged("JPEG")))))
    assert (turned["image"].facts["width"], turned["image"].facts["height"]) == (40, 60)
    assert "exif" not in turned["image"].facts
    clear = media(tmp_path, "b.png", encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 0))))
    after = only(ConvertImage(ConvertImage.Params(format="png")).apply(item(clear)))["image"]
    assert Image.open(after.path).getpixel((1, 1)) == (255, 255, 255)


# frames


@pytest.mark.parametrize(
    ("params", "times"),
    [
        ({"every": 0.5}, [0.0, 0.5, 1.0, 1.5]),
        ({"count": 2}, [0.5, 1.5]),
        ({"count": 1}, [1.0]),
        ({"every": 10}, [0.0]),
    ],
)
def test_frames_are_of_the_times_that_are_asked_for(
    tmp_path: Path, params: dict[str, Any], times: list[float]
) -> None:
    clip = media(tmp_path, "v.mp4", video(moving()))
    found = Frames(Frames.Params(**params)).apply(item(clip, caption="China"))
    assert [frame["time"] for frame in found] == times
    assert all("video" not in frame for frame in found)
    assert found[0]["image"].facts["width"] == 96


def test_a_frame_looks_like_what_was_filmed(tmp_path: Path) -> None:
    clip = media(tmp_path, "v.mp4", video(moving()))
    (frame,) = Frames(Frames.Params(count=1, format="png")).apply(item(clip))
    seen = np.asarray(Image.open(frame["image"].path), np.float64)
    assert np.abs(seen - moving()[12]).mean() < 12  # of 255: h264 loses fine detail, above all of color


def test_keyframes_are_fewer_and_the_first_is_one(tmp_path: Path) -> None:
    clip = media(tmp_path, "v.mp4", video(moving()))
    found = Frames(Frames.Params(keyframes=True)).apply(item(clip))
    assert found[0]["time"] == 0.0
    assert len(found) < 24


def test_a_video_of_too_many_frames_is_rejected(tmp_path: Path) -> None:
    clip = media(tmp_path, "v.mp4", video(moving()))
    with pytest.raises(ItemRejected, match="too_many_frames"):
        Frames(Frames.Params(every=0.01, most=5)).apply(item(clip))


def test_a_broken_video_is_one_rejected_item(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(bad_clip("no-moov.mp4"))
    broken = Media("video", tmp_path / "v.mp4", ".mp4", {"duration": 1.0})
    with pytest.raises(ItemRejected, match="broken_media"):
        Frames(Frames.Params(count=1)).apply(item(broken))


# sound


@pytest.mark.parametrize("form", ["wav", "flac"])
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44_100, 2), (None, None)])
def test_sound_is_brought_to_rate_and_channels(
    tmp_path: Path, form: str, rate: int | None, channels: int | None
) -> None:
    before = media(tmp_path, "a.mp3", audio(tone(1.5), "libmp3lame", "mp3"))
    params = Resample.Params(rate=rate, channels=channels, format=form)
    facts = only(Resample(params).apply(item(before)))["audio"].facts
    assert (facts["sample_rate"], facts["channels"]) == (rate or 16_000, channels or 1)
    assert facts["audio_codec"] == {"wav": "pcm_s16le", "flac": "flac"}[form]
    assert facts["duration"] == pytest.approx(before.facts["duration"], abs=0.09)


def test_a_tone_stays_the_same_tone(tmp_path: Path) -> None:
    import wave

    before = media(tmp_path, "a.wav", audio(tone(2, hertz=(440,))))
    after = only(Resample(Resample.Params(rate=8000)).apply(item(before)))["audio"]
    with wave.open(str(after.path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    loudest = np.abs(np.fft.rfft(samples)).argmax() * 8000 / len(samples)
    assert loudest == pytest.approx(440, abs=1)


def test_a_clip_gives_its_sound_beside_itself(tmp_path: Path) -> None:
    clip = media(tmp_path, "v.mp4", video(moving(), sound=tone(2)))
    both = only(ExtractAudio(ExtractAudio.Params(rate=8000)).apply(item(clip)))
    assert both["video"] == clip
    assert both["audio"].facts["sample_rate"] == 8000
    alone = only(ExtractAudio(ExtractAudio.Params(keep_video=False)).apply(item(clip)))
    assert [*alone] == ["audio"]


def test_a_silent_clip_is_rejected_or_kept(tmp_path: Path) -> None:
    clip = media(tmp_path, "v.mp4", video(moving()))
    with pytest.raises(ItemRejected, match="no_audio"):
        ExtractAudio(ExtractAudio.Params()).apply(item(clip))
    assert only(ExtractAudio(ExtractAudio.Params(silent=True)).apply(item(clip))) == {"video": clip}


@pytest.mark.parametrize("rule", [StripExif, ConvertImage, Resample, ExtractAudio])
def test_items_of_another_modality_pass(rule: Any) -> None:
    one = Item("a", "a", "train", {"text": "words"})
    assert rule(rule.Params()).fields_read(one) == ()
    assert only(rule(rule.Params()).apply(one)) == {}


@pytest.mark.parametrize("rule", [StripExif, ConvertImage, Resample, ExtractAudio])
def test_a_field_of_another_type_makes_a_rejected_item(rule: Any) -> None:
    """What it reads can be told all the same: the runner asks that before it catches what goes wrong."""
    given, text = rule(rule.Params(field="text")), Item("a", "a", "train", {"text": "no media"})
    assert given.fields_read(text) == ("text",)
    with pytest.raises(ItemRejected) as why:
        given.apply(text)
    assert why.value.reason == "field_type"
