"""`spark accept`: an earlier result counts for a key that never gave it, because somebody said so."""

import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from spark_build import Project
from spark_build.app import BuildOptions
from spark_build.app.accepting import accept, accepted, revoke
from spark_build.app.locking import locked_plan
from spark_build.core.digest import canonical_json, digest_bytes
from spark_build.core.errors import RequirementNotMet, SparkError, UsageError
from tests.explain.conftest import BASE, COPY, SPARKFILE, comment, ran, states
from tests.spark import Folder


def test_an_accepted_result_is_fresh_and_so_is_all_behind_it(project: Project) -> None:
    comment(project)
    assert states(project) == {BASE: "run", COPY: "maybe"}
    accept(project, BASE, "only a comment")
    assert states(project) == {BASE: "fresh", COPY: "fresh"}
    assert ran(project) == []


def test_every_plan_and_build_says_so(project: Project) -> None:
    comment(project)
    made = accept(project, BASE, "only a\n comment")
    assert made.note == f"accepted {made.at[:10]}: only a comment"
    assert project.plan()[BASE].to_json()["drift"] == [made.note]
    assert project.build().results[BASE].drift == (made.note,)
    folder = Folder(project.root)
    for words in (["plan"], ["build"], ["why", BASE], ["show", "model:base"], ["runs"], ["ls"]):
        assert made.note in folder.spark(*words).out, words


def test_an_acceptance_holds_who_when_why_and_what_was_passed_over(project: Project) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project.root, check=True)
    subprocess.run(["git", "config", "user.name", "Ada L."], cwd=project.root, check=True)
    comment(project)
    before = project.plan()[BASE]
    made = accept(project, BASE, "only a comment")
    assert (made.by, made.key, made.stage) == ("Ada L.", before.key, BASE)
    assert made.causes[0]["changed"] == ["words.sh"]
    (standing,) = accepted(project)
    assert standing.counts
    assert json.loads(Folder(project.root).spark("accept", "--list", "--json").out)["acceptances"] == [
        standing.to_json()
    ]


def test_another_edit_ends_it_and_undoing_that_brings_it_back(project: Project) -> None:
    comment(project)
    accept(project, BASE, "only a comment")
    comment(project, "# and more\n")
    assert states(project)[BASE] == "run"
    assert not accepted(project)[0].counts
    comment(project)
    assert states(project)[BASE] == "fresh"


def test_again_and_strict_run_it_all_the_same(project: Project) -> None:
    comment(project)
    accept(project, BASE, "only a comment")
    assert project.plan(is_strict=True)[BASE].state == "run"
    result = project.build(options=BuildOptions(again=(BASE,)))
    assert result.results[BASE].outcome == "ran"
    planned = project.plan()[BASE]
    assert (planned.state, planned.drift) == ("fresh", ())  # it is built now: nobody's word is needed


def test_revoked_it_is_to_run_again(project: Project) -> None:
    comment(project)
    accept(project, BASE, "only a comment")
    assert [a.stage for a in revoke(project, BASE)] == [BASE]
    assert states(project)[BASE] == "run"
    with pytest.raises(UsageError, match="nothing of model:base/train was accepted"):
        revoke(project, BASE)


def test_the_lock_names_the_key_that_gave_it_and_a_locked_build_refuses(project: Project) -> None:
    key = project.plan()[BASE].key
    comment(project)
    made = accept(project, BASE, "only a comment")
    project.build()
    block = tomllib.loads((project.root / "Sparkfile.lock").read_text())["stages"][BASE]
    assert (block["key"], block["accepted"]) == (key, made.note)
    with pytest.raises(RequirementNotMet, match=r"model:base/train: accepted .*: only a comment"):
        project.build(options=BuildOptions(is_locked=True))
    locked = locked_plan(Project(project.root), [])
    assert not locked.fits
    assert f"{BASE}: {made.note} (spark accept; only what was built fits a lock)" in locked.notes()
    project.build(options=BuildOptions(again=(BASE,)))
    assert "accepted" not in (project.root / "Sparkfile.lock").read_text()
    assert project.build(options=BuildOptions(is_locked=True)).exit_code == 0


def test_without_its_artifact_an_accepted_stage_runs_under_its_own_key(project: Project) -> None:
    comment(project)
    made = accept(project, BASE, "only a comment")
    output = project.plan()[BASE].output
    assert output is not None
    (project.root / ".spark" / "objects" / output[:2] / output[2:]).unlink()
    planned = project.plan("model:base")[BASE]
    assert (planned.state, planned.key, planned.drift) == ("run", made.key, ())
    assert ran(project) == [BASE]
    assert project.records.get(made.key) is not None


