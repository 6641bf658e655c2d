"""Golden cases of recipes, metrics and servers: tiny models, whose weights follow from a formula.

Weights and losses are figures, compared within a tolerance: float32 sums end in other bits on other processors
and with other builds of torch. All else is exact: files, shapes and types of tensors, what is written beside them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spark_build.contract import Context
from tests.golden import Golden, Heard, files_of, golden, rule_of, told

TEXTS = [
    "A list holds items in order; append adds one at the end.",
    "How do I open a file? Use open, and close it with a block.",
    "Which loop runs a fixed number of times? A for loop over range.",
    "A dictionary maps keys to values, and keeps their order.",
] * 3
LABELS = ("file", "list", "loop")
ROWS = [
    {
        "text": f"{text} Number {n}.",
        "question": text[:19],
        "answer": text[19:],
        "label": ("list", "file", "loop")[n % 3],
    }
    for n, text in enumerate(TEXTS)
]
PHASE = 10.5  # of the weights' waves; these models are right now and then, so that shares are not all zero
TINY: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
# high enough that a change of order, schedule or masking shows in the third digit
FIT = {
    "max_length": 32,
    "batch_size": 4,
    "micro_batch_size": 2,
    "max_steps": 5,
    "learning_rate": 1e-2,
    "log_every": 1,
}


# models


def llama(folder: Path, phase: float = PHASE) -> Path:
    """A language model of bytes."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_bytes(), eos_token="<eos>", pad_token="<pad>")
    tokens: dict[str, Any] = {"vocab_size": 258, "eos_token_id": 0, "bos_token_id": None, "pad_token_id": 1}
    config = LlamaConfig(**TINY, **tokens, max_position_embeddings=128)
    return _saved(LlamaForCausalLM(config), tokenizer, folder, phase)


def bert(folder: Path) -> Path:
    """A classifier of bytes that says how its rows are read, as if it was trained here."""
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_bytes(), pad_token="<pad>", unk_token="<eos>", model_max_length=64
    )
    names: dict[str, Any] = {
        "id2label": dict(enumerate(LABELS)),
        "label2id": {name: i for i, name in enumerate(LABELS)},
    }
    config = BertConfig(vocab_size=258, max_position_embeddings=64, **TINY, **names)
    _saved(BertForSequenceClassification(config), tokenizer, folder)
    read = {
        "kind": "text_classification",
        "text": "text",
        "label": "label",
        "max_length": 64,
        "labels": LABELS,
    }
    (folder / "spark_recipe.json").write_text(json.dumps(read))
    return folder


def vit(folder: Path) -> Path:
    """A classifier of images of 8 x 8 pixels."""
    from transformers import ViTConfig, ViTForImageClassification

    names: dict[str, Any] = {"id2label": dict(enumerate(LABELS))}
    config = ViTConfig(image_size=8, patch_size=4, **TINY, **names)
    return _saved(ViTForImageClassification(config), _processor(), folder)


def _processor() -> Any:
    from transformers import ViTImageProcessorPil

    return ViTImageProcessorPil(size={"height": 8, "width": 8})


def pictured(folder: Path, number: int) -> Any:
    """An item with an image whose pixels follow from a formula; the second is of several frames."""
    import numpy as np
    from PIL import Image

    from spark_build.contract import Item, Media

    x, y = np.mgrid[0:24, 0:32]
    frames = [
        Image.fromarray((np.stack([x * (number + n + 1), y * 7, x * y], -1) % 256).astype(np.uint8))
        for n in range(3)
    ]
    path = folder / f"{number}.png"
    several: dict[str, Any] = {"save_all": True, "append_images": frames[1:]} if number == 1 else {}
    frames[0].save(path, **several)
    return Item(
        str(number), "made", "train", {"image": Media("image", path, ".png", {"frames": 3 if several else 1})}
    )


def _bytes() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    words = ["<eos>", "<pad>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({word: n for n, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<eos>", "<pad>"])
    return tokenizer


