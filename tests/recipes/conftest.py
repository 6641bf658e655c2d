"""What recipes are trained on here: a dozen sentences, and tiny real bases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rule_runs import Run, run_rule, write_dataset
from tiny_models import TEXT, bert, llama

IMPL = {
    "causal_lm": "spark_build.recipes.causal_lm:CausalLm",
    "llama_lora": "spark_build.recipes.llama_lora:LlamaLora",
    "bert_classification": "spark_build.recipes.bert_classification:BertClassification",
}
FIELDS = {"question": "text", "answer": "text", "chat": "messages", "label": "label", "grade": "number"}
QUICK = {"max_length": 48, "batch_size": 4, "max_steps": 6, "learning_rate": 1e-3}


def row(i: int, text: str) -> dict[str, Any]:
    question, answer = f"{text[:12]} {i}?", text[12:]
    chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {
        "question": question,
        "answer": answer,
        "chat": chat,
        "label": "abc"[i % 3],
        "grade": float(i % 2),
    }


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions and answers, the same as chats, and labels: train and test."""
    rows = [row(i, text) for i, text in enumerate(TEXT)]
    return write_dataset(tmp_path_factory.mktemp("pairs") / "dataset", FIELDS, train=rows, test=rows[:6])


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama(tmp_path_factory.mktemp("llama") / "base")


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert(tmp_path_factory.mktemp("bert") / "base", labels=("a", "b"))


@pytest.fixture
def train(tmp_path: Path, pairs: Path) -> Callable[..., Run]:
    """`train('causal_lm', base=folder, …params)`: a run in a folder of its own."""

    def run(recipe: str, *, base: Path | None = None, dataset: Path | None = None, **params: Any) -> Run:
        inputs = {"dataset": dataset or pairs, **({"base": base} if base else {})}
        given = {**QUICK, **({"base": "base"} if base else {}), **params}
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        return run_rule(folder, IMPL[recipe], given, inputs, must_end_well=False)

    return run
