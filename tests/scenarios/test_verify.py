"""`spark verify`: the same comes out again, or the first difference is named."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.spark import Folder, documents

SPARKFILE = """\
datasets:
  notes: {{source: data}}
targets:
  steady: {{recipe: {{use: command, with: {{run: "echo same > {{output}}/x"}}}}}}
  clock: {{recipe: {{use: command, with: {{run: "echo first > {{output}}/x; date +%N >> {{output}}/x"}}}}}}
  behind: {{base: "model:clock", recipe: {{use: command, with: {{run: "cp {{inputs.base}}/x {{output}}/y"}}}}}}
  once: {{recipe: {{use: command, with: {{run: "mkdir {flag} && echo x > {{output}}/x"}}}}}}
  drawn: {{dataset: notes, recipe: {{use: "./own.py:Drawn"}}, eval: {{metrics: [{{use: "./own.py:Near"}}]}}}}
  exact: {{dataset: notes, recipe: {{use: "./own.py:Exact"}}, eval: {{metrics: [{{use: "./own.py:Near"}}]}}}}
  asked: {{dataset: notes, recipe: {{use: "./own.py:Asked"}}}}
"""
OWN = """\
import os, random
from spark_build.contract import Metric, Recipe

class Drawn(Recipe):
    reproducible = "metric"
    tolerance = 0.5
    uses_model = False

    def train(self, context):
        (context.output / "model").mkdir()
        (context.output / "model" / "w").write_bytes(os.urandom(8))

class Exact(Drawn):
    tolerance = 1e-9

class Asked(Drawn):
    reproducible = "none"
    reproducible_why = "a service answers as it likes"

class Near(Metric):
    uses_model = False

    def evaluate(self, context):
        return {"near": 1.0 + int.from_bytes((context.inputs["model"] / "w").read_bytes(), "big") / 2**70}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("verify") / "project"
    path.mkdir()
    folder = Folder(path)
    folder.sparkfile(SPARKFILE.format(flag=path / "flag"))
    folder.write("own.py", OWN)
    documents(folder, 8)
    folder.build()
    return folder


def verified(folder: Folder, *words: str, code: int) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(folder.spark("verify", "--json", *words, code=code).out)
    assert told["version"] == 1
    return told


def test_what_comes_out_again_is_verified_down_to_its_sources(built: Folder) -> None:
    lock = (built.path / "Sparkfile.lock").read_text()
    told = verified(built, "dataset:notes", code=0)
    assert told["verdict"] == "equal"
    assert {s["stage"]: (s["level"], s["verdict"]) for s in told["stages"]} == {
        f"dataset:notes/{stage}": ("bitwise", "equal") for stage in ("ingest", "version")
    }
    assert all(s["expected"] == s["got"] for s in told["stages"])
    assert (built.path / "Sparkfile.lock").read_text() == lock
    assert set(built.states().values()) == {"fresh"}


def test_the_first_difference_is_named_and_what_is_made_of_it_stands_behind(built: Folder) -> None:
    told = verified(built, "model:behind", code=4)
    clock, behind = told["stages"]
    assert clock["verdict"] == "differs"
    assert (clock["difference"]["file"], clock["difference"]["line"]) == ("model/x", 2)
    assert behind["verdict"] == "behind"
    text = built.spark("verify", "model:clock", code=4)
    assert "differs      model:clock/train  numerics\n    model/x: line 2 " in text.out
    assert "model:clock differs: 1 stage came out otherwise, first model:clock/train" in text.out


def test_a_stage_alone_takes_its_inputs_from_the_store(built: Folder, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    told = verified(built, "model:behind/train", "--stage", "--keep", str(kept), code=0)
    assert [s["stage"] for s in told["stages"]] == ["model:behind/train"]
    assert told["kept"] == str(kept)
    assert list((kept / "objects").iterdir())


def test_what_cant_be_built_again_is_no_difference(built: Folder) -> None:
    told = verified(built, "model:once", code=1)
    assert (told["verdict"], told["stages"][0]["verdict"]) == ("failed", "failed")
    shutil.rmtree(told["kept"])
    text = built.spark("verify", "model:once", code=1)
    assert "could not be built again" in text.out
    [log] = re.findall(r"log +(/\S+\.log)", text.err)
    assert Path(log).is_file()
    shutil.rmtree(Path(log).parents[1])


def test_figures_count_within_the_tolerance_that_the_rule_declares(built: Folder) -> None:
    told = verified(built, "model:drawn", code=0)
    levels = {s["stage"]: (s["level"], s["verdict"]) for s in told["stages"] if "drawn" in s["stage"]}
    assert levels == {"model:drawn/train": ("metric", "close"), "model:drawn/eval": ("metric", "close")}
    told = verified(built, "model:exact", code=4)
    difference = next(s["difference"] for s in told["stages"] if s["stage"] == "model:exact/eval")
    assert (difference["kind"], difference["name"]) == ("figure", "near")


def test_what_declares_that_it_is_never_the_same_is_not_compared_and_says_why(built: Folder) -> None:
    told = built.spark("verify", "model:asked/train", "--stage", code=0).out
    assert "not compared model:asked/train  none: a service answers as it likes" in told


def test_what_is_not_built_or_not_there_is_refused(built: Folder, tmp_path: Path) -> None:
    assert "did you mean" in built.spark("verify", "dataset:note", code=2).err
    (tmp_path / "x").write_text("")
    assert "not empty" in built.spark("verify", "model:steady", "--keep", str(tmp_path), code=2).err
    change = "targets.steady.recipe.with.run=echo y > {output}/x"
    refused = built.spark("verify", "model:steady", "--set", change, code=1)
    assert "model:steady/train is not built as the Sparkfile stands" in refused.err
    assert "fix: spark build model:steady" in refused.err
