"""Data as it should not be: a bad item is rejected and counted, a bad dataset stops alone what depends on it."""

import json
import os
from pathlib import Path

import pytest

from tests.errors.told import assert_is_plain, errors, failed, left_in_work, refused
from tests.spark import Folder, Ran, documents

SPARKFILE = """\
datasets:
  good: {source: good, splits: {train: 0.5, test: 0.5}}
  mixed: {source: mixed}
  strict: {source: mixed, on_error: fail}
  empty: {source: void}
  gated: {source: good, gates: [all]}
  few: {source: one, splits: {train: 0.4, validation: 0.3, test: 0.3}}
  scarce: {source: good, splits: {ratios: {train: 0.5, test: 0.5}, at_least: {test: 20}}}
  broken: {source: broken}
  asking: {source: good, require: {items: "> 100"}}
gates:
  all: {use: quality, with: {rules: [word_count], min_words: 100000}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, Ran]:
    """One build over all of them, after one of the good dataset alone."""
    folder = Folder(tmp_path_factory.mktemp("project"))
    folder.sparkfile(SPARKFILE)
    documents(folder, 10, name="good")
    documents(folder, 1, name="one")
    (folder.path / "void").mkdir()
    folder.write("mixed/binary.txt", bytes(range(256)) * 40)
    folder.write("mixed/utf8.txt", b"These words are fine \xff\xfe\x80 and those bytes are no UTF-8.\n")
    folder.write("mixed/rows.jsonl", '{"text": "one fine row"}\nnot json\n{"text": "another"}\n[1]\n')
    folder.write("mixed/uneven.csv", 'text,label\n"a b c d",1\nx y z\n"e f g h",2,3\n')
    folder.write("mixed/zero.parquet", b"")
    folder.write("broken/rows.jsonl", "{\n")
    folder.build("dataset:good")
    return folder, failed(folder)


def test_what_was_built_before_is_fresh_and_the_others_are_built(project: tuple[Folder, Ran]) -> None:
    outcomes = project[1].outcomes
    assert {outcomes[f"dataset:good/{s}"] for s in ("ingest", "version")} == {"fresh"}
    assert outcomes["dataset:mixed/version"] == "ran"
    assert outcomes["dataset:gated/version"] == "skipped"


def test_no_half_result_is_kept(project: tuple[Folder, Ran]) -> None:
    folder, ran = project
    assert left_in_work(folder) == {"scratch"}
    assert "nothing is damaged" in folder.spark("store", "check").out
    failed_stages = {stage for stage, outcome in ran.outcomes.items() if outcome == "failed"}
    states = folder.states()
    assert {states[stage] for stage in failed_stages} == {"run"}


def test_every_bad_item_is_rejected_with_its_reason(project: tuple[Folder, Ran]) -> None:
    rows = json.loads(project[0].spark("show", "dataset:mixed", "--rejected", "--json").out)["rows"]
    found = {(Path(row["source"]).name, row["reason"], row["detail"]) for row in rows}
    assert found == {
        ("binary.txt", "binary", "named .txt, but holds binary data"),
        ("rows.jsonl", "not_json", "line 2: column 1: Expecting value"),
        ("rows.jsonl", "not_an_object", "line 4: list instead of an object"),
        ("uneven.csv", "uneven_row", "line 3: 1 value, the header has 2"),
        ("uneven.csv", "uneven_row", "line 4: 3 values, the header has 2"),
        ("zero.parquet", "empty", "0 bytes"),
    }


def test_rejected_items_are_counted(project: tuple[Folder, Ran]) -> None:
    assert "4 rows (train 4); 6 rejected" in project[0].spark("show", "dataset:mixed").out


def test_broken_utf8_is_mended_and_stays(project: tuple[Folder, Ran]) -> None:
    rows = json.loads(project[0].spark("show", "dataset:mixed", "--json").out)["rows"]
    (text,) = [row["text"] for row in rows if row["source"] == "utf8.txt"]
    assert text.startswith("These words are fine ")


@pytest.mark.parametrize(
    ("stage", "where", "what", "fix"),
    [
        ("strict/ingest", "6:11", "6 of 10 records can't be used (on_error: fail): binary.txt: binary",
         "mend them, or set `on_error: reject` to leave them out"),
        ("empty/ingest", "7:10", "void holds no files", "put documents there"),
        ("gated/filter", "8:10", "the gates left none of 10 items: 'all' dropped 10 of 10 (quality:word_count 10)",
         "loosen the gate that drops most; it measures nothing again"),
        ("few/ingest", "9:8", "1 record can't fill 3 splits (test, train, validation)",
         "add records, or leave `splits` out"),
        ("scarce/ingest", "10:11", "split 'test' has 5 items, and at_least asks for 20", ""),
        ("broken/ingest", "11:11", "every one of 1 records was rejected: not_json (1). First: rows.jsonl", ""),
    ],
)  # fmt: skip
def test_a_bad_dataset_says_where_what_and_fix(
    project: tuple[Folder, Ran], stage: str, where: str, what: str, fix: str
) -> None:
    _, ran = project
    told = errors(ran)[f"dataset:{stage}"]
    assert told.startswith(what)
    begins = ran.err.index(f"failed   dataset:{stage} ")
    block = ran.err[begins : ran.err.index("go on    spark build", begins)]
    assert f"\n  Sparkfile.yaml:{where}: {what}" in block
    assert f"\n  fix: {fix}" in block
    assert "the end of its log" not in block, "the log says nothing that the message does not"


def test_an_unmet_requirement_of_a_dataset_names_its_line_and_figure(project: tuple[Folder, Ran]) -> None:
    assert "Sparkfile.yaml:12:43: dataset:asking/version: items is 10, required > 100" in project[1].err
    ran = project[0].build("dataset:asking", code=4)
    assert "items is 10, required > 100" in ran.err
    assert_is_plain(ran)


def test_the_log_of_a_failed_stage_says_why(project: tuple[Folder, Ran]) -> None:
    text = project[0].spark("log", "dataset:empty/ingest", "--text").out
    assert text.startswith("void holds no files\n  fix: ")


LINKS = """\
datasets:
  linked: {source: linked}
  gone: {source: nowhere}
  fine: {source: good}
