"""generate with models of the file: by name, and through the server that spark starts for them."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_models import TEXT, bert, llama

from spark_build.contract import Item
from spark_build.core.errors import BadInput, ItemRejected
from spark_build.transforms.generate import Generate
from tests.golden.data_cases import context
from tests.spark import Folder

SPARKFILE = """\
datasets:
  lines: {source: data/lines}
  named:
    source: data/rows.jsonl
    transforms:
      - {use: generate, with: {model: "model:tiny", prompt: "{text}", max_tokens: 8, cut_off: keep}}
recipes:
  tiny:
    use: causal_lm
    with:
      config: {model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2}
      tokenizer: {vocab_size: 320}
      max_length: 64
      batch_size: 4
      max_steps: 8
      learning_rate: 1.0e-2
targets:
  tiny: {recipe: tiny, dataset: lines}
deployments:
  chat: {model: tiny, use: transformers_serve, with: {port: 0}}
"""
QUESTIONS = ("A list holds", "How do I", "What does len")


def answers(folder: Folder, dataset: str) -> dict[str, str]:
    shown = folder.spark("show", f"dataset:{dataset}", "--json")
    return {row["id"]: row["answer"] for row in shown.lines[0]["rows"]}


def rows(folder: Folder, *texts: str) -> None:
    lines = (json.dumps({"text": text, "id": str(n)}) for n, text in enumerate(texts))
    folder.write("data/rows.jsonl", "\n".join(lines) + "\n")


def test_a_model_of_the_file_answers_by_name_as_it_does_through_its_server(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE)
    for number, text in enumerate(TEXT):
        folder.write(f"data/lines/{number}.txt", text)
    rows(folder, *QUESTIONS)
    folder.build("dataset:named")
    named = answers(folder, "named")
    assert len(named) == len(QUESTIONS)
    try:
        folder.spark("up", "chat")
        (deployed,) = json.loads(folder.spark("status", "--json").out)["deployments"]
        folder.edit(
            'with: {model: "model:tiny"',
            f"with: {{model: chat, endpoint: {deployed['url']}/v1, concurrency: 2",
        )
        folder.build("dataset:named")
        assert answers(folder, "named") == named
    finally:
        folder.spark("down", "chat", code=None)


def asking(folder: Path, model: Path, *texts: str, **params: Any) -> list[Any]:
    """What comes of each question, of refused ones the reason."""
    given = {"model": "models/m", "prompt": "{text}", "max_tokens": 8, **params}
    rule = Generate(Generate.Params(**given), {"model": model})
    items = [Item(str(n), "a", "train", {"text": text}) for n, text in enumerate(texts)]
    found = dict(rule.ask(items, context(folder, {})))
    return [one.reason if isinstance(one, ItemRejected) else one for _, one in sorted(found.items())]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("params", [{}, {"temperature": 0.8, "n": 2, "seed": 7}])
def test_a_question_is_answered_alike_alone_and_among_others(
    tmp_path: Path, tiny: Path, params: dict[str, Any]
) -> None:
    among = asking(tmp_path, tiny, *QUESTIONS, **params)
    assert [asking(tmp_path, tiny, text, **params)[0] for text in reversed(QUESTIONS)] == among[::-1]
    assert {len(found["answers"]) for found in among} == {params.get("n", 1)}


def test_what_is_drawn_follows_the_seed(tmp_path: Path, tiny: Path) -> None:
    drawn = [asking(tmp_path, tiny, *QUESTIONS, temperature=1.5, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_question_longer_than_the_context_is_refused_and_odd_characters_are_taken(
    tmp_path: Path, tiny: Path
) -> None:
    assert asking(tmp_path, tiny, "word " * 500, "", chat=False) == ["too_long", "no_question"]
    (found,) = asking(tmp_path, tiny, "lone \ud800 surrogate")
    assert found["tokens"][0] > 0


def test_a_classifier_answers_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="this is BertForSequenceClassification"):
        asking(tmp_path, bert(tmp_path / "bert"), "a")


def test_what_an_endpoint_needs_is_refused_without_one(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE.replace("max_tokens: 8", "budget: 1"))
    assert "'budget' goes with an endpoint" in folder.spark("check", code=2).err