def _saved(model: Any, prepares: Any, folder: Path, phase: float = PHASE) -> Path:
    """With weights that no generator of random numbers has a part in."""
    import torch

    with torch.no_grad():
        for number, (name, weight) in enumerate(sorted(model.named_parameters())):
            places = torch.arange(weight.numel(), dtype=torch.float64)
            waves = torch.sin(places * (1.3 + 0.37 * number) + phase) + torch.cos(
                places * places * 0.11 + number
            )
            weight.copy_((("norm" in name.lower()) * 1.0 + 0.2 * waves).reshape(weight.shape))
    model.save_pretrained(folder)
    prepares.save_pretrained(folder)
    return folder


def dataset(folder: Path) -> Path:
    from spark_build.contract.shards import table_of, write_shard

    (folder / "data").mkdir(parents=True)
    rows = [{"id": f"r{n}", "source": "made.jsonl", **row} for n, row in enumerate(ROWS)]
    fields = {"text": "text", "question": "text", "answer": "text", "label": "label"}
    for split, part in {"train": rows, "test": rows[:5]}.items():
        write_shard(table_of(part, fields), folder / "data" / f"{split}-00000.parquet")
    return folder


def context(folder: Path, inputs: Mapping[str, Path], **more: Any) -> Context:
    for name in ("output", "scratch"):
        (folder / name).mkdir(parents=True)
    return Context(inputs, folder / "output", folder / "scratch", Heard(), base_dir=folder, **more)


# recipes


@golden("recipe", "causal_lm")
def _causal_lm(folder: Path) -> Golden:
    params = {"config": {"model_type": "llama", **TINY}, "tokenizer": {"vocab_size": 300}, "text": "text"}
    return _trained(folder, "causal_lm", params)


@golden("recipe", "llama_lora")
def _llama_lora(folder: Path) -> Golden:
    params = {"base": "model:base", "r": 4, "prompt": "question", "completion": "answer", "max_length": 96}
    return _trained(folder, "llama_lora", params, base=llama(folder / "base"))


@golden("recipe", "bert_classification")
def _bert_classification(folder: Path) -> Golden:
    params = {"config": {"model_type": "bert", **TINY}, "tokenizer": {"vocab_size": 300}, "text": "text"}
    return _trained(folder, "bert_classification", {**params, "class_weights": "balanced"})


@golden("recipe", "command")
def _command(folder: Path) -> Golden:
    rule = rule_of("recipe", "command")
    run = "ls {inputs.dataset}/data > {output}/model.txt; echo {params.n} {seed} >> {output}/model.txt"
    own = context(folder / "run", {"dataset": dataset(folder / "dataset")})
    recipe = rule(rule.Params(run=run, params={"n": 3}))
    recipe.train(own)
    return Golden(
        {"keyed": rule.keyed(recipe.params), "written": (own.output / "model" / "model.txt").read_text()}
    )


def _trained(folder: Path, name: str, params: Mapping[str, Any], **inputs: Path) -> Golden:
    rule = rule_of("recipe", name)
    own = context(folder / "run", {"dataset": dataset(folder / "dataset"), **inputs})
    rule(rule.Params(**{**FIT, **params}), inputs).train(own)
    heard: Any = own.report
    losses = {f"loss {step:02}": value for metric, value, step in heard.metrics if metric == "loss" and step}
    tensors = _tensors(own.output)
    return Golden(
        {
            "files": files_of(own.output),
            "tensors": {name: [str(t.dtype), list(t.shape)] for name, t in tensors.items()},
            "recipe": (own.output / "model" / "spark_recipe.json").read_text(),
            "tokens": json.loads((own.output / "model" / "tokenizer.json").read_text())["model"]["vocab"],
            "notes": {name: value for name, value in heard.notes.items() if name.startswith("supervised")},
        },
        # a weight moves by the learning rate at most; their mean size says whether all of them did
        losses | {f"size of {n}": float(t.float().abs().mean()) for n, t in list(tensors.items())[::5]},
    )


