"""Gates on text through the real command line: what is found, what becomes of it, what is measured again."""

import pytest

from tests.spark import Folder, documents

SPARKFILE = """\
datasets:
  exam: {source: exam, splits: {test: 1.0}}
  notes:
    source: data
    gates: [same, lang, unseen, size]
gates:
  same: {use: exact_duplicates, with: {ignore: [case], action: flag}}
  lang: {use: language, with: {languages: [en], among: [en, de, fr]}}
  unseen: {use: decontaminate, with: {against: "dataset:exam", threshold: 0.1}}
  size: {use: limits, with: {min_words: 4, action: fail}}
"""
FILTER, VERSION = "dataset:notes/filter", "dataset:notes/version"
QUESTION = "Which of the four boats left the harbour first on that quiet morning in the month of April?"


@pytest.fixture
def notes(folder: Folder) -> Folder:
    folder.sparkfile(SPARKFILE)
    documents(folder, 10)
    folder.write("exam/question.md", QUESTION)
    folder.write("data/leak.md", f"Somebody wrote it down: {QUESTION}")
    folder.write("data/loud.md", (folder.path / "data/doc0003.md").read_text().upper())
    folder.write(
        "data/fremd.md", "Der Hafen war an diesem Morgen still, und die Boote lagen ruhig, weil niemand kam."
    )
    folder.build()
    return folder


def test_every_finding_is_told_where_the_user_looks(notes: Folder) -> None:
    rejected = notes.spark("show", "dataset:notes", "--rejected").out
    assert "language:de" in rejected
    assert "contaminated" in rejected
    assert QUESTION in rejected
    told = (
        notes.spark("why", "dataset:notes", "loud.md").out
        + notes.spark("why", "dataset:notes", "doc0003.md").out
    )
    assert told.count("flagged by same: duplicate, score 1, like ") == 1
    notes.spark("get", "dataset:notes", "--to", "out")
    card = (notes.path / "out/README.md").read_text()
    assert "## Flagged\n\n| by | reason | rows |\n| --- | --- | --: |\n| same | duplicate | 1 |" in card


def test_another_threshold_or_action_measures_nothing_again_and_another_exam_everything(
    notes: Folder,
) -> None:
    notes.edit("threshold: 0.1", "threshold: 0.2")
    notes.edit("action: flag", "action: drop")
    assert notes.build().items[FILTER]["handled"] == 0
    notes.write(
        "exam/more.md", "Another question that nobody has ever asked in any of these documents so far."
    )
    assert notes.build().items[FILTER] == {
        "handled": 11,
        "remembered": 2,
    }  # not the one in German, nor the equal one
    notes.edit("exam: {source: exam,", "exam: {card: {license: mit}, source: exam,")
    assert FILTER not in notes.build().ran


def test_fail_stops_the_build_at_the_gate_s_line_and_nothing_behind_it_is_made(notes: Folder) -> None:
    notes.write("data/tiny.md", "the boats")
    ran = notes.build(code=1)
    assert (ran.outcomes[FILTER], ran.outcomes[VERSION]) == ("failed", "skipped")
    assert (
        "'size' lets 1 item not pass (action: fail): tiny.md: below_min_words (score 2, threshold 4)"
        in ran.err
    )
    notes.edit("action: fail", "action: drop")
    assert notes.build().items[FILTER]["handled"] == 0
