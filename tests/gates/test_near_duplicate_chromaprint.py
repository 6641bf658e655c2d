"""Audio by Chromaprint's fpcalc: copies are found where it is installed, and its absence is told."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from clips import RATE, audio, tone

from spark_build.contract import Item
from spark_build.gates.near_duplicates import NearDuplicates, Params
from spark_build.transforms._media import made
from tests.spark import Folder

GATE = NearDuplicates(Params(method="chromaprint"))
NOTES = (220, 247, 262, 294, 330, 349, 392, 440, 494, 523)
SPARKFILE = """
datasets:
  sounds: {source: data, gates: [twins]}
gates:
  twins: {use: near_duplicates, with: {method: chromaprint}}
"""

needs_fpcalc = pytest.mark.skipif(
    shutil.which("fpcalc") is None,
    reason="no fpcalc on PATH (`apt-get install libchromaprint-tools`; .ci/run does)",
)


def melody(seed: int, seconds: float = 8) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return tone(seconds, hertz=tuple(draw.choice(NOTES, 32)), seed=seed)


def item(folder: Path, name: str, data: bytes) -> Item:
    (folder / name).write_bytes(data)
    return Item(name, name, "train", {"audio": made(folder / name)})


@needs_fpcalc
def test_planted_copies_are_found_and_other_melodies_are_not(tmp_path: Path) -> None:
    """Asked: recall 0.98, precision 0.99."""
    melodies = [melody(n) for n in range(8)]
    silence = np.zeros(RATE, np.int16)
    copies = {
        "mp3": [audio(m, "libmp3lame", "mp3") for m in melodies],
        "opus": [audio(m, "libopus", "ogg", 48_000) for m in melodies],
        "quieter": [audio((m * 0.3).astype(np.int16)) for m in melodies],
        "later": [audio(np.concatenate([silence, m]), "flac", "flac") for m in melodies],
        "cut": [audio(m[RATE:]) for m in melodies],
    }
    items = [item(tmp_path, f"{n}-first", audio(m)) for n, m in enumerate(melodies)]
    items += [
        item(tmp_path, f"{n}-{edit}", data) for edit, own in copies.items() for n, data in enumerate(own)
    ]
    kept = [True] * len(items)
    matches = {}
    for one, other in GATE.candidates([GATE.signature(i) for i in items], GATE.params, kept.__getitem__):
        score = GATE.similarity(items[one], items[other]) if kept[one] and kept[other] else 0.0
        if GATE.is_similar(score, GATE.params):
            kept[other] = False
            matches[items[other].id] = items[one].id
    right = {found for found, of in matches.items() if found[0] == of[0]}
    assert len(right) / (len(items) - len(melodies)) >= 0.98
    assert len(right) / len(matches) >= 0.99


@needs_fpcalc
def test_a_sound_that_is_too_short_for_a_fingerprint_stays(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.sparkfile(SPARKFILE)
    for n, seconds in enumerate((1, 1, 8, 8)):
        folder.write(
            f"data/{n}.wav", audio(melody(5, seconds)[n:])
        )  # by a sample or two, so that none are equal
    folder.spark("build")
    assert folder.spark("show", "dataset:sounds").out.startswith("3 rows")
    assert "near_duplicate" in folder.spark("show", "dataset:sounds", "--rejected").out


def test_without_the_program_nothing_runs(tmp_path: Path) -> None:
    folder = Folder(tmp_path, {"PATH": str(tmp_path / "nothing")})
    folder.sparkfile(SPARKFILE)
    folder.write("data/a.wav", audio(tone(1)))
    said = folder.spark("build", code=None)
    assert said.code in (1, 2)
    assert "tool 'fpcalc': not found on PATH" in said.err
    assert "fix: install fpcalc" in said.err
