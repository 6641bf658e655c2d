"""With a tiny Whisper that is trained here for seconds on five words of espeak-ng, and one with random weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import audio, moving, tone, video
from tiny_models import bert
from tiny_speech import RATE, SPECIAL, VOICES, WORDS, placed, say, train_whisper, wav, whisper

from spark_build.contract import Item, Media
from spark_build.core.errors import BadInput, ItemRejected
from spark_build.modalities.media.speech import windows
from spark_build.transforms.transcribe import Transcribe
from tests.golden.data_cases import context
from tests.spark import Folder

SPARKFILE = """\
datasets:
  calls:
    source: data/calls
    transforms:
      - {use: transcribe, with: {model: models/hears, into: text}}
"""
UNHEARD = (155, 45)  # speed and pitch that it was not trained on


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "hears"
    train_whisper(folder)
    return folder


def errors_in_words(said: str, meant: str) -> int:
    """Insertions, deletions and substitutions that lead from one to the other."""
    row = list(range(len(said.split()) + 1))
    for number, word in enumerate(meant.split(), 1):
        before, row = row, [number]
        for place, other in enumerate(said.split(), 1):
            row.append(min(before[place] + 1, row[-1] + 1, before[place - 1] + (word != other)))
    return row[-1]


def sentence(*words: str) -> np.ndarray:
    """A word in each 0.95 s, which is where a second of sound is cut."""
    return np.concatenate([placed(say(word, "en-us", *UNHEARD), 3000, int(0.95 * RATE)) for word in words])


def test_a_build_writes_down_words_with_fewer_errors_than_any_fixed_answer_and_hears_each_once(
    folder: Folder, trained: Path
) -> None:
    shutil.copytree(trained, folder.path / "models/hears")
    folder.sparkfile(SPARKFILE)
    meant = {f"{word}-{voice}.wav": word for word in WORDS for voice in VOICES}
    for name, word in meant.items():
        folder.write(f"data/calls/{name}", wav(placed(say(word, name[len(word) + 1 : -4], *UNHEARD), 4000)))
    meant["long.wav"] = "left yes stop"
    folder.write("data/calls/long.wav", wav(sentence("left", "yes", "stop")))
    samples = (sentence("right", "fine") * 32_767).astype(np.int16)
    meant["clip.mp4"] = "right fine"
    folder.write("data/calls/clip.mp4", video(moving(), sound=samples))
    folder.build("dataset:calls")
    shown = folder.spark("show", "dataset:calls", "--json", "--limit", "100").lines[0]["rows"]
    said = {Path(row["source"]).name: row["text"] for row in shown}
    assert set(said) == set(meant)
    words = sum(len(text.split()) for text in meant.values())
    wrong = sum(errors_in_words(said[name], text) for name, text in meant.items())
    fixed = min(sum(errors_in_words(word, text) for text in meant.values()) for word in WORDS)
    assert wrong / words < 0.3 < 0.75 < fixed / words

    folder.edit("into: text", "into: said, segments: parts")
    again = folder.build("dataset:calls")
    assert "said" in json.dumps(folder.spark("show", "dataset:calls", "--json").lines)
    assert again.items["dataset:calls/ingest"]["handled"] == 0, "what was heard is written into other fields"


def rule(folder: Path, **params: Any) -> Transcribe:
    return Transcribe(Transcribe.Params(model="model:hears", **params), {"model": folder})


def sound(path: Path, data: bytes, kind: str = "audio", **facts: Any) -> Item:
    path.write_bytes(data)
    return Item(path.stem, path.name, "train", {kind: Media(kind, path, path.suffix, facts), "n": 1})


def heard(transcribe: Transcribe, folder: Path, *items: Item) -> list[Any]:
    shutil.rmtree(folder / "run", ignore_errors=True)
    found = dict(transcribe.ask(items, context(folder / "run", {})))
    return [found[number] for number in range(len(items))]


def test_long_sound_is_cut_where_it_is_quiet_and_no_sample_is_lost(tmp_path: Path) -> None:
    samples = np.tile(np.concatenate([tone(2.6) / 32_768, np.zeros(RATE * 4 // 10)]), 7).astype(np.float32)
    (tmp_path / "a.wav").write_bytes(wav(samples))
    found = list(windows(tmp_path / "a.wav", RATE, 6 * RATE))
    assert sum(len(part) for _, part in found) == len(samples)
    assert all(len(part) <= 6 * RATE for _, part in found)
    assert all(abs(part[-200:]).max() == 0 for _, part in found)


def test_segments_tell_when_a_word_is_said(trained: Path, tmp_path: Path) -> None:
    transcribe = rule(trained, segments="parts")
    item = sound(tmp_path / "a.wav", wav(sentence("left", "yes")))
    (found,) = heard(transcribe, tmp_path, item)
    (fields,) = transcribe.becomes(item, found, transcribe.params)
    assert [part["text"] for part in fields["parts"]] == fields["transcript"].split() == ["left", "yes"]
    assert [(part["start"], part["end"]) for part in fields["parts"]] == [(0, 0.95), (0.95, 1.9)]


def test_what_is_heard_is_the_same_alone_and_among_others(trained: Path, tmp_path: Path) -> None:
    items = [sound(tmp_path / f"{w}.wav", wav(placed(say(w, "en-gb", 180), 100))) for w in WORDS]
    together = heard(rule(trained), tmp_path, *items)
    assert [heard(rule(trained), tmp_path, item)[0] for item in items] == together
    assert heard(rule(trained), tmp_path, *items[::-1]) == together[::-1]


def test_silence_says_nothing(trained: Path, tmp_path: Path) -> None:
    (found,) = heard(rule(trained), tmp_path, sound(tmp_path / "a.wav", wav(np.zeros(3 * RATE))))
    assert found == {"segments": []}


def test_a_video_without_sound_is_rejected_or_kept_and_the_model_is_not_asked_again(
    trained: Path, tmp_path: Path
) -> None:
    item = sound(tmp_path / "v.mp4", video(moving()), "video", duration=2.0)
    transcribe = rule(trained)
    (found,) = heard(transcribe, tmp_path, item)
    with pytest.raises(ItemRejected, match="no_audio"):
        transcribe.becomes(item, found, transcribe.params)
    kept = Transcribe.Params(model="model:hears", silent=True)
    assert transcribe.becomes(item, found, kept) == [{"video": item["video"], "transcript": ""}]


def test_a_broken_sound_is_one_rejected_item_among_others(trained: Path, tmp_path: Path) -> None:
    whole = audio(tone(1), "flac", "flac")
    broken, fine = sound(tmp_path / "b.flac", whole[:40]), sound(tmp_path / "f.flac", whole)
    found = heard(rule(trained), tmp_path, broken, fine)
    assert isinstance(found[0], ItemRejected)
    assert found[0].reason in ("broken_media", "empty")
    assert isinstance(found[1], dict)


def test_an_item_without_sound_passes_unchanged(tmp_path: Path) -> None:
    item = Item("a", "a", "train", {"text": "words"})
    transcribe = rule(tmp_path / "nowhere")
    assert heard(transcribe, tmp_path, item) == [None]
    assert transcribe.becomes(item, None, transcribe.params) == [{}]


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The architecture with languages, tasks and tokens for times. Its weights are random."""
    folder = tmp_path_factory.mktemp("random") / "whisper"
    marks = ["<|en|>", "<|de|>", "<|transcribe|>", "<|translate|>", "<|notimestamps|>"]
    words, times = [f" w{n}" for n in range(20)], [f"<|{n * 0.02:.2f}|>" for n in range(51)]
    first = len(SPECIAL) + len(words)
    numbers = {mark: first + n for n, mark in enumerate(marks)}
    whisper(
        folder, [*SPECIAL, *words, *marks, *times], seed=3, is_multilingual=True, max_initial_timestamp_index=10,
        lang_to_id={mark: numbers[mark] for mark in marks[:2]}, no_timestamps_token_id=numbers["<|notimestamps|>"],
        task_to_id={"transcribe": numbers["<|transcribe|>"], "translate": numbers["<|translate|>"]},
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("params", [{}, {"language": "de", "task": "translate"}, {"times": False}])
def test_the_real_architecture_gives_times_within_the_sound(
    multilingual: Path, tmp_path: Path, params: dict[str, Any]
) -> None:
    item = sound(tmp_path / "a.wav", audio(tone(2.5)))
    found, again = (heard(rule(multilingual, **params), tmp_path, item)[0]["segments"] for _ in range(2))
    assert found == again
    assert all(0 <= start <= end <= 2.5 for start, end, _ in found)
    assert not any("<|" in text for _, _, text in found)


def test_a_language_that_the_model_does_not_know_is_told(multilingual: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"refuses: .*fr.* not supported") as caught:
        heard(rule(multilingual, language="fr"), tmp_path, sound(tmp_path / "a.wav", audio(tone(1))))
    assert "language" in str(caught.value.fix)


def test_a_text_classifier_is_refused(tmp_path: Path) -> None:
    bert(tmp_path / "rude")
    with pytest.raises(BadInput, match="'rude' is no model of speech: its type is bert"):
        heard(rule(tmp_path / "rude"), tmp_path, sound(tmp_path / "a.wav", audio(tone(1))))
