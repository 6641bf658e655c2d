"""`spark diff A B`: params, files, items, gates, figures and sizes of two results, stage by stage."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from spark_build import Project
from spark_build.app.diffing import diff
from spark_build.app.tagging import put_tag
from spark_build.core.address import Address
from spark_build.core.errors import UsageError
from spark_build.report.diff import Diff, StageDiff
from tests.explain.conftest import FILTER, INGEST, VERSION, WORDS
from tests.spark import Folder

ENV = {"FLAVOUR": "plain"}


def git(folder: Folder, *words: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder.path, check=True, capture_output=True)


@pytest.fixture(scope="module")
def edited(notes_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Two builds with a tag and a commit after each; in between gates, files and params have changed."""
    folder = Folder(tmp_path_factory.mktemp("edited") / "project", ENV)
    shutil.copytree(notes_built, folder.path)
    git(folder, "init", "-q", "-b", "main")
    put_tag(Project(folder.path, env=ENV), Address.parse("model:words@v1"))
    git(folder, "add", "Sparkfile.lock")
    git(folder, "commit", "-qm", "one")
    folder.edit("min_words: 3", "min_words: 9")  # "note N with some words of its own: xxx" has nine with an x
    folder.write("data/8.md", "a ninth note that has words enough to be kept here\n")
    folder.write("data/3.md", "note 3 says something else today, at some length, truly\n")
    folder.write("helper.py", "MOST = 999\n")
    assert Project(folder.path, env=ENV).build().exit_code == 0
    git(folder, "commit", "-qam", "two")
    return folder


def of(folder: Folder, a: str, b: str) -> Diff:
    return diff(Project(folder.path, env=ENV), a, b)


def stage(found: Diff, name: str) -> StageDiff:
    return next(s for s in found.stages if s.stage == name)


def test_two_builds_tell_params_files_gates_figures_and_items(edited: Folder) -> None:
    found = of(edited, "@2", "@1")
    assert [(r.name, r.added, r.changed) for r in stage(found, INGEST).causes] == [
        ("data", ("8.md",), ("3.md",))
    ]
    gates = stage(found, FILTER)
    assert {(r.kind, r.old, r.new, r.changed) for r in gates.causes} == {
        ("param", 3, 9, ()),
        ("rule", None, None, ("helper.py",)),
    }
    assert gates.gates["short"] == {"kept": (8.0, 8.0), "dropped": (0.0, 1.0)}
    assert gates.metrics["items"] == (8.0, 8.0)
    items = stage(found, VERSION).items
    assert items is not None
    assert (items.added, items.dropped, items.changed) == (2, 2, 0)
    assert {(e["source"], e["why"]) for e in items.examples["dropped"]} == {
        ("0.md", "rejected by short: quality:word_count"),
        ("3.md", "its source has other content now"),
    }
    assert {e["source"] for e in items.examples["added"]} == {"3.md", "8.md"}
    assert {s.stage for s in found.stages} == {INGEST, FILTER, VERSION, WORDS}


def test_a_tag_against_today_and_two_commits_tell_the_same(edited: Folder) -> None:
    builds = of(edited, "@2", "@1")
    for a, b in (
        ("model:words@v1", "model:words"),
        ("HEAD~1", "HEAD"),
        ("HEAD~1:model:words", "model:words"),
    ):
        found = of(edited, a, b)
        assert [s.stage for s in found.stages] == [s.stage for s in builds.stages]
        for told, known in zip(found.stages, builds.stages, strict=True):
            assert {(r.name, str(r.old), str(r.new)) for r in told.causes} == {
                (r.name, str(r.old), str(r.new)) for r in known.causes
            }
            assert (told.metrics, told.gates, told.items) == (known.metrics, known.gates, known.items)
    places = [
        r.at for r in stage(of(edited, "model:words@v1", "model:words"), FILTER).causes if r.kind == "param"
    ]
    assert places == ["Sparkfile.yaml:10:64"]


