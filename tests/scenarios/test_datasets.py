"""A dataset's way through edits: what runs, what is handled, what stays."""

import os
import shutil

import pytest

from tests.spark import Folder, documents

SPARKFILE = """\
datasets:
  notes:
    source: data
    gates: [near-dup, short]
    splits: {train: 0.8, test: 0.2}
    card: {license: mit}
gates:
  near-dup: {use: near_duplicates, with: {threshold: 0.9}}
  short: {use: quality, with: {rules: [word_count], min_words: 10}}
"""
INGEST, FILTER, VERSION = (f"dataset:notes/{s}" for s in ("ingest", "filter", "version"))


@pytest.fixture
def notes(folder: Folder) -> Folder:
    folder.sparkfile(SPARKFILE)
    documents(folder, 30)
    assert folder.build().ran == {INGEST, FILTER, VERSION}
    return folder


def test_a_second_build_runs_nothing(notes: Folder) -> None:
    assert set(notes.build().outcomes.values()) == {"fresh"}


def test_touching_every_source_runs_nothing(notes: Folder) -> None:
    for file in (notes.path / "data").iterdir():
        os.utime(file)
    assert set(notes.states().values()) == {"fresh"}
    assert notes.build().ran == set()


def test_a_comment_and_the_order_of_keys_run_nothing(notes: Folder) -> None:
    notes.edit(
        "    source: data\n", "    # where they come from\n    card: {license: mit}\n    source: data\n"
    )
    notes.edit(
        "    splits: {train: 0.8, test: 0.2}\n    card: {license: mit}\n",
        "    splits: {test: 0.2, train: 0.8}\n",
    )
    assert notes.build().ran == set()


def test_moving_the_project_runs_nothing(notes: Folder) -> None:
    moved = notes.path.with_name("elsewhere")
    shutil.move(notes.path, moved)
    assert Folder(moved).build("-j", "7").ran == set()


def test_deleting_the_state_runs_nothing(notes: Folder) -> None:
    (notes.path / ".spark" / "state.db").unlink()
    assert notes.build().ran == set()


def test_an_edit_with_the_same_size_and_mtime_is_seen(notes: Folder) -> None:
    file = notes.path / "data" / "doc0003.md"
    stat, text = file.stat(), file.read_text()
    file.write_text(text.replace("number 3:", "number 8:"))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    reason = notes.reasons(INGEST)[0]
    assert (reason["kind"], reason["name"], reason["changed"]) == ("input", "data", ["doc0003.md"])


def test_white_space_that_the_reader_strips_stops_at_the_ingest(notes: Folder) -> None:
    file = notes.path / "data" / "doc0003.md"
    file.write_text(file.read_text().replace("\n\n", "  \r\n\r\n\r\n") + "\n\n")
    assert notes.build().ran == {INGEST}


def test_one_more_document_handles_one_item_in_every_operation(notes: Folder) -> None:
    documents(notes, 1, start=500)
    items = notes.build().items
    assert items[INGEST] == {"handled": 1, "remembered": 30}
    assert items[FILTER] == {"handled": 1, "remembered": 30}


def test_a_changed_threshold_measures_nothing_again(notes: Folder) -> None:
    notes.edit("threshold: 0.9", "threshold: 0.5")
    notes.edit("min_words: 10", "min_words: 12")
    reasons = {(r["kind"], r["name"], r["old"], r["new"], r["at"]) for r in notes.reasons(FILTER)}
    assert ("param", "gates.near-dup.threshold", 0.9, 0.5, "Sparkfile.yaml:10:54") in reasons
    built = notes.build()
    assert FILTER in built.ran
    assert built.items[FILTER] == {"handled": 0, "remembered": 30}


def test_the_threshold_may_be_loosened_and_tightened_again_for_nothing(notes: Folder) -> None:
    notes.edit("threshold: 0.9", "threshold: 0.7")
    notes.build()
    notes.edit("threshold: 0.7", "threshold: 0.9")
    assert set(notes.states().values()) == {"fresh"}


def test_renaming_a_dataset_runs_nothing(notes: Folder) -> None:
    notes.edit("  notes:", "  papers:")
    assert notes.build().ran == set()


def test_what_a_renamed_gate_drops_is_kept_under_its_new_name_and_nothing_is_measured_again(
    notes: Folder,
) -> None:
    text = (notes.path / "data" / "doc0003.md").read_text()
    notes.write("data/twin.md", text)
    notes.build()
    notes.edit("near-dup", "twins")
    [reason] = notes.reasons(FILTER)
    assert (reason["kind"], reason["name"], reason["old"], reason["new"]) == (
        "param", "gates.twins", "near-dup", "twins",
    )  # fmt: skip
    built = notes.build()
    assert built.ran == {FILTER, VERSION}
    assert built.items[FILTER] == {"handled": 0, "remembered": 31}
    assert "twins" in notes.spark("show", "dataset:notes", "--rejected").out
    shutil.rmtree(notes.path / ".spark")
    assert notes.build().outputs == built.outputs


