"""Audio and video for tests, rendered and encoded with PyAV; and files that are broken in one way each."""

import io
import os
import wave
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np

RATE = 16_000


def tone(seconds: float = 1.0, *, hertz: Sequence[float] = (220, 330, 440), seed: int = 0) -> np.ndarray:
    """A melody with a little noise; int16."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    note = np.array(hertz)[(time * 4).astype(int) % len(hertz)]
    wave = np.sin(2 * np.pi * np.cumsum(note) / RATE) + rng.normal(0, 0.02, len(time))
    return (wave * 12_000).astype(np.int16)


def audio(samples: np.ndarray, codec: str = "pcm_s16le", container: str = "wav", rate: int = RATE) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        _encode(output, _stream(output, codec, rate), samples)
    return file.getvalue()


def video(
    frames: Iterable[np.ndarray],
    codec: str = "libx264",
    container: str = "mp4",
    *,
    rate: int = 12,
    sound: np.ndarray | None = None,
    gaps: Sequence[int] = (1,),
) -> bytes:
    """RGB frames of one even size; `gaps` between them repeat, in frames."""
    file, frames = io.BytesIO(), list(frames)
    with _scheduled_as_before(), av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, rate)
        track = _stream(output, "aac", RATE) if sound is not None else None
        place = 0
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.time_base = place, Fraction(1, rate)
            place += gaps[number % len(gaps)]
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
        if track is not None and sound is not None:
            _encode(output, track, sound)
    return file.getvalue()


@contextmanager
def _scheduled_as_before() -> Iterator[None]:
    """As root SVT-AV1 lets the thread that calls it, and so all that it starts later, keep others off the cores."""
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    os.sched_setscheduler(0, policy, priority)


def moving(count: int = 24, size: tuple[int, int] = (96, 64), seed: int = 0) -> list[np.ndarray]:
    """A window that moves over one of scikit-learn's photos."""
    from pictures import photos

    width, height = size
    picture = np.asarray(photos()[seed % 2])
    top, left = 40 + seed * 13 % 200, 10 + seed * 29 % 200
    return [picture[top : top + height, left + n * 6 : left + n * 6 + width] for n in range(count)]


def _stream(output: "av.container.OutputContainer", codec: str, rate: int) -> "av.AudioStream":
    return output.add_stream(codec, rate=rate, layout="mono")


def _encode(output: "av.container.OutputContainer", stream: "av.AudioStream", samples: np.ndarray) -> None:
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
    context = stream.codec_context
    if not context.is_open:
        context.open()  # it says the size of its frames then
    options = {"format": context.format, "layout": "mono", "rate": context.rate}
    resampler = av.AudioResampler(**options, frame_size=context.frame_size or 1024)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        output.mux(stream.encode(part))
    output.mux(stream.encode(None))


BAD_CLIPS = {
    "lying.wav": "truncated", "silent.wav": "empty", "no-moov.mp4": "broken_media", "cut.mp4": "broken_media",
    "head.webm": "broken_media", "head.flac": "broken_media",
}  # fmt: skip


def bad_clip(name: str) -> bytes:
    """One that is rejected with the reason of `BAD_CLIPS`."""
    if name == "silent.wav":
        return _silent_wav()
    if name == "lying.wav":
        whole = audio(tone(2))
        return whole[: len(whole) // 2]
    if name == "head.flac":
        return audio(tone(1), "flac", "flac")[:30]
    if name == "head.webm":
        return video(moving(), "libvpx-vp9", "webm")[:200]
    clip = video(moving())
    return clip.replace(b"moov", b"junk") if name == "no-moov.mp4" else clip[: len(clip) // 2]


def _silent_wav() -> bytes:
    """A header that promises no samples, and holds to that."""
    file = io.BytesIO()
    with wave.open(file, "wb") as output:
        output.setparams((1, 2, RATE, 0, "NONE", ""))
    return file.getvalue()