def test_a_lock_alone_tells_params_and_figures_and_says_what_is_not_here(
    edited: Folder, tmp_path: Path
) -> None:
    clone = Folder(tmp_path / "clone", ENV)
    shutil.copytree(edited.path, clone.path)
    shutil.rmtree(clone.path / ".spark")
    found = of(clone, "HEAD~1", "HEAD")
    gates = stage(found, FILTER)
    assert ("gates.short.min_words", 3, 9) in {(r.name, r.old, r.new) for r in gates.causes}
    assert stage(found, VERSION).metrics["items"] == (8.0, 8.0)
    assert [r.name for r in stage(found, INGEST).causes] == ["data"]
    items = stage(found, VERSION).items
    assert items is not None
    assert items.missing is not None
    assert "is not in the store" in items.missing


def test_the_text_names_what_differs_and_counts_the_rest(edited: Folder) -> None:
    text = edited.spark("diff", "model:words@v1", "model:words").out
    for line in (
        "model:words@v1 → model:words (today)",
        "min_words 3 → 9 at Sparkfile.yaml:",
        "data: 1 added, 1 changed (3.md)",
        "gate short: kept 8 (", "items: 2 added, 2 dropped, 0 changed",
        "0.md  rejected by short: quality:word_count",
    ):  # fmt: skip
        assert line.partition(" (")[0] in text
    same = edited.spark("diff", "@1", "HEAD").out
    assert same.endswith("\nthe same: 4 stages\n")


def test_the_json_has_both_sides_and_every_stage(edited: Folder) -> None:
    data = json.loads(edited.spark("diff", "@2", "@1", "--json", "--limit", "1").out)
    assert (data["version"], data["a"].split()[0], len(data["stages"])) == (1, "build", 4)
    told = next(s for s in data["stages"] if s["stage"] == VERSION)
    assert told["metrics"]["rejected"]["difference"] == pytest.approx(1 / 9)
    assert len(told["items"]["examples"]["dropped"]) == 1
    assert {"key", "output", "size", "seconds", "started"} < set(told["a"])


def test_a_result_that_is_stale_today_is_compared_by_what_it_would_be_made_of(
    edited: Folder, tmp_path: Path
) -> None:
    copy = Folder(tmp_path / "copy", ENV)
    shutil.copytree(edited.path, copy.path)
    copy.edit("min_words: 9", "min_words: 5")
    found = stage(of(copy, "@1", "dataset:notes"), FILTER)
    assert [(r.old, r.new) for r in found.causes] == [(9, 5)]
    assert found.b is not None
    assert found.b.output is None
    assert "not built" in copy.spark("diff", "@1", "dataset:notes").out


def test_a_tag_was_made_from_what_was_there_when_it_was_set(folder: Folder) -> None:
    folder.sparkfile("datasets: {d: {source: data}}\n")
    folder.write("data/1.txt", "text one")
    Project(folder.path).build()
    put_tag(Project(folder.path), Address.parse("dataset:d@before"))
    folder.write("data/1.txt", "text one\n\n\n")
    assert Project(folder.path).build().results["dataset:d/version"].outcome == "fresh"  # read as before
    put_tag(Project(folder.path), Address.parse("dataset:d@after"))
    assert all(s.is_same for s in of(folder, "dataset:d@after", "dataset:d").stages)
    for a, b in (("dataset:d@before", "dataset:d"), ("dataset:d@before", "dataset:d@after")):
        assert [r.changed for r in stage(of(folder, a, b), "dataset:d/ingest").causes] == [("1.txt",)]


SWEEP = """\
recipes:
  r: {use: command, with: {run: "echo {params.lr} {params.seed} > {output}/a", params: {lr: 0, seed: 0}}}
targets:
  sweep: {recipe: r, matrix: {lr: [1, 2], seed: [1, 2]}}
  wide: {recipe: r, matrix: {lr: [2, 3], seed: [1, 2]}}
  lone: {recipe: r, with: {params: {lr: 2, seed: 1}}}
"""


@pytest.fixture
def sweep(folder: Folder) -> Folder:
    folder.sparkfile(SWEEP)
    return folder


def beside(folder: Folder, a: str, b: str) -> list[tuple[str, str]]:
    return [(pair.a.partition(" ")[0], pair.b.partition(" ")[0]) for pair in of(folder, a, b).members]


