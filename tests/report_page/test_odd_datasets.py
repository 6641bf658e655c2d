"""What `spark report` refuses, and pages about datasets of which something is odd or gone."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.spark import Folder, documents

Told = Callable[..., dict[str, Any]]

TWO = """
datasets:
  notes: {source: data, gates: [short]}
  more: {source: more}
gates:
  short: {use: limits, with: {min_words: 5}}
targets:
  size: {recipe: {use: command, with: {run: "cp -r {inputs.dataset} {output}/x"}}, dataset: notes}
"""


@pytest.fixture
def two(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.sparkfile(TWO)
    documents(folder, 12)
    folder.write("data/short.md", "Too short")
    return folder


def test_nothing_but_a_dataset_that_was_built_is_reported_on(two: Folder) -> None:
    two.write("more/a.md", "A text.")
    assert two.spark("report", "dataset:notes", code=1).err == (
        "no version of dataset:notes is in the store\n  fix: spark build dataset:notes\n"
    )
    for target in ("model:size", "dataset:notes/filter"):
        assert (
            "is no version of a dataset\n  fix: spark report dataset:NAME"
            in two.spark("report", target, code=2).err
        )
    assert "did you mean 'dataset:notes'?" in two.spark("report", "dataset:nots", code=2).err
    assert not list(two.path.glob("*.html"))


def test_a_file_that_is_no_report_stays(two: Folder) -> None:
    two.spark("build", "dataset:notes")
    two.write("README.md", "# mine")
    said = two.spark("report", "dataset:notes", "--to", "README.md", code=2).err
    assert said == "README.md is there already, and no report\n  fix: name another file with --to\n"
    assert "--to data/report.html" in two.spark("report", "dataset:notes", "--to", "data", code=2).err
    assert "--samples 200" in two.spark("report", "dataset:notes", "--samples", "201", code=2).err
    assert two.spark("report", "dataset:notes").out.startswith("notes-report.html: ")
    two.spark("report", "dataset:notes")  # over its own


def test_a_tagged_version_is_reported_as_it_was(two: Folder, told: Told) -> None:
    two.spark("build", "dataset:notes")
    two.spark("tag", "dataset:notes@before")
    documents(two, 3, start=20)
    two.spark("build", "dataset:notes")
    assert told(two, "dataset:notes")["funnel"]["kept"] == 15
    before = told(two, "dataset:notes@before")
    assert (before["funnel"]["kept"], before["path"]) == (12, "notes-before-report.html")
    assert [v["items"] for v in before["versions"]] == [15, 12]
    assert before["stale"] == []


def test_without_records_of_the_stages_before_it_rows_tell_what_they_can(two: Folder, told: Told) -> None:
    two.spark("build", "dataset:notes")
    for file in (two.path / ".spark/records").rglob("*.json"):
        if '"dataset:notes/version"' not in file.read_text():
            file.unlink()
    shutil.rmtree(two.path / ".spark/loose", ignore_errors=True)
    facts = told(two, "dataset:notes")
    (gate,) = facts["funnel"]["gates"]
    assert (gate["name"], gate["rejected"], gate["came"]) == ("short", 1, None)
    assert facts["funnel"]["read"] is None
    assert [o["stage"] for o in facts["origins"]] == ["dataset:notes/version"]
    assert facts["stale"]
    assert "the result before the gates is not in the store" in (two.path / facts["path"]).read_text()


def test_where_the_source_is_gone_the_last_version_is_told(two: Folder, told: Told) -> None:
    two.spark("build", "dataset:notes")
    shutil.rmtree(two.path / "data")
    facts = told(two, "dataset:notes")
    assert facts["funnel"]["kept"] == 12
    assert len(facts["stale"]) == 1
    assert "data" in facts["stale"][0]


def test_a_version_whose_shards_are_gone_is_refused(two: Folder) -> None:
    two.spark("build", "dataset:notes")
    shutil.rmtree(two.path / ".spark/objects")
    (two.path / ".spark/objects").mkdir()
    said = two.spark("report", "dataset:notes", code=1).err
    assert said == "no version of dataset:notes is in the store\n  fix: spark build dataset:notes\n"


def test_names_of_fields_and_what_is_nested_in_them_are_text(two: Folder, told: Told) -> None:
    field = "<script>document.title='owned'</script>"
    rows = [
        {field: f"text {n} <b>", "a": "x", "a.b": "yy", "n": n / 7, "j": {"<i>": [n, None]}, "language": "<u>",
         "flagged_by": [{"gate": {}, "reason": ["<s>"]}]}
        for n in range(30)
    ]  # fmt: skip
    two.write("more/rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    two.spark("build", "dataset:more")
    facts = told(two, "dataset:more")
    lengths = {(h["field"], h["unit"]): (h["least"], h["greatest"]) for h in facts["histograms"]}
    assert lengths["a", "characters"] == (1, 1)
    assert lengths["a.b", "characters"] == (2, 2)
    assert lengths["n", "value"] == (0, 29 / 7)
    page = (two.path / facts["path"]).read_text()
    assert not re.findall(r"<(?:script|i|u|s)>", page)
    assert "&lt;script&gt;document.title=" in page


def test_what_may_upset_is_shown_to_who_asks_for_it() -> None:
    from spark_build.report.dataset.cards import found_card
    from spark_build.report.dataset.contents import Content, Picture
    from spark_build.report.dataset.facts import Finding

    finding = Finding("a" * 32, "a.png", "train", "decency", "nsfw", 0.93, 0.8)
    known = {"a" * 32: Content("a" * 32, "a.png", pictures=(Picture("image", "PNG", ("AAAA",)),))}
    covered, plain = (found_card(finding, known, is_covered=is_covered) for is_covered in (True, False))
    assert "<details><summary>Show it</summary><figure>" in covered
    assert "<details>" not in plain
    assert covered.count("<img") == plain.count("<img") == 1


def test_a_page_holds_no_more_pictures_than_its_budget() -> None:
    from spark_build.report.dataset.contents import Budget, Picture

    budget = Budget(1000)
    made = [budget.make("image", "PNG", lambda: Picture("image", "PNG", ("x" * 400,))) for _ in range(5)]
    assert [bool(picture.images) for picture in made] == [True, True, False, False, False]
    assert budget.left_out == 3
    slow = Budget(1000)
    asked = []
    for n in range(6):
        slow.make(
            "video",
            "MP4",
            lambda n=n: (asked.append(n), Picture("video", "", lacks="no picture: too_slow"))[1],
        )
    assert asked == [0, 1, 2]


def test_a_file_that_ends_its_decoder_costs_one_picture(tmp_path: Path) -> None:
    from clips import audio, tone
    from pictures import bad_images, encoded, photos

    from spark_build.core.errors import ItemRejected
    from spark_build.modalities.media.probing import previewed

    def made(name: str, data: bytes, kind: str, seconds: float = 0.0) -> dict[str, Any]:
        file = tmp_path / name
        file.write_bytes(data)
        return previewed(file, kind, seconds)

    for name in ("cut.png", "bomb.png", "noise.gif"):
        with pytest.raises(ItemRejected):
            made(name, bad_images()[name][0], "image")
    with pytest.raises(ItemRejected):
        made("text.mp4", b"no video at all", "video", 1.0)
    assert len(made("photo.png", encoded(photos()[0]), "image")["images"]) == 1
    wave = made("tone.wav", audio(tone(2)), "audio", 2.0)["wave"]
    assert len(wave) == 120
    assert max(wave) == 100


def test_a_wave_is_loud_where_the_sound_is(tmp_path: Path) -> None:
    import numpy as np
    from clips import audio, tone

    from spark_build.modalities.media.previews import preview

    half = np.concatenate([np.zeros(16_000, np.int16), tone(1)])
    (tmp_path / "half.flac").write_bytes(audio(half, "flac", "flac"))
    wave = preview(tmp_path / "half.flac", "audio", 2.0)["wave"]
    assert max(wave[:58]) == 0
    assert min(wave[62:118]) > 60