def test_the_licence_of_the_card_runs_the_version_alone(notes: Folder) -> None:
    notes.edit("license: mit", "license: cc-by-4.0")
    assert notes.build().ran == {VERSION}


def test_a_rejected_document_more_leaves_the_rows_as_they_are(notes: Folder) -> None:
    before = notes.spark("show", "dataset:notes", "--json").out
    notes.write("data/short.md", "too short\n")
    assert notes.build().ran == {INGEST, FILTER, VERSION}
    assert notes.spark("show", "dataset:notes", "--json").out == before
    rejected = notes.spark("show", "dataset:notes", "--rejected").out
    assert "short.md" in rejected


def test_incremental_equals_cold_byte_for_byte(notes: Folder) -> None:
    documents(notes, 5, start=900)
    (notes.path / "data" / "doc0007.md").unlink()
    warm = notes.build().outputs
    shutil.rmtree(notes.path / ".spark")
    assert notes.build().outputs == warm


def test_a_damaged_object_is_noticed_set_aside_and_built_again(notes: Folder) -> None:
    outputs = notes.build().outputs
    for shard in (notes.path / ".spark" / "objects").rglob("*"):
        if shard.is_file() and shard.read_bytes()[:4] == b"PAR1":
            flipped = bytearray(shard.read_bytes())
            flipped[len(flipped) // 2] ^= 1
            shard.chmod(0o644)
            shard.write_bytes(flipped)
    kinds = {r["kind"] for s in notes.plan()["stages"] for r in s["reasons"]}
    assert kinds & {"corrupt", "missing"}
    assert notes.build().outputs == outputs
    assert notes.spark("store", "check").code == 0


def test_a_missing_object_is_built_again(notes: Folder) -> None:
    outputs = notes.build().outputs
    shutil.rmtree(notes.path / ".spark" / "objects")
    assert notes.build().outputs == outputs


def test_the_lock_is_not_changed_by_a_locked_build(notes: Folder) -> None:
    lock = (notes.path / "Sparkfile.lock").read_text()
    assert notes.build("--locked").code == 0
    documents(notes, 1, start=600)
    refused = notes.build("--locked", code=4)
    assert "dataset:notes/ingest: data: 1 added (doc0600.md)" in refused.err
    assert (notes.path / "Sparkfile.lock").read_text() == lock


def test_get_locked_gives_the_bytes_of_that_day(notes: Folder) -> None:
    notes.spark("get", "dataset:notes", "--to", "before")
    documents(notes, 1, start=600)
    notes.spark("get", "dataset:notes", "--locked", "--to", "locked")
    left, right = (
        {f.relative_to(root): f.read_bytes() for f in root.rglob("*") if f.is_file()}
        for root in (notes.path / "before", notes.path / "locked")
    )
    assert left == right


def test_an_override_touches_no_lock(notes: Folder) -> None:
    lock = (notes.path / "Sparkfile.lock").read_text()
    notes.build("--set", "gates.near-dup.with.threshold=0.4")
    assert (notes.path / "Sparkfile.lock").read_text() == lock
    assert notes.build().ran == set()


def test_plan_check_says_stale_by_its_exit_code(notes: Folder) -> None:
    assert notes.spark("plan", "--check").code == 0
    documents(notes, 1, start=600)
    assert notes.spark("plan", "--check", code=3).code == 3


def test_plan_works_on_a_read_only_checkout(notes: Folder) -> None:
    before = {p: p.stat().st_mtime_ns for p in notes.path.rglob("*")}
    notes.spark("plan")
    assert {p: p.stat().st_mtime_ns for p in notes.path.rglob("*")} == before


def test_two_builds_at_once_do_each_action_once(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE)
    documents(folder, 30)
    builds = [folder.start("build", "--json") for _ in range(2)]
    outputs = [build.communicate(timeout=120)[0] for build in builds]
    assert [build.returncode for build in builds] == [0, 0]
    ran = [line for output in outputs for line in output.splitlines() if '"outcome": "ran"' in line]
    assert len(ran) == 3


def test_two_datasets_with_the_same_work_run_once(folder: Folder) -> None:
    folder.sparkfile("datasets:\n  a: {source: data}\n  b: {source: data}\n")
    documents(folder, 5)
    folder.build()
    assert len(list((folder.path / ".spark" / "records").rglob("*.json"))) == 2


def test_a_requirement_is_a_verdict(notes: Folder) -> None:
    notes.edit("    card:", '    require: {items: "> 1000"}\n    card:')
    refused = notes.build(code=4)
    assert refused.ran == set()
    assert "items is 30, required > 1000" in refused.err
    notes.edit("> 1000", "> 10")
    assert notes.build().ran == set()


def test_two_addresses_of_one_failing_action_fail_once(folder: Folder) -> None:
    use = "{use: command, with: {run: 'echo x >> ran; exit 3; echo {output}'}}"
    folder.sparkfile(f"targets:\n  a: {{recipe: {use}}}\n  b: {{recipe: {use}}}\n")
    built = folder.build("-j", "1", code=1)
    assert list(built.outcomes.values()) == ["failed", "failed"]
    assert (folder.path / "ran").read_text() == "x\n"
