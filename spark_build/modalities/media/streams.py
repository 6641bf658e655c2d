"""What is known of audio and video, through PyAV: every packet is read, the first frame of a stream decoded."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import ItemRejected, Unavailable
from spark_build.core.values import Struct

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet

# whose headers say how long they are, rather than a guess by bit rate
_SAY_THEIR_LENGTH = ("wav", "mov", "matroska", "flac", "avi", "aiff")
# as programs write that don't know how long it will be; espeak-ng and sox have the third
_UNKNOWN_SIZES = (0, 2**31 - 1, 0x7FFFF000, 2**32 - 1)
_CUT_SHARE, _CUT_SECONDS = (
    0.95,
    0.5,
)  # what is there of a promised length, at least; and what may be missing anyway
_LOSSLESS = ("pcm_", "flac", "alac", "wavpack", "tta")
_UNEVEN = 1.6  # between two frames, the longest time over the shortest: beyond it the rate is variable


class _Read(Struct):
    """Of one stream, packet by packet."""

    packets: int = 0
    first: int | None = None  # time stamps, in the stream's unit
    last: int = 0
    end: int = 0
    shortest: int = 0
    longest: int = 0

    def add(self, packet: "Packet[Any]") -> None:
        self.packets += 1
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return
        if self.first is None:
            self.first = stamp
        elif (step := stamp - self.last) > 0:
            self.shortest = min(self.shortest or step, step)
            self.longest = max(self.longest, step)
        self.last = stamp
        self.end = max(self.end, stamp + (packet.duration or 0))


def stream_facts(path: Path, demuxer: str, max_pixels: int) -> dict[str, Any]:
    """`kind` (audio or video), container, duration, bit rate, streams; codec and figures of the first of each kind.

    Errors: ItemRejected with reason broken_media, no_stream, empty, truncated, too_many_pixels or unknown_codec.
    """
    try:
        import av
    except ImportError:
        raise Unavailable("audio and video need PyAV", fix="pip install 'spark-build[media]'") from None
    av.logging.set_level(av.logging.PANIC)
    if demuxer == "wav":
        _check_wav(path)
    try:
        # one demuxer, and files alone: a playlist or a reference within must not reach for anything else
        with av.open(
            str(path), format=demuxer, metadata_errors="replace", options={"protocol_whitelist": "file"}
        ) as container:
            return _facts(container, demuxer, max_pixels, path.stat().st_size)
    except ItemRejected:
        raise
    except MemoryError:
        raise ItemRejected("too_large", "its decoder wants more memory than a file may take") from None
    except (av.FFmpegError, ValueError, OverflowError, ZeroDivisionError, EOFError) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ItemRejected("broken_media", said[:200]) from None


def _facts(container: "InputContainer", demuxer: str, max_pixels: int, size: int) -> dict[str, Any]:
    video = next((s for s in container.streams.video if not _is_picture(s)), None)
    audio = next(iter(container.streams.audio), None)
    if video is None and audio is None:
        raise ItemRejected("no_stream", "neither audio nor video in it")
    if video is not None and video.width * video.height > max_pixels:
        raise ItemRejected("too_many_pixels", f"{video.width} x {video.height}; `max_pixels` is {max_pixels}")
    read = _read_all(container, [s for s in (video, audio) if s is not None])
    main = video if video is not None else audio
    duration = max(_seconds(stream, read) for stream in (video, audio) if stream is not None)
    _check_length(container, demuxer, main, read, duration)
    facts: dict[str, Any] = {
        "kind": "audio" if video is None else "video",
        "container": container.format.name,
        "duration": round(duration, 3),
        "bit_rate": round(size * 8 / duration) if duration else 0,
        "streams": dict(sorted(_counted(container).items())),
    }
    if video is not None:
        facts |= _video_facts(container, video, read[video.index])
    if audio is not None:
        facts |= _audio_facts(container, audio)
    return facts


def _is_picture(stream: Any) -> bool:
    """The cover of a song."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _counted(container: "InputContainer") -> dict[str, int]:
    counts: dict[str, int] = {}
    for stream in container.streams:
        kind = "picture" if stream.type == "video" and _is_picture(stream) else stream.type
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def _read_all(container: "InputContainer", streams: list[Any]) -> dict[int, _Read]:
    read = {stream.index: _Read() for stream in streams}
    for packet in container.demux(streams):
        if packet.size:  # the last of each stream is empty
            read[packet.stream.index].add(packet)
    if not all(one.packets for one in read.values()):
        raise ItemRejected("empty", "a stream without a single packet")
    return read


