"""Whom a project trusts: read with the Sparkfile, and part of no key."""

from pathlib import Path

from spark_build import Project
from spark_build.core.signing import PrivateKey
from tests.spark import Folder

SPARKFILE = """\
datasets: {notes: {source: data}}
"""


def test_keys_and_policies_are_part_of_no_key_and_a_policy_that_changed_is_read_again(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("data/a.txt", "a note\n")
    folder.sparkfile(SPARKFILE)
    folder.spark("build")
    before, lock = keys_of(tmp_path), (tmp_path / "Sparkfile.lock").read_bytes()

    mine, ci = PrivateKey.new().public, PrivateKey.new().public
    folder.write("trust.yaml", f"version: 1\nkeys: [{{key: {ci}, name: ci, scopes: [scopes/pr]}}]\n")
    folder.sparkfile(f"store: {{keys: ['{mine}'], policy: trust.yaml}}\n{SPARKFILE}")
    assert keys_of(tmp_path) == before
    assert folder.spark("build", "--json").ran == set()
    assert (tmp_path / "Sparkfile.lock").read_bytes() == lock
    trust = Project(tmp_path).graph.trust
    assert (trust.keys_for("trusted"), trust.keys_for("scopes/pr")) == ([mine], [mine, ci])

    folder.edit("scopes/pr", "trusted", "trust.yaml")
    assert Project(tmp_path).graph.trust.keys_for("trusted") == [mine, ci]
    folder.edit("trusted", "trustd", "trust.yaml")
    told = folder.spark("plan", code=2).err
    assert told.startswith("trust.yaml:2:87: 'trustd' is no scope")
    (tmp_path / "trust.yaml").unlink()
    assert folder.spark("check", code=2).err.startswith("Sparkfile.yaml:3:81: trust.yaml: not there")


def keys_of(folder: Path) -> dict[str, str | None]:
    plan = Project(folder).plan()
    assert {stage.state for stage in plan.stages} == {"fresh"}
    return {stage.stage: stage.key for stage in plan.stages}
