"""Real models in seconds: made from a config (hidden size 32, random weights from a seed), with a real
tokenizer trained here on the text below. They load, run and save like large ones; they know nothing."""

import json
from pathlib import Path
from typing import Any

from spark_build.contract import Context
from spark_build.core.digest import canonical_json, digest_bytes

TEXT = [
    "A list holds items in order; append adds one at the end.",
    "How do I open a file? Use open, and close it with a with block.",
    "Which loop runs a fixed number of times? A for loop over range.",
    "A dictionary maps keys to values, and keeps the order of insertion.",
    "What does len give? The number of items of a sequence or a set.",
] * 4

CHAT_TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def llama(folder: Path, *, chat_template: str | None = None, seed: int = 0, **config: Any) -> Path:
    """A causal language model of about 30,000 parameters with a byte-level BPE tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _bpe_tokenizer(chat_template)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokens = {"vocab_size": len(tokenizer), "eos_token_id": 0, "bos_token_id": None, "pad_token_id": 1}
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**(sizes | tokens | {"max_position_embeddings": 128} | config)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def bert(folder: Path, *, labels: tuple[str, ...] = ("list", "file", "loop"), seed: int = 0) -> Path:
    """A classifier of about 30,000 parameters with a WordPiece tokenizer."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = _wordpiece_tokenizer()
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    names = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    torch.manual_seed(seed)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes, **names)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def train_output(folder: Path, model: Path, **changed: Any) -> Path:
    """What a train stage leaves: `model/` (a copy) and training.json."""
    import shutil

    shutil.copytree(model, folder / "model")
    training = {
        "rule": "causal_lm",
        "revision": 3,
        "params": {"epochs": 2, "learning_rate": 0.0002},
        "numerics": {"device": "cpu", "dtype": "float32", "threads": 1, "isa": "avx2", "world_size": 1},
        "libraries": {"torch": "2.13", "transformers": "5.23"},
        "inputs": {
            "dataset": {"data/train-*": digest_bytes(b"rows")},
            "base": {"model/": digest_bytes(b"base")},
        },
    }
    (folder / "training.json").write_bytes(canonical_json(training | changed))
    return folder


def package_context(folder: Path, trained: Path, figures: dict[str, float] | None = None) -> Context:
    """An exporter's context, as the package stage makes it; `folder` is empty or absent."""
    output, scratch, evaluated = folder / "output", folder / "scratch", folder / "eval"
    output.mkdir(parents=True)
    scratch.mkdir()
    inputs = {"trained": trained, "model": trained / "model"}
    if figures is not None:
        evaluated.mkdir()
        (evaluated / "metrics.json").write_text(json.dumps(figures))
        inputs["eval"] = evaluated
    facts = {
        "libraries": {"transformers": "5.23"},
        "inputs": {"trained": {"model/": digest_bytes(b"model")}},
        "numerics": {"device": "cpu", "threads": 1},
    }
    return Context(inputs, output, scratch, Notes(), facts=facts)


class Notes:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: dict[str, Any] = {}

    def progress(self, done: int, total: int | None, unit: str = "items") -> None: ...

    def metric(self, name: str, value: float, step: int | None = None) -> None: ...

    def log(self, text: str) -> None: ...

    def checkpoint(self, step: int) -> None: ...

    def note(self, name: str, value: Any) -> None:
        self.notes[name] = value


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _bpe_tokenizer(chat_template: str | None) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=["<eos>", "<pad>"], initial_alphabet=alphabet, show_progress=False
        ),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>")
    fast.chat_template = chat_template
    return fast


def _wordpiece_tokenizer() -> Any:
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(TEXT, vocab_size=300, show_progress=False)
    return BertTokenizerFast(tokenizer_object=trained._tokenizer, model_max_length=64)