def _tensors(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*.safetensors")):
        where = path.parent.relative_to(folder).as_posix()
        found |= {f"{where}/{name}": tensor for name, tensor in load_file(path).items()}
    return dict(sorted(found.items()))


# metrics: those that both kinds of models have are taken of both


def _metric(name: str, *kinds: str) -> None:
    @golden("metric", name)
    def case(folder: Path) -> Golden:
        return _evaluated(folder, name, kinds)


for _name in ("loss", "accuracy"):
    _metric(_name, "causal", "classes")
for _name in ("perplexity", "perplexity_over_baseline", "perplexity_over_unigram"):
    _metric(_name, "causal")
for _name in ("accuracy_over_majority", "f1"):
    _metric(_name, "classes")


def _evaluated(folder: Path, name: str, kinds: tuple[str, ...]) -> Golden:
    rule, data = rule_of("metric", name), dataset(folder / "dataset")
    figures: dict[str, float] = {}
    for kind in kinds:
        model = llama(folder / "llama") if kind == "causal" else bert(folder / "bert")
        inputs = {"model": model, "dataset": data}
        if rule.needs_base:
            inputs["base"] = llama(folder / "base", phase=0.5)
        own = context(folder / kind, inputs, split="test")
        figures |= {f"{kind} {figure}": v for figure, v in rule(rule.Params()).evaluate(own).items()}
    return Golden({"names": sorted(figures)}, figures)


@golden("metric", "command")
def _command_metric(folder: Path) -> Golden:
    rule = rule_of("metric", "command")
    run = """echo '{"exact": 0.5, "count": '$(ls {inputs.model} | wc -l)'}' > {output}/metrics.json"""
    (folder / "model").mkdir()
    (folder / "model" / "one").write_text("")
    own = context(folder / "run", {"model": folder / "model", "dataset": folder})
    metric = rule(rule.Params(run=run))
    return Golden({"keyed": rule.keyed(metric.params), "figures": metric.evaluate(own)})


# gates and servers that run a model


@golden("gate", "toxicity")
def _toxicity(folder: Path) -> Golden:
    from spark_build.contract import Item

    rule = rule_of("gate", "toxicity")
    params = rule.Params(model="model:some", labels=["file"], threshold=0.5, max_tokens=32, overlap=8)
    gate = rule(params, {"model": bert(folder / "bert")})
    items = [Item(f"id{n}", "made.txt", "train", {"text": row["text"]}) for n, row in enumerate(ROWS[:4])]
    measured = [gate.measure(item) for item in items]
    return Golden(
        {"verdicts": [told(gate.decide({"file": score, "loop": 1.0}, params)) for score in (0.0, 0.5, 1.0)]},
        {f"{label} {n}": score for n, found in enumerate(measured) for label, score in found.items()},
    )


@golden("gate", "nsfw")
def _nsfw(folder: Path) -> Golden:
    rule = rule_of("gate", "nsfw")
    params = rule.Params(model="model:some", threshold=0.5, frames=2)
    gate = rule(params, {"model": vit(folder / "vit")})
    items = [pictured(folder, n) for n in range(3)]
    measured = [gate.measure(item) for item in items]
    decided = ({"list": 0.9}, {"sfw": 0.9, "file": 0.4}, {"sfw": 0.2, "file": 0.6, "Loop it": 0.7}, {})
    return Golden(
        {"verdicts": [told(gate.decide(found, params)) for found in decided]},
        {f"{label} {n}": score for n, found in enumerate(measured) for label, score in found.items()},
    )


@golden("server", "transformers_serve")
def _transformers_serve(folder: Path) -> Golden:
    """Its command line, and the likeliest answer of the application that this starts."""
    import sys

    rule, model = rule_of("server", "transformers_serve"), llama(folder / "llama")
    command = rule(rule.Params(port=8001)).command(Path("model"), "127.0.0.1", 8001)
    asked = {"model": "chat", "max_tokens": 6, "temperature": 0}
    chat = [{"role": "user", "content": "A list"}]
    answers = _answers(
        model,
        ("/v1/completions", {**asked, "prompt": "A list holds"}),
        ("/v1/chat/completions", {**asked, "messages": chat}),
        ("/v1/completions", {"model": "other", "prompt": "A"}),
    )
    return Golden(
        {"command": [word.replace(sys.executable, "python") for word in command], "answers": answers}
    )


@golden("transform", "generate")
def _generate(folder: Path) -> Golden:
    """What a model here answers, what an endpoint is sent, and what is read of answers."""
    from spark_build.contract import Item
    from spark_build.transforms._endpoint import Endpoint

    rule, inputs = rule_of("transform", "generate"), {"model": llama(folder / "llama")}
    item = Item("a", "a", "train", {"text": "A list", "n": 3.0, "chat": [{"role": "user", "content": "Hi"}]})
    ways: dict[str, dict[str, Any]] = {
        "chat": {"prompt": "{n} {text}", "system": "Be {text}."},
        "text": {"prompt": "{text}", "chat": False, "stop": ["~"]},
        "messages": {"messages": "chat", "n": 2, "temperature": 0.9, "seed": 3, "top_p": 0.8},
    }
    exact: dict[str, Any] = {}
    for way, params in ways.items():
        own = rule(rule.Params(model="model:m", max_tokens=6, **params), inputs)
        ((_, found),) = own.ask([item], context(folder / way, {}))
        shown = rule.Params(model="m", endpoint="http://127.0.0.1:1/v1", extra={"x": 1}, **params)
        body = Endpoint(shown, Heard())._body(rule(shown)._question(item), 1)
        exact[way] = [
            len(found["answers"]) if "n" in params else found,
            body.decode(),
        ]  # what is drawn is torch's
    said = '```json\n{"verdict": {"score": "7.5"}}\n```'
    reading: dict[str, dict[str, Any]] = {
        "as text": {"raw": "said"}, "as JSON": {"answer": "json", "key": "verdict"},
        "as number": {"answer": "number", "key": "verdict.score", "max": 8},
        "by pattern": {"answer": "number", "pattern": r"(\d)\.", "into": "score"},
    }  # fmt: skip
    found = {"answers": [{"text": said, "end": "stop"}], "tokens": [1, 1], "by": "m"}
    for way, params in reading.items():
        one = rule(rule.Params(model="model:m", prompt="{text}", **params))
        exact[way] = list(one.becomes(item, found, one.params))
    return Golden(exact)


@golden("transform", "transcribe")
def _transcribe(folder: Path) -> Golden:
    """What a Whisper of random tokens hears in a sound of two windows, and what becomes of findings."""
    rule = rule_of("transform", "transcribe")
    item, inputs = _sounding(folder), {"model": whisper(folder / "whisper")}
    ways: dict[str, dict[str, Any]] = {"as it is": {}, "translated": {"language": "de", "task": "translate"}}
    exact: dict[str, Any] = {}
    for way, params in ways.items():
        own = rule(rule.Params(model="model:m", max_tokens=5, **params), inputs)
        ((_, found),) = own.ask([item], context(folder / way, {}))
        exact[way] = found["segments"]
    found = {"segments": [[0.0, 1.5, " Good day."], [1.5, 2.0, " Bye."]]}
    for way, params in {"text": {}, "both": {"into": "said", "segments": "parts"}}.items():
        one = rule(rule.Params(model="model:m", **params))
        exact[way] = [{**fields, "audio": "the same"} for fields in one.becomes(item, found, one.params)]
    silent = rule(rule.Params(model="model:m", silent=True))
    return Golden({**exact, "silent": silent.said({"segments": None}, silent.params)})


@golden("transform", "caption")
def _caption(folder: Path) -> Golden:
    """What a BLIP of waves says about an image and an animation, and what becomes of findings."""
    rule = rule_of("transform", "caption")
    inputs = {"model": blip(folder / "blip")}
    exact: dict[str, Any] = {}
    for way, params in {"image": {}, "animation": {"frames": 2, "prompt": "abcd"}}.items():
        own = rule(rule.Params(model="model:m", max_tokens=5, **params), inputs)
        ((_, found),) = own.ask([pictured(folder, int(way == "animation"))], context(folder / way, {}))
        exact[way] = found
    found = [[0.5, "a boat"], [1.5, "a boat"], [2.5, "the sea"]]
    for way, params in {"text": {}, "both": {"into": "said", "shots": "parts"}}.items():
        one = rule(rule.Params(model="model:m", **params))
        exact[way] = one.said(found, one.params)
    return Golden(exact)


def blip(folder: Path) -> Path:
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipProcessor, PreTrainedTokenizerFast

    tokens: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0, "sep_token_id": 0, "pad_token_id": 1}
    text = {**TINY, **tokens, "vocab_size": 258, "encoder_hidden_size": 32, "max_position_embeddings": 64}
    config = BlipConfig(text_config=text, vision_config={**TINY, "image_size": 8, "patch_size": 4})
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_bytes(), eos_token="<eos>", pad_token="<pad>")
    return _saved(BlipForConditionalGeneration(config), BlipProcessor(_processor(), tokenizer), folder)


