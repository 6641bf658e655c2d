"""What one builds others restore: the least that has to travel, and the same bytes."""

import json
from pathlib import Path

from tests.remote.conftest import Team
from tests.spark import Folder, documents


def content(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_what_one_has_built_another_restores_and_runs_nothing(team: Team) -> None:
    first = team.project()
    built = first.build()
    second = team.clone(first)
    assert {s: s_ for s, s_ in second.states().items() if s_ != "fresh"} == {
        "dataset:notes/version": "restore", "model:small/train": "restore", "model:large/train": "restore"
    }  # fmt: skip
    restored = second.build()
    assert set(restored.outcomes.values()) == {"restored", "fresh"}
    assert restored.outputs == built.outputs
    first.spark("get", "model:large", "--to", "out")
    second.spark("get", "model:large", "--to", "out")
    assert content(second.path / "out") == content(first.path / "out")
    assert not second.build().ran
    assert set(second.states().values()) == {"fresh"}
    assert second.spark("store", "check").out.endswith("nothing is damaged\n")


def test_a_plan_says_how_much_a_restore_fetches(quick_team: Team) -> None:
    first = quick_team.project()
    first.build("model:large")
    plan = {s["stage"]: s for s in quick_team.clone(first).plan("model:large")["stages"]}
    assert 20 << 20 < plan["model:large/train"]["bytes"] < 22 << 20
    assert plan["dataset:notes/version"]["bytes"] is None


def test_to_get_a_model_nobody_fetches_its_dataset(quick_team: Team) -> None:
    first = quick_team.project()
    first.build("model:large")
    second = quick_team.clone(first)
    for name in (second.path / "data").iterdir():
        name.unlink()
    (second.path / "data").rmdir()
    second.spark("get", "model:large", "--to", "out", "--locked")
    assert (second.path / "out" / "model" / "weights").stat().st_size == 20 << 20
    kept = sum(f.stat().st_size for f in (second.path / ".spark" / "objects").rglob("*") if f.is_file())
    assert kept < (20 << 20) + 10_000


def test_raw_stages_stay_here_unless_the_dataset_says_all(quick_team: Team) -> None:
    first = quick_team.project()
    outputs = first.build("dataset:notes").outputs
    there = {
        name.rpartition("/")[2].removesuffix(".json") for name in quick_team.names("team/trusted/trees/")
    }
    assert there == {outputs["dataset:notes/version"]}
    first.edit("source: data,", "source: data, push: all,")
    assert set(first.states("dataset:notes").values()) == {"fresh"}, "where it goes is in no key"
    first.spark("store", "push", "dataset:notes")
    there = {
        name.rpartition("/")[2].removesuffix(".json") for name in quick_team.names("team/trusted/trees/")
    }
    assert there == set(outputs.values())


def test_of_a_dataset_that_says_none_no_content_leaves(quick_team: Team) -> None:
    first = quick_team.project()
    first.edit("source: data,", "source: data, push: none,")
    first.build("dataset:notes")
    assert not quick_team.names("team/trusted/trees/")
    assert not quick_team.names("team/trusted/packs/")


def test_without_push_nothing_is_written_there(quick_team: Team) -> None:
    first = quick_team.project()
    first.build("dataset:notes", "--no-push")
    assert not quick_team.names()
    first.build("model:small", "--offline")
    assert not quick_team.names()
    told = json.loads(first.spark("store", "push", "--json", "model:small").out)
    assert {s["stage"] for s in told["stages"] if s["pushed"]} == {
        *(f"dataset:notes/{stage}" for stage in ("ingest", "filter", "version")), "model:small/train"
    }  # fmt: skip
    assert quick_team.clone(first).build("model:small").outcomes["model:small/train"] == "restored"


def test_only_what_is_missing_travels(quick_team: Team) -> None:
    first = quick_team.project()
    first.build("model:large")
    before = {name: quick_team.read(name) for name in quick_team.names()}
    first.spark("store", "push", "model:large")
    assert {name: quick_team.read(name) for name in quick_team.names()} == before
    first.edit("weights", "weights; echo 1 > {output}/more")
    first.build("model:large")
    fresh = set(quick_team.names()) - set(before)
    parts = [name for name in fresh if "/objects/" in name]
    assert not parts, "the weights are there already"
    assert sum(len(quick_team.read(name)) for name in fresh if "/packs/" in name) < 1000


def test_what_a_colleague_restored_travels_no_second_time(quick_team: Team) -> None:
    first = quick_team.project()
    documents(first, 300)
    first.build("dataset:notes")
    second = quick_team.clone(first)
    second.build("dataset:notes")
    before = set(quick_team.names())
    told = second.spark("store", "push", "dataset:notes").out
    assert told.startswith("nothing to do")
    assert set(quick_team.names()) == before


def test_why_names_the_files_that_changed_since_a_colleagues_build(quick_team: Team) -> None:
    first = quick_team.project()
    first.build("dataset:notes")
    second = quick_team.clone(first)
    second.build("dataset:notes")
    second.write("data/new.txt", "a text that nobody has seen")
    reason = second.reasons("dataset:notes/ingest")[0]
    assert reason["added"] == ["new.txt"]


def test_pull_brings_what_the_lock_names_and_builds_nothing(quick_team: Team) -> None:
    first = quick_team.project()
    first.build()
    second = quick_team.clone(first)
    told = json.loads(second.spark("store", "pull", "--locked", "--json").out)
    assert all(s["fetched"] for s in told["stages"])
    assert not json.loads(second.spark("store", "pull", "--locked", "--json").out)["stages"][0]["fetched"]
    second.write("data/new.txt", "changed")
    refused = second.spark("store", "pull", "model:small", code=4)
    assert "spark build" in refused.err


def test_two_results_of_one_action_are_told_and_the_lock_says_which_counts(quick_team: Team) -> None:
    first = quick_team.project()
    first.sparkfile(
        f'store: {{remote: "s3://{quick_team.bucket}/team"}}\n'
        'targets: {clock: {recipe: {use: command, with: {run: "date +%N > {output}/x"}}}}\n'
    )
    mine = first.build("--no-push").outputs
    second = quick_team.clone(first)
    theirs = second.build().outputs
    assert mine != theirs
    told = first.spark("store", "push")
    assert "not deterministic" in told.err
    for of, outputs in ((first, mine), (second, theirs)):
        third = quick_team.clone(of, f"third-{of.path.name}")
        assert third.build().outputs == outputs


def test_a_target_that_is_not_built_is_not_pushed(folder: Folder, quick_team: Team) -> None:
    first = quick_team.project()
    refused = first.spark("store", "push", code=2)
    assert "is not built" in refused.err
    assert "spark build" in refused.err


def test_a_store_that_is_not_there_is_named_with_what_was_tried(quick_team: Team) -> None:
    first = quick_team.project()
    first.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
    refused = first.spark("plan", code=1)
    assert "failed 6 times" in refused.err
    assert "--offline" in refused.err
    first.build("model:small", "--offline")


def test_a_bucket_that_is_not_there_is_named(quick_team: Team) -> None:
    first = quick_team.project()
    first.edit(quick_team.bucket, "nobodys-bucket")
    assert "there is no bucket 'nobodys-bucket'" in first.spark("plan", code=1).err
