"""`plan --locked`: a clone with neither data nor artifacts gives the verdict of the whole checkout."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from spark_build import Project
from spark_build.app.locking import locked_plan
from tests.spark import REPOSITORY, Folder, documents

SPARKFILE = """\
datasets:
  notes:
    source: data
    gates: [near-dup, short]
    splits: {train: 0.8, test: 0.2}
    card: {license: mit}
  made:
    source:
      use: command
      with: {run: "sh make.sh {inputs.raw} lines.txt {output}", inputs: {raw: raw}, tools: [greeter]}
    gates: [own]
gates:
  near-dup: {use: near_duplicates, with: {threshold: 0.9}}
  short: {use: quality, with: {rules: [word_count], min_words: 10}}
  own: {use: "./own_gate.py:Own"}
targets:
  counted: {dataset: notes, recipe: counting}
  behind: {dataset: made, base: "model:counted", recipe: copying}
recipes:
  counting:
    use: command
    with: {run: "python3 count.py {inputs.dataset} {output} {params.n}", params: {n: 3}, env: [GREETING]}
  copying: {use: command, with: {run: "cat {inputs.base}/n.txt extra/*.txt > {output}/n.txt"}}
"""
OWN_GATE = """\
from spark_build.contract import ItemGate, RuleParams, Verdict

class Own(ItemGate):
    libraries = ("tiny-lib",)

    class Params(RuleParams):
        least: int = 1

    def measure(self, item): return len(item["text"])

    def decide(self, found, params): return Verdict.keep()
