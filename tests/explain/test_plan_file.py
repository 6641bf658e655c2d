"""`plan --out` and `build --plan`: a plan is done exactly, or refused before anything runs."""

import json
import shutil
from pathlib import Path

import pytest

from spark_build import Project
from spark_build.app import BuildOptions
from spark_build.app.accepting import accept
from spark_build.app.building import Silent
from spark_build.app.plan_file import read_plan_file, write_plan_file
from spark_build.core.errors import RequirementNotMet, SparkError, UsageError
from spark_build.engine.results import BuildResult
from tests.errors.told import refused
from tests.explain.conftest import BASE, COPY, comment, ran, states
from tests.spark import Folder


def planned(project: Project, *targets: str, again: tuple[str, ...] = ()) -> Path:
    path = project.root / "p.json"
    write_plan_file(path, project, project.plan(*targets, again=again), targets, again, False)
    return path


def build(project: Project, path: Path) -> BuildResult:
    found = read_plan_file(path)
    options = BuildOptions(again=found.again, is_strict=found.is_strict, planned=found)
    return project.build(*found.targets, options=options)


def moved(project: Project, path: Path) -> str:
    """What a refused build says; nothing ran."""
    before = sorted((project.root / ".spark" / "logs").iterdir())
    with pytest.raises(RequirementNotMet) as error:
        build(project, path)
    assert error.value.fix
    assert sorted((project.root / ".spark" / "logs").iterdir()) == before
    return error.value.message


def edit(project: Project, old: str, new: str) -> None:
    Folder(project.root).edit(old, new)


def test_a_plan_that_holds_is_done_exactly(project: Project) -> None:
    comment(project)
    result = build(project, planned(project))
    assert {s: r.outcome for s, r in result.results.items()} == {BASE: "ran", COPY: "fresh"}
    assert result.warnings == []


def test_the_command_line_takes_everything_from_the_plan(project: Project) -> None:
    folder = Folder(project.root)
    folder.spark(
        "plan", "--out", "p.json", "--set", "targets.copy.recipe.with.params.m=2", "-B", BASE, "copy"
    )
    done = folder.build("--plan", "p.json")
    assert done.ran == {BASE, COPY}
    comment(project)
    assert folder.spark("build", "--plan", "p.json", "-n", code=4).err.startswith("the plan no longer holds")


def test_targets_that_the_plan_leaves_out_are_not_built(project: Project) -> None:
    comment(project, "echo more\n")
    assert set(build(project, planned(project, "model:base")).results) == {BASE}
    assert states(project)[COPY] == "run"


def test_a_plan_names_nothing_of_the_machine_and_holds_in_another_folder(
    project: Project, tmp_path: Path
) -> None:
    comment(project)
    text = planned(project).read_text()
    assert str(tmp_path) not in text
    other = tmp_path / "elsewhere"
    shutil.copytree(project.root, other)
    assert build(Project(other), other / "p.json").results[BASE].outcome == "ran"


def test_a_stage_that_would_run_after_all_is_refused_with_its_cause(project: Project) -> None:
    path = planned(project)
    comment(project)
    assert moved(project, path) == (
        "the plan no longer holds, nothing was run:\n"
        f"  {BASE}: planned fresh, now run: words.sh: 1 changed (words.sh)\n"
        f"  {COPY}: planned fresh, now maybe: behind {BASE}"
    )


def test_a_stage_that_would_run_as_something_else_is_refused_with_what_differs(project: Project) -> None:
    comment(project)
    path = planned(project)
    edit(project, "params: {n: 1}", "params: {n: 7}")
    assert f"{BASE}: planned run, of something else: n 1 → 7 at Sparkfile.yaml:" in moved(project, path)


def test_a_change_of_a_maybe_is_seen_though_its_key_is_not_known(project: Project) -> None:
    comment(project)
    path = planned(project)
    edit(project, "{output}/b.txt", "{output}/c.txt")
    assert f"{COPY}: planned maybe, of something else: run " in moved(project, path)


def test_what_another_build_has_done_already_is_refused(project: Project) -> None:
    comment(project)
    path = planned(project)
    assert ran(project) == [BASE]
    assert f"{BASE}: planned run, now fresh: its result is there already" in moved(project, path)