def _sounding(folder: Path) -> Any:
    import wave

    import numpy as np

    from spark_build.contract import Item, Media

    time = np.arange(int(1.5 * 16_000)) / 16_000
    with wave.open(str(folder / "a.wav"), "wb") as output:
        output.setparams((1, 2, 16_000, 0, "NONE", ""))
        output.writeframes((9000 * np.sin(2 * np.pi * (200 + 300 * time) * time)).astype("<i2").tobytes())
    return Item("a", "a", "train", {"audio": Media("audio", folder / "a.wav", ".wav", {"duration": 1.5})})


def whisper(folder: Path) -> Path:
    """One that hears a second at a time and knows times, two languages and both tasks."""
    from transformers import (
        PreTrainedTokenizerFast,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
    )

    marks = [f"<|{name}|>" for name in ("en", "de", "transcribe", "translate", "notimestamps")]
    sizes = {f"{part}_{name}": n for part in ("encoder", "decoder") for name, n in _WHISPER.items()}
    config = WhisperConfig(
        vocab_size=258 + 5 + 51, num_mel_bins=40, d_model=32, max_source_positions=50, max_target_positions=32,
        pad_token_id=1, decoder_start_token_id=2, bos_token_id=2, eos_token_id=0, **sizes,
        suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    numbers = {mark: 258 + n for n, mark in enumerate(marks)}
    settings: Any = model.generation_config
    settings._from_model_config = False  # else what is set here is not read again
    settings.is_multilingual, settings.max_initial_timestamp_index = True, 10
    settings.lang_to_id = {mark: numbers[mark] for mark in marks[:2]}
    settings.task_to_id = {mark[2:-2]: numbers[mark] for mark in marks[2:4]}
    settings.no_timestamps_token_id = numbers[marks[4]]
    WhisperFeatureExtractor(feature_size=40, chunk_length=1).save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_bytes(), eos_token="<eos>", pad_token="<pad>")
    return _saved(model, tokenizer, folder)


_WHISPER = {"layers": 1, "attention_heads": 2, "ffn_dim": 64}


def _answers(folder: Path, *requests: tuple[str, dict[str, Any]]) -> list[Any]:
    from starlette.testclient import TestClient

    from spark_build.modalities.text.generation import Model
    from spark_build.serving.openai_api import Limits, application

    app = application(Model.load(folder, "cpu", "auto", 1), "chat", "ab" * 32, Limits(64, 4))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        answers = [
            client.get("/health").json(),
            *(client.post(path, json=body).json() for path, body in requests),
        ]
    return [{name: value for name, value in a.items() if name not in ("id", "created")} for a in answers]