"""


@pytest.fixture
def linked(folder: Folder) -> Folder:
    folder.sparkfile(LINKS)
    documents(folder, 3, name="good")
    folder.write("linked/fine.md", "words\n")
    os.symlink("/etc/hostname", folder.path / "linked" / "out.txt")
    return folder


@pytest.mark.parametrize("command", ["plan", "build", "status", "ls"])
def test_sources_that_cant_be_read_are_told_all_at_once(linked: Folder, command: str) -> None:
    assert refused(linked, command) == (
        "Sparkfile.yaml:4:20: linked/out.txt: a link to /etc/hostname, outside of the folder\n"
        "  fix: put a copy in its place\n"
        "Sparkfile.yaml:5:18: nowhere: not there\n"
        "  fix: check the path; it counts from the Sparkfile's folder\n"
    )


def test_a_source_that_cant_be_read_leaves_other_targets_alone(linked: Folder) -> None:
    assert linked.build("dataset:fine").ran == {"dataset:fine/ingest", "dataset:fine/version"}


def test_a_link_that_leads_nowhere_is_named(linked: Folder) -> None:
    (linked.path / "linked" / "out.txt").unlink()
    os.symlink("gone.txt", linked.path / "linked" / "old.txt")
    told = refused(linked, "plan", "dataset:linked")
    assert "linked/old.txt: a link to gone.txt, which is not there" in told


def test_a_source_that_vanishes_after_a_build_is_told_and_loses_nothing(linked: Folder) -> None:
    linked.build("dataset:fine")
    (linked.path / "good").rename(linked.path / "away")
    assert "Sparkfile.yaml:6:18: good: not there" in refused(linked, "build", "dataset:fine")
    (linked.path / "away").rename(linked.path / "good")
    assert set(linked.states("dataset:fine").values()) == {"fresh"}
