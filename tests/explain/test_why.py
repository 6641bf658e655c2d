"""`spark why`: the chain down to the leaf cause, with old and new value."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from spark_build import Project
from spark_build.app.accepting import accept
from spark_build.app.explaining import why
from spark_build.app.inspecting import runs
from spark_build.engine.explain import Reason
from tests.explain.conftest import BASE, COPY, FILTER, INGEST, VERSION, WORDS, comment
from tests.spark import Folder


@pytest.fixture
def notes(notes_built: Path, tmp_path: Path) -> Folder:
    shutil.copytree(notes_built, tmp_path / "project")
    return Folder(tmp_path / "project")


def leaves(folder: Folder, stage: str, **env: str) -> list[Reason]:
    chain = why(Project(folder.path, env={"FLAVOUR": "plain", **env}), stage).chain
    assert chain is not None
    return chain.leaves()


def only(found: list[Reason]) -> Reason:
    (reason,) = found
    return reason


def test_a_param_has_its_place_and_both_values(notes: Folder) -> None:
    notes.edit("threshold: 0.9", "threshold: 0.8")
    reason = only(leaves(notes, WORDS))  # two stages before it wait
    assert (reason.kind, reason.old, reason.new) == ("param", 0.9, 0.8)
    assert reason.at is not None
    assert reason.at.startswith("Sparkfile.yaml:9:")


def test_a_moved_gate_is_named_as_that(notes: Folder) -> None:
    notes.edit("[near-dup, short, own]", "[own, near-dup, short]")
    reason = only(leaves(notes, FILTER))
    assert (reason.name, reason.at) == ("datasets.notes.gates", "Sparkfile.yaml:7:12")
    assert (reason.old, reason.new) == (["near-dup", "short", "own"], ["own", "near-dup", "short"])
    assert "order of gates near-dup, short, own → own, near-dup, short" in notes.spark("why", FILTER).out


def test_gates_that_came_and_went_are_named(notes: Folder) -> None:
    notes.edit("[near-dup, short, own]", "[near-dup, own, pii]")
    notes.edit("  own: {use", "  pii: {use: pii}\n  own: {use")
    assert only(leaves(notes, FILTER)).new == ["near-dup", "own", "pii"]
    assert "gates: pii added, short removed at Sparkfile.yaml:7:12" in notes.spark("why", FILTER).out


def test_a_helper_of_a_rule_is_named(notes: Folder) -> None:
    notes.write("helper.py", "MOST = 900\n")
    reason = only(leaves(notes, FILTER))
    assert (reason.kind, reason.name, reason.changed) == ("rule", "gates.py:Long", ("helper.py",))


def test_splits_have_both_values(notes: Folder) -> None:
    notes.edit("{train: 0.8, test: 0.2}", "{train: 0.5, test: 0.5}")
    found = leaves(notes, VERSION)
    assert [(r.name, r.old, r.new) for r in found] == [
        ("datasets.notes.splits.ratios.test", 0.2, 0.5),
        ("datasets.notes.splits.ratios.train", 0.8, 0.5),
    ]


def test_files_are_named_by_what_became_of_them(notes: Folder) -> None:
    notes.write("data/9.md", "a ninth note of its own\n")
    notes.write("data/1.md", "now other words stand here\n")
    (notes.path / "data" / "2.md").unlink()
    reason = only(leaves(notes, WORDS))
    assert (reason.added, reason.changed, reason.removed) == (("9.md",), ("1.md",), ("2.md",))


def test_an_environment_variable_is_said_to_have_changed(notes: Folder) -> None:
    reason = only(leaves(notes, WORDS, FLAVOUR="sweet"))
    assert (reason.kind, reason.name, reason.old, reason.new) == ("env", "FLAVOUR", None, None)


def test_a_rule_that_was_replaced_has_both_names(notes: Folder) -> None:
    notes.edit("source: data", "source: {use: command, with: {run: 'cp data/1.md {output}'}}")
    reason = next(r for r in leaves(notes, INGEST) if r.name == "source")
    assert (reason.old, reason.new) == ("files", "command")


def test_a_fresh_stage_tells_why_it_ran_last_from_records_alone(notes: Folder) -> None:
    notes.write("helper.py", "MOST = 38\n")  # drops some notes
    project = Project(notes.path, env={"FLAVOUR": "plain"})
    assert project.build().exit_code == 0
    build = project.journal.entries()[0].id
    for gone in ("data", ".spark/objects", ".spark/state.db", "Sparkfile.lock"):
        path = notes.path / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    told = why(Project(notes.path), WORDS)
    assert told.planned is None
    assert told.problem is not None
    assert told.ran is not None
    assert [(r.kind, r.changed) for r in told.ran.leaves()] == [("rule", ("helper.py",))]
    data = json.loads(notes.spark("why", WORDS, "--json").out)
    version = data["ran"]["causes"][0]["behind"]
    assert version["stage"] == VERSION
    assert version["new"]["build"] == build
    assert version["causes"][0]["behind"]["causes"][0]["changed"] == ["helper.py"]
    shutil.rmtree(notes.path / ".spark" / "builds")  # not even the journal
    again = why(Project(notes.path), WORDS).ran
    assert again is not None
    assert [r.kind for r in again.leaves()] == ["rule"]


def test_lines_and_files_of_what_ran_are_told_without_objects(notes: Folder) -> None:
    env = {"FLAVOUR": "plain"}
    notes.write("data/1.md", "now other words stand here\n")
    assert Project(notes.path, env=env).build().exit_code == 0
    notes.edit("threshold: 0.9", "threshold: 0.8")
    assert Project(notes.path, env=env).build().exit_code == 0
    notes.edit("threshold: 0.8", "threshold: 0.7")  # what today's file says is no place of the older values
    shutil.rmtree(notes.path / ".spark" / "objects")
    source = why(Project(notes.path, env=env), INGEST).ran
    assert source is not None
    assert [(r.name, r.changed, r.at) for r in source.leaves()] == [
        ("data", ("1.md",), "Sparkfile.yaml:5:13")
    ]
    gate = why(Project(notes.path, env=env), FILTER).ran
    assert gate is not None
    assert [(r.old, r.new, r.at) for r in gate.leaves()] == [(0.9, 0.8, "Sparkfile.yaml:9:54")]
    builds = runs(Project(notes.path, env=env), None, 9)
    told = {(r.name, r.changed, r.at) for run in builds for r in run.changed}
    assert told == {(r.name, r.changed, r.at) for r in (*source.leaves(), *gate.leaves())}


def test_a_build_with_overrides_says_where_its_values_were_written(folder: Folder) -> None:
    folder.sparkfile(
        "targets:\n  m: {recipe: {use: command, with: {run: 'echo {params.n} > {output}/n', params: {n: 1}}}}\n"
        "profiles: {quick: {targets: {m: {with: {params: {n: 2}}}}}}\n"
    )
    Project(folder.path).build()
    Project(folder.path, profile="quick").build()
    Project(folder.path, sets=["targets.m.recipe.with.params.n=3"]).build()
    places = [[r.at for r in run.changed] for run in runs(Project(folder.path), None, 9)]
    assert places == [["--set targets.m.recipe.with.params.n"], ["Sparkfile.yaml:5:53"], []]


def test_an_undone_edit_says_why_the_result_was_made_not_why_it_counts(project: Project) -> None:
    comment(project, "echo more\n")
    project.build()
    comment(project, "")
    told = why(project, BASE)
    assert told.planned is not None
    assert told.planned.state == "fresh"
    assert told.ran is not None
    assert told.ran.old is None  # it was the first
    assert "for the first time" in Folder(project.root).spark("why", BASE).out


def test_the_json_keeps_the_stage_and_adds_the_chain(project: Project) -> None:
    comment(project)
    data: dict[str, Any] = json.loads(Folder(project.root).spark("why", COPY, "--json").out)
    assert list(data) == [
        "version", "stage", "state", "key", "output", "reasons", "seconds", "bytes", "drift", "chain", "ran", "problem",
    ]  # fmt: skip
    (cause,) = data["chain"]["causes"]
    assert (cause["kind"], cause["name"], cause["behind"]["state"]) == ("upstream", BASE, "run")
    assert cause["behind"]["causes"][0]["changed"] == ["words.sh"]
    assert data["version"] == 1


def test_an_accepted_result_tells_what_was_passed_over(project: Project) -> None:
    comment(project)
    accept(project, BASE, "only a comment")
    told = why(project, BASE)
    assert told.chain is not None
    assert {r.changed for r in told.chain.leaves()} == {("words.sh",)}


def test_a_result_that_is_gone_is_the_cause(project: Project) -> None:
    output = project.plan()[BASE].output
    assert output is not None
    (project.root / ".spark" / "objects" / output[:2] / output[2:]).unlink()
    chain = why(project, BASE).chain
    assert chain is not None
    assert [r.kind for r in chain.leaves()] == ["missing"]
