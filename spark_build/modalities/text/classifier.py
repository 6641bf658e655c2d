"""Text classifiers from local folders: scores by label, the same bits alone and among others.

One window at a time: on a CPU the last bits of a matrix product hang on the size of the batch (seen with
torch 2.13 at every length tried, also without padding), and remembered scores must not.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from spark_build.core.errors import BadInput
from spark_build.core.values import Struct
from spark_build.modalities.labels import is_multi_label, labels_of, scores_of
from spark_build.modalities.model_folder import check_libraries, load_model, load_tokenizer

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
            logits = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
        return scores_of(logits, is_multi_label=self.is_multi_label)


@lru_cache(maxsize=2)
def load_classifier(folder: Path) -> Classifier:
    """A Hugging Face text classifier, or a detoxify checkpoint with `config.json` and tokenizer beside it.

    Errors: BadInput where the folder holds neither, Unavailable where libraries are missing.
    """
    check_libraries("text classifier")
    if not (folder / "config.json").is_file():
        raise BadInput(f"'{folder.name}' holds no classifier", fix=f"name a folder with {_LAYOUT}")
    if checkpoints := sorted(folder.glob("*.ckpt")):
        from spark_build.modalities.text.detoxify import load_detoxify

        model, labels = load_detoxify(folder, checkpoints)
        return Classifier(model.eval(), load_tokenizer(folder), labels, is_multi_label=True)
    model = load_model(folder, "AutoModelForSequenceClassification", "text classifier", _LAYOUT)
    labels = labels_of(model.config)
    return Classifier(model, load_tokenizer(folder), labels, is_multi_label(model.config, folder))


_LAYOUT = "config.json, tokenizer.json and model.safetensors (or a detoxify *.ckpt in its place)"


def _positions(config: Any) -> int:
    """Tokens that fit: models of RoBERTa's family begin to count behind the padding id."""
    positions = getattr(config, "max_position_embeddings", None) or 1 << 20
    offset = (config.pad_token_id or 0) + 1 if config.model_type in _OFFSET_POSITIONS else 0
    return int(positions) - offset
