"""generate with models of the file: by name, and through the server that spark starts for them."""

import json
import shutil

from tiny_models import TEXT, bert, llama

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


def test_a_models_folder_answers_alone_and_among_others_alike_and_an_item_is_asked_once(
    folder: Folder,
) -> None:
    llama(folder.path / "models/tiny")
    folder.sparkfile(SPARKFILE.replace('"model:tiny"', "models/tiny"))
    rows(folder, QUESTIONS[0])
    folder.build("dataset:named")
    alone = answers(folder, "named")
    rows(folder, *QUESTIONS)
    built = folder.build("dataset:named")
    assert built.items["dataset:named/ingest"]["handled"] >= len(QUESTIONS) - 1
    assert answers(folder, "named")["0"] == alone["0"]
    folder.edit("max_tokens: 8", "temperature: 0.8, n: 2, max_tokens: 8")
    folder.build("dataset:named")
    sampled = answers(folder, "named")
    rows(folder, *QUESTIONS[1:])
    shutil.rmtree(folder.path / ".spark")
    folder.build("dataset:named")
    assert answers(folder, "named")["0"] == sampled["1"], "what is drawn hangs on the question alone"


def test_a_classifier_answers_nothing(folder: Folder) -> None:
    bert(folder.path / "models/tiny")
    folder.sparkfile(SPARKFILE.replace('"model:tiny"', "models/tiny"))
    rows(folder, *QUESTIONS)
    assert "this is BertForSequenceClassification" in folder.build("dataset:named", code=1).err


def test_a_question_longer_than_the_models_context_is_a_rejected_item(folder: Folder) -> None:
    llama(folder.path / "models/tiny")
    folder.sparkfile(SPARKFILE.replace('"model:tiny"', "models/tiny"))
    rows(folder, QUESTIONS[0], "word " * 500)
    folder.build("dataset:named")
    assert set(answers(folder, "named")) == {"0"}


def test_what_an_endpoint_needs_is_refused_without_one(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE.replace("max_tokens: 8", "budget: 1"))
    assert "'budget' goes with an endpoint" in folder.spark("check", code=2).err
