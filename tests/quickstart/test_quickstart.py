"""The quickstart, on the real text that every CPython has: a small variant here, the whole of it with `--long`."""

import json
import shutil
import time
import urllib.request
from pathlib import Path

import pytest

from tests.spark import REPOSITORY, Folder

SMALL = [
    word
    for change in (
        "recipes.from-scratch.with.config={model_type: llama, hidden_size: 64, intermediate_size: 128, "
        "num_hidden_layers: 2, num_attention_heads: 2}",
        "recipes.from-scratch.with.max_steps=30",
        "recipes.adapter.with.max_steps=20",
        "recipes.classifier.with.max_steps=20",
        "targets.python-base.eval.require.perplexity_over_unigram=< 10",
        "targets.python-helper.eval.require.perplexity_over_baseline=< 10",
    )
    for word in ("--set", change)
]
QUESTION = "What does the function json.dumps do?"
DATASETS = {f"dataset:{d}/{s}" for d in ("docs", "pairs") for s in ("ingest", "filter", "version")}
HELPER = {
    "model:python-base/train", "model:python-base/eval", "model:python-helper/train", "model:python-helper/eval",
    "model:python-helper/package.safetensors",
}  # fmt: skip


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("quickstart") / "project"
    shutil.copytree(REPOSITORY / "examples" / "quickstart", path, ignore=shutil.ignore_patterns(".spark"))
    return Folder(path)


def test_the_small_variant_goes_the_whole_way(quickstart: Folder) -> None:
    """Fewer steps and a smaller model, so figures mean nothing here; all else is as in the whole."""
    built = quickstart.build("model:python-helper", *SMALL)
    assert built.ran == DATASETS | HELPER
    assert quickstart.build("model:python-helper", *SMALL).ran == set()
    told = quickstart.spark("show", "model:python-helper", *SMALL).out
    assert "supervised_tokens" in told
    assert "perplexity_over_baseline" in told


def test_whole_source_files_are_held_out(quickstart: Folder) -> None:
    quickstart.build("dataset:pairs", *SMALL)
    modules = {}
    for split in ("train", "test"):
        rows = json.loads(
            quickstart.spark(
                "show", "dataset:pairs", "--split", split, "--limit", "100000", "--json", *SMALL
            ).out
        )["rows"]
        modules[split] = {row["module"] for row in rows}
    assert modules["test"]
    assert not modules["train"] & modules["test"]


def test_a_comment_in_the_script_stops_at_the_ingest(quickstart: Folder) -> None:
    quickstart.build("dataset:pairs", *SMALL)
    script = (quickstart.path / "read_docs.py").read_text()
    quickstart.write("read_docs.py", script + "# a comment\n")
    assert quickstart.build("dataset:pairs", *SMALL).ran == {"dataset:pairs/ingest"}
    quickstart.write("read_docs.py", script)


@pytest.mark.long
def test_the_helper_learns_within_four_minutes(tmp_path: Path) -> None:
    folder = _fresh(tmp_path)
    began = time.monotonic()
    folder.build("model:python-helper")
    seconds = time.monotonic() - began
    print({"seconds": seconds, **_figures(folder, "python-base"), **_figures(folder, "python-helper")})
    assert seconds < 240
    assert _figures(folder, "python-base")["perplexity_over_unigram"] < 0.5
    assert _figures(folder, "python-helper")["perplexity_over_baseline"] < 0.9


@pytest.mark.long
def test_the_classifier_learns_topics_and_shuffled_ones_it_cannot(tmp_path: Path) -> None:
    folder = _fresh(tmp_path)
    folder.build("model:topic-classifier")
    print(_figures(folder, "topic-classifier"))
    assert _figures(folder, "topic-classifier")["accuracy_over_majority"] >= 0.20
    folder.edit(
        "lines = [json.dumps(row, ensure_ascii=False) for row in rows][:MOST_PER_MODULE]",
        "rows = iter([{**r, **({'topic': random.choice(sorted(TOPICS))} if 'topic' in r else {})} for r in rows])\n"
        "    lines = [json.dumps(row, ensure_ascii=False) for row in rows][:MOST_PER_MODULE]",
        "read_docs.py",
    )
    folder.edit("import json\n", "import json\nimport random\n", "read_docs.py")
    folder.edit("def main(", "random.seed(0)\n\n\ndef main(", "read_docs.py")
    refused = folder.build("model:topic-classifier", code=4)
    assert "accuracy_over_majority" in refused.err
    assert refused.outcomes["model:topic-classifier/package.onnx"] == "skipped"


@pytest.mark.long
def test_the_deployment_answers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = _fresh(tmp_path)
    folder.edit("with: {port: 8000}", "with: {port: 18431}")
    folder.build("deployment:helper")
    assert folder.build("deployment:helper").outcomes["deployment:helper/serve"] == "fresh"
    request = urllib.request.Request(
        "http://127.0.0.1:18431/v1/chat/completions",
        json.dumps({"model": "helper", "messages": [{"role": "user", "content": QUESTION}]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["choices"][0]["message"]["content"].strip()
    folder.spark("down")
    assert "stopped" in folder.spark("status").out


def _fresh(tmp_path: Path) -> Folder:
    path = tmp_path / "quickstart"
    shutil.copytree(REPOSITORY / "examples" / "quickstart", path, ignore=shutil.ignore_patterns(".spark"))
    return Folder(path)


def _figures(folder: Folder, model: str) -> dict[str, float]:
    stages = json.loads(folder.spark("show", f"model:{model}", "--json").out)["stages"]
    return {name: figure for stage in stages for name, figure in stage["metrics"].items()}