"""
NOTES = "dataset:notes/ingest"
MADE = ("dataset:made/ingest", "dataset:made/filter")
DATA = (".spark", "data", "raw", "lines.txt", "extra")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("locked") / "project"
    path.mkdir()
    folder = Folder(path, {"GREETING": "hello"})
    folder.sparkfile(SPARKFILE)
    documents(folder, 12)
    folder.write("raw/a.txt", "some raw text of a few words\n")
    folder.write("lines.txt", "more text that nobody committed\n")
    folder.write("extra/a.txt", "extra\n")
    folder.write("make.sh", 'cp "$1"/a.txt "$3"/a.md; cat "$2" >> "$3"/a.md\n')
    folder.write("own_gate.py", OWN_GATE)
    folder.write("helping.py", "def text(n): return str(n)\n")
    folder.write(
        "count.py",
        "import sys, helping\nopen(sys.argv[2] + '/n.txt', 'w').write(helping.text(sys.argv[3]))\n",
    )
    folder.write(".gitignore", "".join(f"/{name}\n" for name in DATA))
    install(folder, tool="1.0", library="1.2.3")
    folder.build()
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "built")
    return folder


@pytest.fixture
def full(built: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.syspath_prepend(built.path.parent / "installed")
    shutil.copytree(built.path, tmp_path / "full", symlinks=True)
    return Folder(tmp_path / "full", dict(built.env))


def test_the_lock_of_a_build_fits_without_data_and_artifacts(full: Folder) -> None:
    plan = locked(bare(full), code=0)
    assert states(plan) == dict.fromkeys(plain_states(full), "fresh")
    keys = {s["stage"]: (s["key"], s["output"]) for s in plan["stages"]}
    assert keys == {s["stage"]: (s["key"], s["output"]) for s in full.plan()["stages"]}


EDITS = {
    "a param": ("threshold: 0.9", "threshold: 0.8"),
    "a param of a command": ("params: {n: 3}", "params: {n: 4}"),
    "the order of gates": ("[near-dup, short]", "[short, near-dup]"),
    "a gate of the user's own": ("[near-dup, short]", "[near-dup, short, own]"),
    "a gate less": ("[near-dup, short]", "[short]"),
    "splits": ("{train: 0.8, test: 0.2}", "{train: 0.7, test: 0.3}"),
    "the card": ("license: mit", "license: cc-by-4.0"),
    "a command's text": ("sh make.sh", "sh  make.sh"),
    "another dataset": ("dataset: made", "dataset: notes"),
    "a comment": ("gates:\n  near", "gates:   # how they are judged\n  near"),
    "a gate's name": ("near-dup", "twins"),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_gives_the_verdict_of_the_whole_checkout(full: Folder, what: str) -> None:
    full.edit(*EDITS[what])
    verdict = same_in_both(full)
    assert verdict == plain_states(full)
    assert ("run" in verdict.values()) == (what != "a comment")


@pytest.mark.parametrize("file", ["count.py", "helping.py", "make.sh"])
def test_code_counts_as_it_stands_in_the_checkout(full: Folder, file: str) -> None:
    full.write(file, (full.path / file).read_text() + "# more\n")
    assert same_in_both(full) == plain_states(full)


def test_the_environment_counts_as_it_is(full: Folder) -> None:
    full.env["GREETING"] = "good day"
    assert same_in_both(full)["model:counted/train"] == "run"


def test_causes_name_the_line_without_any_record(full: Folder) -> None:
    full.edit("threshold: 0.9", "threshold: 0.8")
    full.edit("params: {n: 3}", "params: {n: 4}")
    reasons = {s["stage"]: s["reasons"] for s in locked(bare(full), code=4)["stages"]}
    told = reasons["dataset:notes/filter"][0]
    assert (told["kind"], told["name"], told["old"], told["new"]) == (
        "param",
        "gates.near-dup.threshold",
        0.9,
        0.8,
    )
    assert told["at"] == "Sparkfile.yaml:15:54"
    assert reasons["model:counted/train"][0]["name"].endswith("params.n")


def test_another_source_that_the_lock_pins_is_a_cause_though_nobody_knows_its_files(full: Folder) -> None:
    full.edit("source: data\n", "source: raw\n")
    assert same_in_both(full)["dataset:notes/ingest"] == "run"
    clone = bare(full)
    (reason,) = next(s["reasons"] for s in locked(clone, code=4)["stages"] if s["stage"] == NOTES)
    assert (reason["kind"], reason["name"], reason["at"]) == ("input", "raw", "Sparkfile.yaml:5:13")
    assert "dataset:notes/ingest" in clone.spark("plan", "--locked", "--check", code=3).out


def test_a_block_that_is_older_than_the_pin_is_stale_in_a_clone(full: Folder) -> None:
    lock = (full.path / "Sparkfile.lock").read_text()
    before, _, rest = lock.partition('[pins."path:data"]\ndigest = "')
    full.write("Sparkfile.lock", f'{before}[pins."path:data"]\ndigest = "{"0" * 64}{rest[64:]}')
    assert locked_states(bare(full))["dataset:notes/ingest"] == "run"


def test_data_that_differ_are_told_and_count_as_the_lock_pins_them(full: Folder) -> None:
    documents(full, 1, start=70)
    asked = full.spark("plan", "--locked")
    assert "data here is not what Sparkfile.lock pins" in asked.err
    assert "nothing to do" in asked.out
    assert plain_states(full)["dataset:notes/ingest"] == "run"


def test_data_of_the_commit_are_looked_at(full: Folder) -> None:
    full.write("lines.txt", "committed and changed\n")
    git(full, "add", "-f", "lines.txt")
    assert locked_states(full)["dataset:made/ingest"] == "run"


def test_a_path_that_the_lock_does_not_know_does_not_fit(full: Folder) -> None:
    shutil.copytree(full.path / "data", full.path / "data2")
    full.edit("source: data", "source: data2")
    full.write(".gitignore", "data2\n")
    verdict = same_in_both(full)
    assert verdict["dataset:notes/ingest"] == "run"
    project(full).build()
    assert set(same_in_both(full).values()) == {"fresh"}


def test_a_stage_that_is_no_more_does_not_fit(full: Folder) -> None:
    full.edit('  behind: {dataset: made, base: "model:counted", recipe: copying}\n', "")
    assert "which is no more" in bare(full).spark("plan", "--locked", code=4).err
    full.build("--locked", code=4)


def test_check_says_stale_and_the_lock_alone_says_unfit(full: Folder) -> None:
    clone = bare(full)
    clone.edit("threshold: 0.9", "threshold: 0.8")
    assert clone.spark("plan", "--locked", "--check", code=3).code == 3
    assert clone.spark("plan", "--locked", code=4).code == 4


def test_a_tool_and_a_library_that_are_not_installed_count_at_the_locks_version(full: Folder) -> None:
    full.env = {"GREETING": "hello"}
    assert set(states(locked(full, code=0)).values()) == {"fresh"}
    assert locked(bare(full), code=0) == locked(full)


def test_a_tool_and_a_library_of_another_version_are_causes(full: Folder) -> None:
    install(full, tool="2.0", library="1.3.0")
    reasons = {s["stage"]: s["reasons"] for s in locked(bare(full))["stages"]}
    told = [(r["kind"], r["name"], r["old"], r["new"]) for name in MADE for r in reasons[name]]
    assert ("tool", "greeter", "greeter 1.0", "greeter 2.0") in told
    assert ("library", "tiny-lib", "1.2", "1.3") in told


def test_nothing_but_the_state_is_written(full: Folder) -> None:
    clone = bare(full)
    before = sorted(p for p in clone.path.rglob("*") if ".spark" not in p.parts)
    clone.spark("plan", "--locked")
    assert sorted(p for p in clone.path.rglob("*") if ".spark" not in p.parts) == before
    assert {p.name.partition("-")[0] for p in (clone.path / ".spark").iterdir()} <= {"state.db"}


def install(folder: Folder, *, tool: str, library: str) -> None:
    """A program and a distribution outside of the project."""
    outside = Folder(folder.path.parent / "installed")
    outside.write("greeter", f"#!/bin/sh\necho greeter {tool}\n").chmod(0o755)
    outside.write(f"tiny_lib-{library}.dist-info/METADATA", f"Name: tiny-lib\nVersion: {library}\n")
    folder.env["PATH"] = f"{outside.path}:{os.environ['PATH']}"
    folder.env["PYTHONPATH"] = f"{REPOSITORY}:{outside.path}"


def same_in_both(full: Folder) -> dict[str, str]:
    """The verdict, which is the same here and in a clone of what git tracks."""
    verdict = locked_states(full)
    assert locked_states(bare(full)) == verdict
    return verdict


def bare(full: Folder) -> Folder:
    """The checkout without data and artifacts."""
    path = full.path.with_name("bare")
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(full.path, path, ignore=shutil.ignore_patterns(*DATA, "data2"))
    return Folder(path, dict(full.env))


def locked(folder: Folder, code: int | None = None) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(folder.spark("plan", "--locked", "--json", code=code).out)
    return plan


def states(plan: dict[str, Any]) -> dict[str, str]:
    return {s["stage"]: s["state"] for s in plan["stages"]}


def project(folder: Folder) -> Project:
    """In this process; the libraries are this process's."""
    return Project(folder.path, env={**os.environ, **folder.env})


def locked_states(folder: Folder) -> dict[str, str]:
    return states(locked_plan(project(folder), ()).plan.to_json())


def plain_states(folder: Folder) -> dict[str, str]:
    return states(project(folder).plan().to_json())


def git(folder: Folder, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=folder.path, check=True, capture_output=True)
