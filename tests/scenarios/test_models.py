"""Models' way through edits; the recipes are small commands, so that each case takes seconds."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.spark import Folder, documents

SPARKFILE = """\
datasets:
  notes:
    source: data
    splits: {train: 0.8, test: 0.2}
    card: {license: mit}
    version: {use: snapshot, with: {tag: "1"}}
recipes:
  count:
    use: command
    with: {run: "python3 train.py {inputs.dataset} {output} {params.rate}", params: {rate: 1}}
  more:
    use: command
    with: {run: "python3 train.py {inputs.dataset} {output} {params.rate} {inputs.base}", params: {rate: 1}}
targets:
  first:
    recipe: count
    dataset: notes
    eval:
      metrics: [{use: command, with: {run: "python3 measure.py {inputs.model} {inputs.dataset} {output}"}}]
      require: {size: "> 10"}
    package: [{use: command, with: {run: "cp -r {inputs.model}/. {output}/model"}}]
  second: {recipe: more, base: "model:first", dataset: notes}
  other: {recipe: {use: command, with: {run: "python3 train.py {inputs.dataset} {output} 5"}}, dataset: notes}
"""
TRAIN = """\
import sys
from pathlib import Path
import helper
dataset, output, rate, *base = sys.argv[1:]
total = sum(len(f.read_bytes()) for f in sorted(Path(dataset).rglob("*.parquet")))
Path(output).mkdir(parents=True, exist_ok=True)
before = Path(base[0], "weights.txt").read_text() if base else ""
Path(output, "weights.txt").write_text(helper.weights(total, rate, before))
"""
HELPER = "def weights(total, rate, before):\n    return f'{before}{total} {rate}\\n'\n"
MEASURE = """\
import json, sys
from pathlib import Path
model, dataset, output = sys.argv[1:]
size = float(Path(model, "weights.txt").read_text().split()[0])
Path(output).mkdir(exist_ok=True)
Path(output, "metrics.json").write_text(json.dumps({"size": size}))
"""
DATA = {f"dataset:notes/{s}" for s in ("ingest", "version")}
FIRST = {f"model:first/{s}" for s in ("train", "eval", "package.command")}
SECOND, OTHER = "model:second/train", "model:other/train"


@pytest.fixture
def models(folder: Folder) -> Folder:
    folder.sparkfile(SPARKFILE)
    folder.write("train.py", TRAIN)
    folder.write("helper.py", HELPER)
    folder.write("measure.py", MEASURE)
    documents(folder, 20)
    assert folder.build().ran == {*DATA, *FIRST, SECOND, OTHER}
    return folder


def test_nothing_runs_twice(models: Folder) -> None:
    assert models.build().ran == set()


def test_moving_the_project_trains_nothing(models: Folder) -> None:
    moved = models.path.with_name("elsewhere")
    models.path.rename(moved)
    assert Folder(moved).build("-j", "3").ran == set()


def test_a_changed_rate_reruns_that_model_and_those_built_on_it(models: Folder) -> None:
    models.edit('{params.rate}", params: {rate: 1}}\n  more', '{params.rate}", params: {rate: 2}}\n  more')
    assert models.build().ran == {*FIRST, SECOND}


def test_a_changed_helper_is_a_changed_rule(models: Folder) -> None:
    models.write("helper.py", HELPER.replace("{rate}", "{rate}."))
    assert [(r["kind"], r["name"]) for r in models.reasons(OTHER)] == [("rule", "command")]
    assert {"model:first/train", SECOND, OTHER} <= models.build().ran


def test_a_helper_whose_result_is_the_same_stops_at_the_training(models: Folder) -> None:
    models.write("helper.py", HELPER + "# a comment\n")
    ran = models.build().ran
    assert "model:first/train" in ran
    assert "model:first/eval" not in ran


def test_the_licence_and_the_tag_train_nothing(models: Folder) -> None:
    models.edit("license: mit", "license: cc-by-4.0")
    assert models.build().ran == {"dataset:notes/version"}
    models.edit('tag: "1"', 'tag: "2"')
    assert models.build().ran == {"dataset:notes/version"}


def test_a_document_of_the_test_split_trains_nothing(models: Folder) -> None:
    _new_document_in(models, "test")
    assert models.build().ran == {*DATA, "model:first/eval"}


def test_a_document_of_the_training_split_trains(models: Folder) -> None:
    _new_document_in(models, "train")
    assert {"model:first/train", SECOND, OTHER} <= models.build().ran


def _new_document_in(models: Folder, split: str) -> None:
    """One more document, numbered so that its name falls into `split` (found out in a project beside it)."""
    beside = Folder(models.path.with_name("beside"))
    beside.sparkfile("datasets:\n  notes: {source: data, splits: {train: 0.8, test: 0.2}}\n")
    documents(beside, 60, start=100)
    beside.build()
    rows = json.loads(beside.spark("show", "dataset:notes", "--split", split, "--json").out)["rows"]
    documents(models, 1, start=int(rows[0]["source"][3:7]))


def test_renaming_a_target_runs_nothing(models: Folder) -> None:
    models.edit("  other:", "  renamed:")
    assert models.build().ran == set()


def test_an_unmet_requirement_stops_what_is_behind_it(models: Folder) -> None:
    models.edit('size: "> 10"', 'size: "> 1e9"')
    models.edit('{params.rate}", params: {rate: 1}}\n  more', '{params.rate}", params: {rate: 3}}\n  more')
    built = models.build(code=4)
    assert built.outcomes["model:first/eval"] == "ran"
    assert built.outcomes["model:first/package.command"] == "skipped"
    assert built.outcomes[SECOND] == "skipped"
    assert built.outcomes[OTHER] == "fresh"
    assert "Sparkfile.yaml:" in built.err


def test_loosening_a_requirement_measures_nothing(models: Folder) -> None:
    models.edit('size: "> 10"', 'size: "> 1e9"')
    assert models.build(code=4).ran == set()
    models.edit('size: "> 1e9"', 'size: "> 20"')
    assert models.build().ran == set()


def test_a_failed_stage_stops_only_what_depends_on_it(models: Folder) -> None:
    models.write(
        "helper.py",
        "def weights(total, rate, before):\n    raise SystemExit('no more paper' if rate != '5' else 0)\n",
    )
    models.edit("{output} 5", "{output} 6")
    built = models.build(code=1)
    assert built.outcomes["model:first/train"] == "failed"
    assert built.outcomes[SECOND] == "skipped"
    assert "no more paper" in built.err
    models.write("helper.py", HELPER)
    models.edit("{output} 6", "{output} 5")
    assert models.build().ran == set(), "what was built before is still there"


def test_a_stage_that_writes_into_its_input_fails_by_name(models: Folder) -> None:
    outputs = models.build().outputs
    models.write(
        "train.py",
        TRAIN
        + "import os\nfor f in Path(dataset).rglob('*.parquet'):\n    os.chmod(f, 0o644); f.write_bytes(b'gone')\n",
    )
    built = models.build("model:other", code=1)
    assert "wrote into its inputs" in built.err
    models.write("train.py", TRAIN)
    assert models.build().outputs == outputs


def test_an_input_that_changes_meanwhile_is_not_recorded(models: Folder) -> None:
    models.write("train.py", TRAIN + "Path('helper.py').write_text(Path('helper.py').read_text() + '#')\n")
    built = models.build("model:other", code=1)
    assert "changed while the stage ran" in built.err


def test_get_lays_a_model_out(models: Folder) -> None:
    models.spark("get", "model:first", "--to", "out")
    assert Path(models.path, "out", "model", "weights.txt").exists()
    refused = models.spark("get", "model:first", "--to", "out", code=2)
    assert "not empty" in refused.err


def test_a_tag_stays_when_the_model_moves_on(models: Folder) -> None:
    models.spark("tag", "model:first@v1")
    models.edit('{params.rate}", params: {rate: 1}}\n  more', '{params.rate}", params: {rate: 9}}\n  more')
    models.build()
    models.spark("get", "model:first@v1", "--to", "old")
    models.spark("get", "model:first", "--to", "new")
    old, new = ((models.path / n / "model" / "weights.txt").read_text() for n in ("old", "new"))
    assert old.split()[1] == "1"
    assert new.split()[1] == "9"


def test_why_names_the_chain(models: Folder) -> None:
    models.write("helper.py", HELPER + "# more\n")
    told = models.spark("why", "model:second").out
    assert "helper.py" in told


def test_runs_tells_what_had_changed(models: Folder) -> None:
    models.edit('{params.rate}", params: {rate: 1}}\n  more', '{params.rate}", params: {rate: 2}}\n  more')
    models.build()
    assert "rate 1 → 2" in models.spark("runs").out


def test_show_and_ls_and_log_know_a_model(models: Folder) -> None:
    assert "model:first" in models.spark("ls").out
    assert "size" in models.spark("show", "model:first").out
    models.spark("log", "model:first/train", "--text")


def test_a_killed_build_leaves_no_process(folder: Folder) -> None:
    folder.sparkfile(
        'targets:\n  slow: {recipe: {use: command, with: {run: "sleep 300 & sleep 300; touch {output}/x"}}}\n'
    )
    build = folder.start("build")
    deadline = time.monotonic() + 60
    while not _sleeping_in(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _sleeping_in(folder)
    os.kill(build.pid, signal.SIGKILL)
    build.wait()
    deadline = time.monotonic() + 20
    while _sleeping_in(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _sleeping_in(folder)


def _sleeping_in(folder: Folder) -> list[str]:
    """Processes `sleep 300` whose folder is the project."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes()
            if command.startswith(b"sleep") and (process / "cwd").resolve() == folder.path.resolve():
                found.append(process.name)
        except OSError:
            continue
    return found


def test_ctrl_c_says_how_to_go_on(folder: Folder) -> None:
    folder.sparkfile(
        'targets:\n  slow: {recipe: {use: command, with: {run: "sleep 300; touch {output}/x"}}}\n'
    )
    build = folder.start("build")
    deadline = time.monotonic() + 60
    while not _sleeping_in(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    build.send_signal(signal.SIGINT)
    out, _ = build.communicate(timeout=60)
    assert build.returncode == 130
    assert "interrupted" in out
    assert not _sleeping_in(folder)
