"""Sounds that are nearly the same: planted re-encodings, rates, gains, noise and trims are found, others are not."""

import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from clips import audio, tone

from spark_build.contract import Item
from spark_build.gates.near_duplicates import NearDuplicates, Params
from spark_build.modalities.media.decoding import samples_of
from spark_build.transforms._media import made
from spark_build.transforms.resample import Resample

GATE = NearDuplicates(Params(method="phash"))
NOTES = (220, 247, 262, 294, 330, 349, 392, 440, 494, 523)
SENTENCES = (
    "The harbour was quiet that morning.", "Nobody had gone out, for the wind was wrong.",
    "We count the boats before the storm comes in.", "The train to the coast leaves at seven.",
    "Seven small birds sat on the garden wall.", "Open the window and let the rain in.",
)  # fmt: skip


@cache
def melodies() -> tuple[np.ndarray, ...]:
    draw = np.random.default_rng(0)
    return tuple(tone(3, hertz=tuple(draw.choice(NOTES, 8)), seed=n) for n in range(20))


def noisy(samples: np.ndarray, decibels: float) -> np.ndarray:
    loud = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
    noise = np.random.default_rng(1).normal(0, loud * 10 ** (-decibels / 20), len(samples))
    return np.clip(samples + noise, -32_768, 32_767).astype(np.int16)


EDITS: dict[str, Callable[[np.ndarray], bytes]] = {
    "mp3": lambda samples: audio(samples, "libmp3lame", "mp3"),
    "opus": lambda samples: audio(samples, "libopus", "ogg", 48_000),
    "aac": lambda samples: audio(samples, "aac", "mp4"),
    "8000 Hz": lambda samples: audio(samples, "pcm_s16le", "wav", 8000),
    "quieter": lambda samples: audio((samples * 0.4).astype(np.int16)),
    "noise at 20 dB": lambda samples: audio(noisy(samples, 20)),
    "ends trimmed": lambda samples: audio(samples[len(samples) // 50 : -len(samples) // 50]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sounds")


def item(folder: Path, name: str, data: bytes) -> Item:
    (folder / name).write_bytes(data)
    return Item(name, name, "train", {"audio": made(folder / name)})


@pytest.fixture(scope="module")
def known(folder: Path) -> list[Item]:
    return [item(folder, f"original-{n}", audio(samples)) for n, samples in enumerate(melodies())]


def is_found(one: Item, other: Item) -> bool:
    pairs = list(GATE.candidates([GATE.signature(one), GATE.signature(other)], GATE.params))
    return bool(pairs) and GATE.is_similar(GATE.similarity(one, other), GATE.params)


@pytest.mark.parametrize("name", list(EDITS))
def test_planted_copies_are_found(folder: Path, known: list[Item], name: str) -> None:
    copies = [item(folder, f"{name}-{n}", EDITS[name](samples)) for n, samples in enumerate(melodies())]
    assert all(is_found(one, copy) for one, copy in zip(known, copies, strict=True))


def test_other_melodies_are_told_apart(known: list[Item]) -> None:
    assert not any(is_found(one, other) for n, one in enumerate(known) for other in known[:n])


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng reads the sentences")
def test_sentences_of_one_voice_are_told_apart_and_their_copies_found(folder: Path) -> None:
    spoken = []
    for number, sentence in enumerate(SENTENCES):
        file = folder / f"sentence-{number}.wav"
        subprocess.run(["espeak-ng", "-v", "en", "-w", str(file), sentence], check=True)
        spoken.append(Item(file.name, file.name, "train", {"audio": made(file)}))
    assert not any(is_found(one, other) for n, one in enumerate(spoken) for other in spoken[:n])
    for one in spoken:
        (copied,) = Resample(Resample.Params(rate=11_025, format="flac")).apply(one)
        assert is_found(one, Item("copy", "copy", "train", copied))


def test_silence_is_like_silence_and_like_no_melody(folder: Path, known: list[Item]) -> None:
    silent = item(folder, "silent", audio(np.zeros(48_000, np.int16)))
    assert GATE.similarity(silent, silent) == 1.0
    assert not GATE.is_similar(GATE.similarity(silent, known[0]), GATE.params)


def test_a_sound_of_a_moment_is_rejected_with_a_reason(folder: Path) -> None:
    from spark_build.core.errors import ItemRejected

    with pytest.raises(ItemRejected, match="empty"):
        GATE.signature(item(folder, "short", audio(tone(0.03))))


def test_sound_of_eight_bits_is_what_it_is_of_sixteen(tmp_path: Path) -> None:
    """Unsigned: silence is 128 there."""
    loud = tone(1, hertz=(440,))
    heard = []
    for codec in ("pcm_s16le", "pcm_u8"):
        (tmp_path / codec).write_bytes(audio(loud, codec, "wav"))
        heard.append(np.concatenate([samples for _, samples in samples_of(tmp_path / codec)]))
    assert np.abs(heard[0] - heard[1]).max() < 0.02
    assert np.abs(heard[0]).max() > 0.05
