"""Results of `--set` and `--profile`: named, found again, and kept in Sparkfile and lock."""

from pathlib import Path

import pytest

from spark_build import Project
from spark_build.app.keeping import keep
from spark_build.app.overrides import run_id
from spark_build.app.tagging import put_tag
from spark_build.core.address import Address
from spark_build.core.errors import SparkError, UsageError
from tests.spark import Folder

SPARKFILE = """\
# what is trained
vars: {rate: 7}
recipes:
  sft: {use: command, with: {run: "echo {params.rate} {params.seed} > {output}/weights", params: {rate: 2e-4, seed: 0}}}  # by hand
  own: {use: command, with: {run: "echo {params.rate} > {output}/weights", params: {rate: "${vars.rate}"}}}
targets:
  sft: {recipe: sft}
  own: {recipe: own}
profiles:
  quick: {recipes: {sft: {with: {params: {rate: 0.5}}}}}
"""  # noqa: E501
SET = "recipes.sft.with.params.rate=1e-4"


@pytest.fixture
def sft(folder: Folder) -> Folder:
    folder.sparkfile(SPARKFILE)
    return folder


def build(folder: Folder, *targets: str, profile: str | None = None, sets: tuple[str, ...] = ()) -> None:
    project = Project(folder.path, profile=profile, sets=sets)
    assert project.build(*targets).exit_code == 0
    project.close()


def weights(folder: Folder, address: str) -> str:
    project = Project(folder.path)
    to = folder.path.parent / address.replace("@", "-").replace("/", "-")
    text = (project.get(address, to) / "model/weights").read_text()
    project.close()
    return text


def run_name(*sets: str, profile: str | None = None) -> str:
    return f"run-{run_id(profile, sets, None)[:4]}"


def test_a_build_with_set_says_its_name_and_the_name_holds(sft: Folder) -> None:
    sft.spark("build", "sft")
    name = f"model:sft@{run_name(SET)}"
    assert f"named {name};" in sft.spark("build", "--set", SET, "sft").out
    assert f"--set {SET} ({run_name(SET)})" in sft.spark("runs").out
    # whatever becomes of the Sparkfile and of what is only an index
    sft.edit("seed: 0", "seed: 1")
    (sft.path / ".spark/state.db").unlink()
    assert weights(sft, name) == "0.0001 0\n"
    assert sft.spark("show", name).out.startswith(name)
    assert "rate 1e-4 → 2e-4" in sft.spark("diff", name, "model:sft").out
    # the same values, spelled otherwise, are the same run
    assert run_name("recipes.sft.with.params.rate=0.0001") == run_name(SET)
    lines = (sft.path / "Sparkfile.lock").read_text().splitlines()
    assert not [line for line in lines if "@run" in line]


def test_a_profiles_result_is_that_of_today(sft: Folder) -> None:
    assert weights(sft, "model:sft@quick") == "0.5 0\n"
    sft.edit("seed: 0", "seed: 1")
    assert weights(sft, "sft@quick") == "0.5 1\n"


def test_kept_values_stand_in_sparkfile_and_lock_and_nothing_runs(sft: Folder) -> None:
    build(sft, "sft")
    build(sft, "sft", sets=(SET,))
    before = (sft.path / "Sparkfile.yaml").read_text()
    out = sft.spark("keep", f"model:sft@{run_name(SET)}").out
    assert "recipes.sft.with.params.rate 2e-4 → 1e-4" in out
    assert (sft.path / "Sparkfile.yaml").read_text() == before.replace("rate: 2e-4", "rate: 1e-4")
    assert set(sft.states("sft").values()) == {"fresh"}
    sft.spark("plan", "--locked", "--check", "sft")


def test_a_profile_is_kept_too(sft: Folder) -> None:
    build(sft, "sft", profile="quick")
    project = Project(sft.path)
    assert [change.new for change in keep(project, "model:sft@quick").changes] == ["0.5"]
    assert project.plan("sft").is_done
    project.close()


def test_nothing_is_kept_that_would_give_another_result(sft: Folder) -> None:
    build(sft, "sft", sets=(SET,))
    build(sft, "own", sets=("recipes.own.with.params.rate=3",))
    sft.edit("seed: 0", "seed: 1")
    before = (sft.path / "Sparkfile.yaml").read_bytes()
    project = Project(sft.path)
    for address, problem in {
        f"model:sft@{run_name(SET)}": "today's Sparkfile gives another model:sft/train: seed 0 → 1",
        f"own@{run_name('recipes.own.with.params.rate=3')}": "is given by ${vars.rate}",
        "model:sft@run-0000": "no run 'run-0000'",
        "model:sft@v1": "no tag 'model:sft@v1'",
        "model:sft": "names no run",
    }.items():
        with pytest.raises(UsageError) as told:
            keep(project, address)
        assert problem in str(told.value)
    assert (sft.path / "Sparkfile.yaml").read_bytes() == before
    assert not (sft.path / "Sparkfile.lock").exists()
    project.close()


def test_a_tag_is_no_profile_and_no_run(sft: Folder) -> None:
    build(sft, "sft")
    project = Project(sft.path)
    for name in ("quick", "run-3f2a"):
        with pytest.raises(UsageError, match="take another name"):
            put_tag(project, Address.parse(f"model:sft@{name}"))
    put_tag(project, Address.parse("model:sft@good"))
    assert project.record_of("model:sft@good").output == project.record_of("sft").output
    project.close()
    # a profile that comes later, of the same name
    sft.edit("  quick:", "  good:")
    project = Project(sft.path)
    with pytest.raises(UsageError, match="'good' is a tag, and a profile since then"):
        project.get("model:sft@good", sft.path / "out")
    project.close()


def test_limit_has_no_place_in_a_sparkfile(sft: Folder) -> None:
    project = Project(sft.path, limit=3)
    assert project.build("sft").exit_code == 0
    project.close()
    plain = Project(sft.path)
    with pytest.raises(SparkError, match="had --limit 3"):
        keep(plain, f"model:sft@run-{run_id(None, (), 3)[:4]}")
    plain.close()


def test_the_file_keeps_its_mode_and_no_copy_stays(sft: Folder) -> None:
    build(sft, "sft", sets=(SET,))
    file = Path(sft.path / "Sparkfile.yaml")
    file.chmod(0o640)
    project = Project(sft.path)
    keep(project, f"sft@{run_name(SET)}")
    project.close()
    assert file.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in sft.path.iterdir() if p.name.endswith(".new")] == []