def test_a_damaged_acceptance_counts_as_none(project: Project) -> None:
    comment(project)
    made = accept(project, BASE, "only a comment")
    file = project.root / ".spark" / "accepted" / f"{made.key}.json"
    file.chmod(0o644)
    file.write_text(file.read_text().replace("only a comment", "whatever"))
    assert states(project)[BASE] == "run"


def test_an_older_build_can_be_the_one_that_counts(project: Project) -> None:
    first = project.plan()[BASE].output
    (project.root / "words.sh").write_text("echo other\n")
    project.build()
    comment(project)
    accept(project, BASE, "as it was", build="@2")
    assert project.plan()[BASE].output == first
    assert states(project)[COPY] == "fresh"  # it read that very result once


def test_what_cannot_be_accepted_is_refused(project: Project) -> None:
    def refused(stage: str, reason: str = "so", build: str | None = None) -> str:
        with pytest.raises(SparkError) as error:
            accept(project, stage, reason, build=build)
        assert error.value.fix
        return error.value.message

    assert refused(BASE) == f"{BASE} is fresh: there is nothing to accept"
    assert refused("model:base") == "'model:base' is no stage"
    comment(project)
    assert refused(BASE, " \n") == "an acceptance needs a reason"
    assert "at most 300" in refused(BASE, "x" * 301)
    assert refused(COPY) == f"{COPY} waits for {BASE}, whose result decides its key"
    assert refused(BASE, build="2019") == "no build '2019'"
    assert refused("model:none/train") == "nothing here is called 'model:none/train'"
    last = project.records.get(project.journal.last(BASE) or "")
    assert last is not None
    (project.root / ".spark" / "objects" / last.output[:2] / last.output[2:]).unlink()
    assert "is not in the store" in refused(BASE)
    accepted_folder = Path(project.root, ".spark", "accepted")
    assert not accepted_folder.exists()


def test_what_was_never_built_cannot_be_accepted(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE)
    folder.write("words.sh", "echo words\n")
    with pytest.raises(UsageError, match="never built"):
        accept(Project(folder.path), BASE, "so")


def test_the_stamp_moves_with_every_acceptance(project: Project) -> None:
    before = project.acceptances.stamp()
    comment(project)
    accept(project, BASE, "one")
    first = project.acceptances.stamp()
    revoke(project, BASE)
    accept(project, BASE, "two")
    assert before == []
    assert len({json.dumps(s) for s in (before, first, project.acceptances.stamp())}) == 3


def test_each_sparkfile_of_a_store_takes_back_its_own(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    projects = [Project(_accepted_in(Folder(tmp_path / name), name)) for name in "ab"]
    a, b = projects
    assert [a.place for a in revoke(b, BASE)] == ["b"]
    assert [states(project)[BASE] for project in projects] == ["fresh", "run"]
    with pytest.raises(UsageError, match="nothing of model:base/train"):
        revoke(b, BASE)
    assert "of another Sparkfile: in a/" in Folder(b.root).spark("accept", "--list").out
    assert [(s.counts, s.is_own) for s in accepted(a)] == [(True, True)]


def test_a_stage_is_taken_back_by_its_name_in_the_sparkfile_that_includes_it(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    inner = Project(_accepted_in(Folder(tmp_path / "a"), "a"))
    Folder(tmp_path).sparkfile("include: [a/Sparkfile.yaml]\n")
    outer = Project(tmp_path)
    assert states(outer)[f"a/{BASE}"] == "fresh"
    assert [(s.counts, s.is_own) for s in accepted(outer)] == [(True, True)]
    assert len(revoke(outer, f"a/{BASE}")) == 1
    assert states(inner)[BASE] == "run"


def test_the_same_action_is_taken_back_where_it_was_accepted(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    _accepted_in(Folder(tmp_path / "a"), "same")
    b = Folder(tmp_path / "b")
    shutil.copytree(tmp_path / "a", b.path)
    assert states(Project(b.path))[BASE] == "fresh"
    with pytest.raises(UsageError) as error:
        revoke(Project(b.path), BASE)
    assert "spark -C ../a accept --revoke model:base/train" in str(error.value)


def test_acceptances_from_before_their_place_was_kept_still_count(project: Project) -> None:
    comment(project)
    made = accept(project, BASE, "only a comment")
    (file,) = (project.store / "accepted").iterdir()
    data = {name: value for name, value in made.to_json().items() if name != "place"}
    file.unlink()
    file.write_bytes(canonical_json({**data, "seal": digest_bytes(canonical_json(data))}))
    assert states(project)[BASE] == "fresh"
    assert [a.place for a in revoke(project, BASE)] == [None]


def _accepted_in(folder: Folder, words: str) -> Path:
    folder.sparkfile(SPARKFILE)
    folder.write("words.sh", f"echo {words}\n")
    project = Project(folder.path)
    project.build("model:base")
    comment(project, f"# {words}\n")
    accept(project, BASE, "only a comment")
    project.close()
    return folder.path