def test_what_another_build_does_while_this_one_runs_counts_as_fresh_and_is_told(project: Project) -> None:
    edit(
        project, "  copy:\n", "  other: {recipe: {use: command, with: {run: 'date > {output}/d'}}}\n  copy:\n"
    )
    comment(project)
    found = read_plan_file(planned(project, "model:base", "model:other"))

    class Meanwhile(Silent):
        def started(self, stage: str, seconds: float | None) -> None:
            (self.other,) = {BASE, "model:other/train"} - {stage}
            Project(project.root).build(self.other.removesuffix("/train"))

    listener = Meanwhile()
    result = project.build(*found.targets, options=BuildOptions(jobs=1, planned=found), listener=listener)
    assert result.results[listener.other].outcome == "fresh"
    assert result.warnings == [f"{listener.other}: planned to run; another build had its result meanwhile"]


def test_what_was_accepted_since_is_refused(project: Project) -> None:
    comment(project)
    path = planned(project)
    accept(project, BASE, "only a comment")
    assert "planned run, now fresh: accepted 20" in moved(project, path)


def test_a_requirement_that_moved_is_refused(project: Project) -> None:
    evaluation = (
        '  base:\n    eval:\n      metrics: [{use: command, with: {run: \'echo "{{\\"x\\": 1}}" > '
        "{output}/metrics.json'}}]\n      require: {x: '> 0'}\n"
    )
    edit(project, "  base:\n", evaluation.replace("{{", "{").replace("}}]", "}}]"))
    path = planned(project)
    edit(project, "'> 0'", "'> 2'")
    assert "model:base/eval: what it reads, waits for or is required of it has changed" in moved(
        project, path
    )


def test_stages_that_came_and_went_are_named(project: Project) -> None:
    path = planned(project)
    edit(project, "  copy:\n", "  other:\n")
    told = moved(project, path)
    assert f"{COPY}: planned fresh, and no longer asked for by the Sparkfile" in told
    assert "model:other/train: not in the plan, now fresh: its result is there already" in told


def test_another_result_under_the_same_key_is_refused(project: Project) -> None:
    path = planned(project)
    body = json.loads(path.read_text())
    record = project.records.get(body["stages"][0]["key"])
    assert record is not None
    file = next(Path(project.root, ".spark", "records").glob(f"*/{record.key}.json"))
    file.unlink()
    (project.root / "words.sh").write_text("date +%N\n")  # what it reads when it runs is not what was keyed
    (project.root / "words.sh").write_text("echo words\n")
    other = project.objects.write(b"[]")
    project.records.put(type(record).from_json({**record.to_json(), "output": other, "parts": {}}))
    assert f"planned with the result {record.output[:12]}, now it is {other[:12]}" in moved(project, path)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text.replace('"run"', '"fresh"'), "does not match its own digest"),
        (lambda text: text.replace('"version": 1', '"version": 0', 1), "a plan of version 0, this tool reads 1"),
        (lambda text: text[: len(text) // 2], "is no plan: it holds no JSON"),
        (lambda text: "[]", "is no plan file"),
        (lambda text: '{"version": 1, "stages": []}', "`spark plan --json` is for reading"),
        (lambda text: "[" * 100_000, "is no plan: it holds no JSON"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_whole_plan_is_refused(project: Project, damage: object, told: str) -> None:
    comment(project)
    path = planned(project)
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    with pytest.raises(UsageError, match=told.replace("`", ".")) as error:
        read_plan_file(path)
    assert error.value.fix


def test_a_plan_of_another_project_is_refused(project: Project) -> None:
    path = planned(project)
    edit(project, "project: t", "project: u")
    with pytest.raises(SparkError, match="the plan is of project 't', this is 'u'"):
        build(project, path)


def test_nothing_can_be_asked_besides_a_plan(project: Project) -> None:
    planned(project)
    folder = Folder(project.root)
    told = refused(folder, "build", "--plan", "p.json", "model:base", "--set", "a=1")
    assert "a target, --set can't be given besides" in told
    assert "p2.json: no such plan" in refused(folder, "build", "--plan", "p2.json")
