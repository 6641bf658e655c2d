"""Audio by chroma: copies of spoken sentences are found, and the same sentence in another voice is told apart."""

import io
import shutil
import subprocess
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from clips import RATE, audio, tone
from pydantic import ValidationError

from spark_build.contract import Item, Media
from spark_build.core.errors import ItemRejected
from spark_build.gates.near_duplicates import NearDuplicates, Params
from spark_build.transforms._media import made

GATE = NearDuplicates(Params(method="chroma"))
VOICES = ("en-us", "en-gb", "en-us+f3")  # the first two are one synthesiser at one pitch
SENTENCES = (
    "The harbour was quiet that morning.", "Nobody had gone out, for the wind was wrong.",
    "We count the boats before the storm comes in.", "The train to the coast leaves at seven.",
    "Seven small birds sat on the garden wall.", "Open the window and let the rain in.",
)  # fmt: skip

Samples = np.ndarray


def noisy(samples: Samples, decibels: float) -> Samples:
    loud = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
    noise = np.random.default_rng(1).normal(0, loud * 10 ** (-decibels / 20), len(samples))
    return np.clip(samples + noise, -32_768, 32_767).astype(np.int16)


EDITS: dict[str, Callable[[Samples], bytes]] = {
    "mp3 of noise": lambda samples: audio(noisy(samples, 20), "libmp3lame", "mp3"),
    "opus": lambda samples: audio(samples, "libopus", "ogg", 48_000),
    "aac": lambda samples: audio(samples, "aac", "mp4"),
    "8000 Hz": lambda samples: audio(samples, "pcm_s16le", "wav", 8000),
    "quieter": lambda samples: audio((samples * 0.3).astype(np.int16)),
    "noise at 15 dB": lambda samples: audio(noisy(samples, 15)),
    "begins later": lambda samples: audio(np.concatenate([np.zeros(RATE // 3, np.int16), samples])),
    "begins cut off": lambda samples: audio(samples[RATE // 4 :], "flac", "flac"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sounds")


def item(folder: Path, name: str, data: bytes) -> Item:
    (folder / name).write_bytes(data)
    return Item(name, name, "train", {"audio": made(folder / name)})


def spoken(folder: Path, voice: str, sentence: str) -> Samples:
    """At `RATE`."""
    file = folder / "spoken.wav"
    subprocess.run(["espeak-ng", "-v", voice, "-w", str(file), sentence], check=True)
    with wave.open(str(file)) as opened:
        rate, samples = opened.getframerate(), np.frombuffer(opened.readframes(opened.getnframes()), "<i2")
    places = np.arange(0, len(samples) - 1, rate / RATE)
    return np.interp(places, np.arange(len(samples)), samples).astype(np.int16)


def joined(items: list[Item]) -> Iterator[tuple[Item, Item]]:
    """What the filter would drop, and in favour of which: candidates in their order, verified against kept ones."""
    kept = [True] * len(items)
    for one, other in GATE.candidates([GATE.signature(i) for i in items], GATE.params, kept.__getitem__):
        if (
            kept[one]
            and kept[other]
            and GATE.is_similar(GATE.similarity(items[one], items[other]), GATE.params)
        ):
            kept[other] = False
            yield items[one], items[other]


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng reads the sentences")
def test_copies_of_sentences_in_several_voices_are_found_and_nothing_else(folder: Path) -> None:
    """Asked: recall 0.98, precision 0.99."""
    readings = {f"{v}:{n}": spoken(folder, v, s) for v in VOICES for n, s in enumerate(SENTENCES)}
    originals = [item(folder, f"{name}|", audio(samples)) for name, samples in readings.items()]
    edits = [list(EDITS)[n % 2 :: 2] for n in range(len(readings))]  # of each reading every other one
    planted = [(name, edit) for name, own in zip(readings, edits, strict=True) for edit in own]
    copies = [item(folder, f"{name}|{edit}", EDITS[edit](readings[name])) for name, edit in planted]
    matches = {dropped.id: kept.id for kept, dropped in joined([*originals, *copies])}
    right = {
        dropped for dropped, kept in matches.items() if dropped.partition("|")[0] == kept.partition("|")[0]
    }
    missed = {copy.id for copy in copies} - right
    assert len(right) / len(copies) >= 0.98, missed
    assert len(right) / len(matches) >= 0.99, {d: k for d, k in matches.items() if d not in right}


def test_a_melody_is_found_where_it_begins_three_seconds_later(folder: Path) -> None:
    draw = np.random.default_rng(0)
    notes = (220, 247, 262, 294, 330, 349, 392, 440, 494, 523)
    melodies = [tone(14, hertz=tuple(draw.choice(notes, 24)), seed=n) for n in range(3)]
    items = [item(folder, f"melody {n}.wav", audio(m)) for n, m in enumerate(melodies)]
    later = [np.concatenate([tone(3, seed=9), m]) for m in melodies]
    copies = [item(folder, f"later {n}.mp3", audio(m, "libmp3lame", "mp3")) for n, m in enumerate(later)]
    assert [(a.id[-5], b.id[-5]) for a, b in joined([*items, *copies])] == [
        (str(n), str(n)) for n in range(3)
    ]


def test_what_shares_a_beginning_alone_is_told_apart(folder: Path) -> None:
    rest = [tone(8, hertz=hertz, seed=7) for hertz in ((262, 330, 392), (294, 370, 440))]
    one, other = (
        item(folder, f"jingle {n}", audio(np.concatenate([tone(5, seed=3), part])))
        for n, part in enumerate(rest)
    )
    assert GATE.similarity(one, other) < 0.7


def test_hours_of_sound_are_cut_more_coarsely() -> None:
    from spark_build.modalities.media.chroma import _hop_seconds

    assert [_hop_seconds(seconds) for seconds in (2, 256, 257, 3600)] == [1 / 32, 1 / 32, 1 / 16, 1 / 2]


def test_silence_is_like_silence_and_like_no_melody(folder: Path) -> None:
    silent, other = (item(folder, f"silent {n}", audio(np.zeros(n, np.int16))) for n in (32_000, 30_000))
    assert GATE.similarity(silent, other) == 1.0
    assert GATE.similarity(silent, item(folder, "melody", audio(tone(2)))) < 0.1


def test_a_sound_of_a_moment_is_rejected_with_a_reason(folder: Path) -> None:
    with pytest.raises(ItemRejected, match="empty"):
        GATE.signature(item(folder, "short", audio(tone(0.1))))


def test_channels_and_depth_make_no_difference(folder: Path) -> None:
    samples = tone(2)
    mono = item(folder, "mono", audio(samples))
    file = io.BytesIO()
    with wave.open(file, "wb") as output:
        output.setparams((2, 2, RATE, 0, "NONE", ""))
        output.writeframes(np.repeat(samples[:, None], 2, axis=1).astype("<i2").tobytes())
    assert GATE.similarity(mono, item(folder, "stereo", file.getvalue())) > 0.999


def test_images_and_texts_pass_a_gate_of_sounds() -> None:
    mixed = Item("a", "a", "train", {"text": "words", "image": Media("image", Path("x"), ".png")})
    assert GATE.fields_read(mixed) == ()
    with pytest.raises(ValidationError):
        Params(method="pitch")