def _seconds(stream: Any, read: dict[int, _Read]) -> float:
    one = read[stream.index]
    return float((one.end - (one.first or 0)) * stream.time_base)


def _check_length(
    container: "InputContainer", demuxer: str, main: Any, read: dict[int, _Read], duration: float
) -> None:
    """Errors: ItemRejected where its header promises more than there is."""
    promised = main.frames or 0
    if demuxer in ("mov", "avi") and read[main.index].packets < promised * _CUT_SHARE:
        raise ItemRejected("truncated", f"{read[main.index].packets} of {promised} frames are there")
    if demuxer not in _SAY_THEIR_LENGTH or container.duration is None:
        return
    seconds = container.duration / 1_000_000
    if duration < seconds * _CUT_SHARE and duration < seconds - _CUT_SECONDS:
        raise ItemRejected("truncated", f"{duration:.3f} s of {seconds:.3f} s are there")


def _check_wav(path: Path) -> None:
    """FFmpeg takes what is there for what was promised. Errors: ItemRejected where a chunk of samples is cut off."""
    with open(path, "rb") as file:
        place, size = 12, path.stat().st_size
        while place + 8 <= size:
            file.seek(place)
            head = file.read(8)
            promised, there = int.from_bytes(head[4:], "little"), size - place - 8
            if head[:4] == b"data":
                if promised not in _UNKNOWN_SIZES and there < promised * _CUT_SHARE:
                    raise ItemRejected("truncated", f"{there} of {promised} bytes of samples are there")
                return
            place += 8 + promised + promised % 2


def _video_facts(container: "InputContainer", stream: Any, read: _Read) -> dict[str, Any]:
    frame = _first_frame(container, stream)
    span = float((read.last - (read.first or 0)) * stream.time_base)
    rate = (read.packets - 1) / span if span > 0 else 0.0
    facts = {
        "video_codec": stream.codec_context.codec.canonical_name,
        "width": stream.width,
        "height": stream.height,
        "frames": read.packets,
        "frame_rate": round(rate, 3),
        "pixel_format": frame.format.name,
        "video_bits": max((component.bits for component in frame.format.components), default=8),
    }
    if read.shortest and read.longest / read.shortest > _UNEVEN:
        facts["variable_frame_rate"] = True
    if rotation := getattr(frame, "rotation", 0):
        facts["rotation"] = rotation
    return facts


def _audio_facts(container: "InputContainer", stream: Any) -> dict[str, Any]:
    frame = _first_frame(container, stream)
    codec = stream.codec_context.codec.canonical_name
    facts = {"audio_codec": codec, "sample_rate": frame.sample_rate, "channels": len(frame.layout.channels)}
    # of what was coded with losses a sample has no depth; what it is decoded to says nothing
    return {**facts, "audio_bits": frame.format.bits} if codec.startswith(_LOSSLESS) else facts


def _first_frame(container: "InputContainer", stream: Any) -> Any:
    """Errors: ItemRejected where it can't be decoded."""
    if stream.codec_context is None:
        raise ItemRejected("unknown_codec", f"of its {stream.type}")
    container.seek(0)
    stream.codec_context.thread_count = 1
    frame = next(_frames(container, stream), None)
    if frame is None:
        raise ItemRejected("broken_media", f"not one frame of its {stream.type} can be decoded")
    return frame


def _frames(container: "InputContainer", stream: Any) -> Iterator[Any]:
    for packet in container.demux(stream):
        yield from packet.decode()