def test_members_of_a_matrix_are_paired_by_the_params_that_they_share(sweep: Folder) -> None:
    assert beside(sweep, "model:sweep@seed=1", "model:sweep@seed=2") == [
        (f"model:sweep@lr={lr},seed=1", f"model:sweep@lr={lr},seed=2") for lr in (1, 2)
    ]
    assert beside(sweep, "sweep", "lone")[3] == ("model:sweep@lr=2,seed=2", "model:lone")
    assert beside(sweep, "sweep", "wide") == [
        (f"model:sweep@lr=2,seed={seed}", f"model:wide@lr=2,seed={seed}") for seed in (1, 2)
    ]
    told = sweep.spark("diff", "model:sweep", "model:wide").out
    assert "without another: model:sweep@lr=1,seed=1, model:sweep@lr=1,seed=2, model:wide@lr=3" in told
    data = json.loads(sweep.spark("diff", "sweep@seed=1", "sweep@seed=2", "--json").out)
    assert {s["causes"][0]["at"] for s in data["stages"]} == {"Sparkfile.yaml:6:53"}  # of the second
    assert [s["causes"][0]["name"].rpartition(".")[2] for s in data["stages"]] == ["seed", "seed"]
    assert data["members"][0]["stages"] == ["model:sweep@lr=1,seed=1/train"]


@pytest.mark.parametrize(("a", "b"), [("sweep@seed=1", "sweep"), ("sweep@lr=1", "wide@seed=1")])
def test_members_whose_partners_are_not_clear_are_listed(sweep: Folder, a: str, b: str) -> None:
    with pytest.raises(UsageError) as error:
        of(sweep, a, b)
    assert "belong together is not clear" in error.value.message
    assert "model:sweep@lr=1,seed=1" in (error.value.fix or "")


def test_two_members_of_a_matrix_stand_beside_each_other(folder: Folder) -> None:
    folder.sparkfile(
        "datasets: {d: {source: data}}\n"
        "recipes:\n  r: {use: command, with: {run: 'echo {params.lr} > {output}/a', params: {lr: 0}}}\n"
        "targets:\n  sweep: {recipe: r, dataset: d, matrix: {params.lr: [1, 2]}}\n"
    )
    folder.write("data/a.md", "some words\n")
    folder.build()
    found = of(folder, "model:sweep@params.lr=1", "model:sweep@params.lr=2")
    assert [(r.old, r.new) for r in found.stages[-1].causes] == [(1, 2)]


def test_two_targets_are_paired_by_what_their_inputs_are_for(folder: Folder) -> None:
    folder.sparkfile(
        "datasets:\n  one: {source: data}\n  two: {source: data, splits: {train: 0.5, test: 0.5}}\n"
        "recipes:\n  r: {use: command, with: {run: 'ls {inputs.dataset} > {output}/a'}}\n"
        "targets:\n  a: {recipe: r, dataset: one}\n  b: {recipe: r, dataset: two}\n"
    )
    for n in range(4):
        folder.write(f"data/{n}.md", f"some words of file {n}\n")
    assert Project(folder.path).build().exit_code == 0
    found = of(folder, "model:a", "model:b")
    ingest = stage(found, "dataset:one/ingest")
    assert ingest.b is not None
    assert ingest.b.stage == "dataset:two/ingest"
    assert any("splits" in r.name for r in ingest.causes)
    assert {s.stage for s in found.stages} == {"dataset:one/ingest", "dataset:one/version", "model:a/train"}


@pytest.mark.parametrize(
    ("side", "told"),
    [
        ("nonsense", "'nonsense' is nothing that has results"),
        ("@99", "no build '@99'"),
        ("model:none", "nothing here is called 'model:none'"),
        ("model:words@v9", "no tag 'model:words@v9'"),
        ("HEAD~7", "'HEAD~7' is nothing that has results"),
        ("--output=x", "'--output=x' is nothing"),
        ("HEAD:model:none", "nothing here is called"),
    ],
)
def test_what_names_no_result_is_refused(edited: Folder, side: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        of(edited, side, "@1")
    assert told in error.value.message
    assert error.value.fix
