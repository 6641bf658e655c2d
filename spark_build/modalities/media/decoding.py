"""Frames of a video as images, and sound as files of samples, through PyAV."""

import wave
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import ItemRejected, Unavailable

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_SAMPLE_BYTES = 2  # 16 bits
_FULL_SCALE = 32_768
_FLAC_SAMPLES = 4096  # a frame
_TIME_STEP = 0.002  # seconds: Matroska rounds to one thousandth

Wanted = Callable[[float], bool]  # of a frame's time in seconds; asked in order


def frames_of(
    path: Path, wanted: Wanted, *, keyframes: bool = False
) -> Iterator[tuple[float, "Image.Image"]]:
    """Seconds and image of the frames that are wanted; of `keyframes` alone nothing else is decoded.

    Errors: ItemRejected where it can't be decoded.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        if keyframes:
            stream.codec_context.skip_frame = "NONKEY"
        first: float | None = None
        for frame in _decoded(container, stream):
            first = frame.time if first is None else first
            if wanted(seconds := round(frame.time - first, 6)):
                yield seconds, _image(frame)


def frames_at(path: Path, times: Sequence[float]) -> list["Image.Image"]:
    """The frames that are shown at these seconds from the first one on; nothing far from them is decoded.

    Errors: ItemRejected where it can't be decoded.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        begin = float((stream.start_time or 0) * stream.time_base)
        return [_image(_frame_at(container, stream, begin + time)) for time in times]


def _frame_at(container: Any, stream: Any, time: float) -> Any:
    import av

    try:
        container.seek(int(time / stream.time_base), stream=stream)
    except av.FFmpegError:  # a container without an index: from the start, then
        container.seek(0)
    shown = None
    for frame in _decoded(container, stream):
        if shown is not None and frame.time > time + _TIME_STEP:
            break
        shown = frame
    if shown is None:
        raise ItemRejected("broken_media", f"no frame at {time:.3f} s")
    return shown


def every(seconds: float) -> Wanted:
    """The first frame at or after each multiple."""
    ticks = count()
    following = next(ticks) * seconds

    def is_wanted(time: float) -> bool:
        nonlocal following
        if time < following:
            return False
        while following <= time:
            following = next(ticks) * seconds
        return True

    return is_wanted


def evenly(number: int, duration: float) -> Wanted:
    """So many frames, each from the middle of an equal part."""
    times = iter([(part + 0.5) * duration / number for part in range(number)])
    following = next(times, None)

    def is_wanted(time: float) -> bool:
        nonlocal following
        if following is None or time < following:
            return False
        following = next(times, None)
        return True

    return is_wanted


def samples_of(path: Path) -> Iterator[tuple[int, "np.ndarray[Any, Any]"]]:
    """Sample rate, and samples between -1 and 1, all channels mixed, frame by frame. Errors: ItemRejected."""
    import numpy as np

    with _opened(path) as container:
        if not container.streams.audio:
            raise ItemRejected("no_audio", "it has no sound")
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        for frame in _decoded(container, stream):
            values = frame.to_ndarray()
            if not frame.format.is_planar:
                values = values.reshape(-1, len(frame.layout.channels)).T
            silence = 128.0 if values.dtype == np.uint8 else 0.0
            full = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max) - silence
            samples = (values.mean(axis=0, dtype=np.float64) - silence) / full
            yield frame.sample_rate, samples.astype(np.float32)


def write_sound(path: Path, to: Path, *, rate: int | None, channels: int | None) -> None:
    """The first audio stream as 16-bit WAV or FLAC, by the suffix of `to`. Errors: ItemRejected."""
    with _opened(path) as container:
        first, frames = _sound_frames(container)
        rate, channels = rate or first.sample_rate, channels or min(2, len(first.layout.channels))
        write = _write_flac if to.suffix == ".flac" else _write_wav
        write(to, _resampled(first, frames, rate, channels), rate, channels)


def write_faster(path: Path, to: Path, factor: float) -> None:
    """A WAV of 16 bits, so much faster and higher, at the rate that it has. Errors: ItemRejected."""
    with _opened(path) as container:
        stream = container.streams.audio[0]
        rate, channels = stream.rate, len(stream.layout.channels)
        frames = (_as_if_at(frame, round(rate * factor)) for frame in _decoded(container, stream))
        first = next(frames, None)
        if first is None:
            raise ItemRejected("empty", "not one sample of its sound")
        _write_wav(to, _resampled(first, frames, rate, channels), rate, channels)


def _as_if_at(frame: Any, rate: int) -> Any:
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), None
    return frame


def mono_samples(path: Path, rate: int) -> Iterator["np.ndarray[Any, Any]"]:
    """Its first audio stream at this rate, between -1 and 1, some thousand samples at a time. Errors: ItemRejected."""
    import numpy as np

    with _opened(path) as container:
        for frame in _resampled(*_sound_frames(container), rate, 1):
            yield frame.to_ndarray()[0].astype(np.float32) / _FULL_SCALE


def _sound_frames(container: Any) -> tuple[Any, Iterator[Any]]:
    """The first frame of sound, and those after it."""
    if not container.streams.audio:
        raise ItemRejected("no_audio", "it has no sound")
    stream = container.streams.audio[0]
    stream.codec_context.thread_count = 1
    frames = _decoded(container, stream)
    first = next(frames, None)
    if first is None:
        raise ItemRejected("empty", "not one sample of its sound")
    return first, frames


def _resampled(first: Any, frames: Iterator[Any], rate: int, channels: int) -> Iterator[Any]:
    import av

    layout = "mono" if channels == 1 else "stereo"
    resampler = av.AudioResampler(format="s16", layout=layout, rate=rate, frame_size=_FLAC_SAMPLES)
    yield from resampler.resample(first)
    for frame in frames:
        frame.pts = None  # gaps in time stamps are no silence
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _write_wav(to: Path, frames: Iterator[Any], rate: int, channels: int) -> None:
    with wave.open(str(to), "wb") as output:
        output.setparams((channels, _SAMPLE_BYTES, rate, 0, "NONE", ""))
        for frame in frames:
            output.writeframesraw(frame.to_ndarray().tobytes())


def _write_flac(to: Path, frames: Iterator[Any], rate: int, channels: int) -> None:
    import av

    layout, place = "mono" if channels == 1 else "stereo", 0
    with av.open(str(to), "w", format="flac") as output:
        stream = output.add_stream("flac", rate=rate, layout=layout)
        for frame in frames:
            frame.pts, frame.time_base = place, Fraction(1, rate)
            place += frame.samples
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _opened(path: Path) -> Any:
    try:
        import av
    except ImportError:
        raise Unavailable("audio and video need PyAV", fix="pip install 'spark-build[media]'") from None
    av.logging.set_level(av.logging.PANIC)
    try:
        return av.open(str(path), metadata_errors="replace", options={"protocol_whitelist": "file"})
    except (av.FFmpegError, ValueError) as error:
        raise ItemRejected("broken_media", str(error)[:200]) from None


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    import av

    try:
        yield from container.decode(stream)
    except (av.FFmpegError, ValueError, EOFError) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ItemRejected("broken_media", said[:200]) from None


def _image(frame: Any) -> "Image.Image":
    image: Image.Image = frame.to_image()
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image


def first_of(
    pairs: Iterator[tuple[float, "Image.Image"]], most: int
) -> Iterator[tuple[float, "Image.Image"]]:
    """Errors: ItemRejected where there are more."""
    yield from islice(pairs, most)
    if next(pairs, None) is not None:
        raise ItemRejected("too_many_frames", f"`most` is {most}")
