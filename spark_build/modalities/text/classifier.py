"""Text classifiers from local folders: scores by label, the same bits alone and among others.

One window at a time: on a CPU the last bits of a matrix product hang on the size of the batch (seen with
torch 2.13 at every length tried, also without padding), and remembered scores must not.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from spark_build.core.errors import BadInput, Unavailable
from spark_build.core.values import Struct

_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "xmod", "mpnet", "longformer")


class Classifier(Struct, frozen=True):
    model: Any
    tokenizer: Any
    labels: tuple[str, ...]
    is_multi_label: bool  # sigmoid per label; else one softmax over all

    def scores(self, text: str, max_tokens: int, overlap: int) -> dict[str, float]:
        """For each label the highest score of any window; a text without words scores 0."""
        highest = dict.fromkeys(self.labels, 0.0)
        if not text.strip():
            return highest
        text = text.encode("utf-8", "replace").decode()  # tokenizers take no lone surrogates
        for window in self._windows(text, max_tokens, overlap):
            for label, score in zip(self.labels, self._window_scores(window), strict=True):
                highest[label] = max(highest[label], score)
        return highest

    def _windows(self, text: str, max_tokens: int, overlap: int) -> list[list[int]]:
        """Token ids with the model's special tokens, at most as many as the model has positions for."""
        length = min(max_tokens, _positions(self.model.config), self.tokenizer.model_max_length)
        windows = self.tokenizer(
            text,
            truncation=True,
            max_length=length,
            stride=min(overlap, length // 4),
            return_overflowing_tokens=True,
            return_attention_mask=False,
        )
        return list(windows["input_ids"])

    def _window_scores(self, window: list[int]) -> list[float]:
        import torch

        with torch.inference_mode():
            ids = torch.tensor([window])
            logits = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].float()
            scores = torch.sigmoid(logits) if self.is_multi_label else torch.softmax(logits, -1)
        return [float(score) for score in scores]


@lru_cache(maxsize=2)
def load_classifier(folder: Path) -> Classifier:
    """A Hugging Face text classifier, or a detoxify checkpoint with `config.json` and tokenizer beside it.

    Errors: BadInput where the folder holds neither, Unavailable where libraries are missing.
    """
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise Unavailable(
            f"a text classifier needs {error.name}", fix="pip install 'spark-build[train]'"
        ) from error
    if not (folder / "config.json").is_file():
        raise BadInput(f"'{folder.name}' holds no classifier", fix=_LAYOUT)
    logging: Any = transformers.logging
    logging.set_verbosity_error()
    if checkpoints := sorted(folder.glob("*.ckpt")):
        from spark_build.modalities.text.detoxify import load_detoxify

        model, labels = load_detoxify(folder, checkpoints)
        return Classifier(model.eval(), _tokenizer(folder), labels, is_multi_label=True)
    model = _hugging_face_model(folder)
    labels = tuple(str(model.config.id2label[n]) for n in range(model.config.num_labels))
    return Classifier(model.eval(), _tokenizer(folder), labels, _is_multi_label(model.config, folder))


_LAYOUT = (
    "name a folder with config.json, tokenizer.json and model.safetensors (or a detoxify *.ckpt in its place)"
)


def _hugging_face_model(folder: Path) -> Any:
    from transformers import AutoModelForSequenceClassification

    if not any(folder.glob("*.safetensors")):
        raise BadInput(f"'{folder.name}' holds no weights in safetensors", fix=_LAYOUT)
    try:
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype="float32",
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise BadInput(f"'{folder.name}' can't be loaded: {_first_line(error)}", fix=_LAYOUT) from error
    if missing := sorted(loading["missing_keys"]):
        raise BadInput(
            f"'{folder.name}' is no text classifier: it lacks {', '.join(missing[:3])}",
            fix="name a model that was trained to classify",
        )
    return model


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise BadInput(f"'{folder.name}' has no tokenizer: {_first_line(error)}", fix=_LAYOUT) from error


def _is_multi_label(config: Any, folder: Path) -> bool:
    if config.problem_type == "regression":
        fix = "name a model that gives scores for labels"
        raise BadInput(f"'{folder.name}' is a regression model", fix=fix)
    return bool(config.problem_type == "multi_label_classification" or config.num_labels == 1)


def _positions(config: Any) -> int:
    """Tokens that fit: models of RoBERTa's family begin to count behind the padding id."""
    positions = getattr(config, "max_position_embeddings", None) or 1 << 20
    offset = (config.pad_token_id or 0) + 1 if config.model_type in _OFFSET_POSITIONS else 0
    return int(positions) - offset


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def neutral_labels(scores: Mapping[str, float]) -> set[str]:
    """Labels that say that nothing is wrong, by their name; LABEL_0 where there are two."""
    names = {label: "".join(filter(str.isalnum, label.lower())) for label in scores}
    neutral = {label for label, name in names.items() if name in _NEUTRAL}
    if set(names.values()) == {"label0", "label1"}:
        neutral |= {label for label, name in names.items() if name == "label0"}
    return neutral


_NEUTRAL = frozenset(
    {
        "neutral",
        "nontoxic",
        "nottoxic",
        "normal",
        "clean",
        "safe",
        "ok",
        "okay",
        "none",
        "acceptable",
        "benign",
    }
    | {
        "nothate",
        "nonhate",
        "nothatespeech",
        "nohate",
        "notoffensive",
        "nonoffensive",
        "notinsult",
        "harmless",
    }
)
