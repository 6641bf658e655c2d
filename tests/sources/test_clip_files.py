"""Audio and video among the files of a source: what ffprobe would tell of them, or a reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clips import BAD_CLIPS, audio, bad_clip, moving, tone, video
from pictures import digit

from spark_build.contract import Bad, Media, Raw, SourceFile
from spark_build.core.digest import digest_bytes
from spark_build.sources.files import Files, Params

Read = Callable[..., list[Raw | Bad]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads `data` as a file of that name."""

    def read_content(path: str, data: bytes, **params: Any) -> list[Raw | Bad]:
        (tmp_path / path).write_bytes(data)
        file = SourceFile(path, tmp_path / path, len(data), digest_bytes(data))
        return list(Files(Params(path="data", **params)).read(file))

    return read_content


def media_in(records: list[Raw | Bad]) -> Media:
    (record,) = records
    assert isinstance(record, Raw), record
    ((name, media),) = record.fields.items()
    assert isinstance(media, Media)
    assert name == media.kind
    return media


@pytest.mark.parametrize(
    ("codec", "container", "facts"),
    [
        ("pcm_s16le", "wav", {"format": "WAV", "audio_codec": "pcm_s16le", "audio_bits": 16}),
        ("flac", "flac", {"format": "FLAC", "audio_codec": "flac", "audio_bits": 16}),
        ("libmp3lame", "mp3", {"format": "MP3", "audio_codec": "mp3"}),
        ("libopus", "ogg", {"format": "Ogg", "audio_codec": "opus", "sample_rate": 48_000}),
        ("aac", "mp4", {"format": "MP4", "audio_codec": "aac"}),
    ],
)
def test_audio_is_told_with_codec_rate_channels_and_length(
    read: Read, codec: str, container: str, facts: dict[str, Any]
) -> None:
    rate = facts.get("sample_rate", 16_000)
    media = media_in(read("a", audio(tone(1.5), codec, container, rate)))
    assert media.kind == "audio"
    expected = {"channels": 1, "sample_rate": 16_000, "streams": {"audio": 1}, **facts}
    assert {name: media.facts.get(name) for name in expected} == expected
    # a frame of a codec is up to 1152 samples, and encoders add some to begin with
    assert media.facts["duration"] == pytest.approx(1.5, abs=0.16)


@pytest.mark.parametrize(
    ("codec", "container", "name"),
    [("libx264", "mp4", "h264"), ("libvpx-vp9", "webm", "vp9"), ("libsvtav1", "matroska", "av1")],
)
def test_video_is_told_with_codec_size_and_frame_rate(
    read: Read, codec: str, container: str, name: str
) -> None:
    facts = media_in(read("v", video(moving(), codec, container))).facts
    expected = {"video_codec": name, "width": 96, "height": 64, "frames": 24, "streams": {"video": 1}}
    assert {fact: facts.get(fact) for fact in expected} == expected
    assert facts["duration"] == pytest.approx(2.0, abs=0.002)  # Matroska counts milliseconds
    assert facts["frame_rate"] == pytest.approx(12, abs=0.01)
    assert "variable_frame_rate" not in facts


def test_a_clip_with_sound_is_a_video_with_both(read: Read) -> None:
    media = media_in(read("v.mp4", video(moving(), sound=tone(2))))
    assert media.kind == "video"
    assert media.facts["streams"] == {"audio": 1, "video": 1}
    assert (media.facts["video_codec"], media.facts["audio_codec"]) == ("h264", "aac")


def test_a_variable_frame_rate_is_told(read: Read) -> None:
    assert media_in(read("v.mp4", video(moving(), gaps=(1, 1, 5)))).facts["variable_frame_rate"] is True


def test_a_film_without_a_picture_is_audio(read: Read) -> None:
    assert media_in(read("film.mp4", audio(tone(1), "aac", "mp4"))).kind == "audio"


@pytest.mark.parametrize("name", list(BAD_CLIPS))
def test_a_broken_clip_is_rejected_with_a_reason(read: Read, name: str) -> None:
    (record,) = read(name, bad_clip(name))
    assert isinstance(record, Bad), record
    assert record.reason == BAD_CLIPS[name], record


def test_a_video_has_a_limit_of_pixels_too(read: Read) -> None:
    (record,) = read("v.mp4", video(moving()), max_pixels=1000)
    assert isinstance(record, Bad)
    assert record.reason == "too_many_pixels"


def test_only_the_modality_that_is_asked_for_is_read(read: Read) -> None:
    assert read("v.mp4", video(moving()), modalities=["audio", "image"]) == []
    assert read("a.wav", audio(tone(1)), modalities=["video"]) == []
    assert media_in(read("i.png", digit(1), modalities=["audio", "image"])).kind == "image"


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF])
def test_a_wav_that_was_written_before_its_length_was_known_is_whole(read: Read, size: int) -> None:
    """As programs write into a pipe: espeak-ng and sox, ffmpeg, arecord."""
    data = audio(tone(1), "pcm_s16le", "wav")
    place = data.index(b"data") + 4
    media = media_in(read("piped.wav", data[:place] + size.to_bytes(4, "little") + data[place + 4 :]))
    assert media.facts["duration"] == pytest.approx(1, abs=0.01)
