"""What a model makes of rows it has not seen: the figures that metrics are made of."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import BadInput
from spark_build.core.numerics import Numerics
from spark_build.core.ports import Reporter
from spark_build.training import model_files
from spark_build.training.causal import CausalText
from spark_build.training.classes import ClassText
from spark_build.training.seeds import pin_numerics

if TYPE_CHECKING:
    import numpy as np

    IntArray = np.ndarray[Any, np.dtype[np.integer[Any]]]

_TOKENS_AT_ONCE = 8192
_LOGITS_AT_ONCE = 1 << 26  # 256 MiB of float32: what bounds a batch where the vocabulary is large


@dataclass(frozen=True)
class CausalScore:
    """Of the tokens that training would supervise: the answers' alone where rows are questions and answers."""

    nll: float  # negative log likelihood, summed, in nats
    correct: int  # tokens that the model held likeliest
    targets: "IntArray"  # (tokens,) ids of the tokens predicted
    vocabulary: (
        str  # digest of the tokenizer's tokens: scores over different ones don't compare token by token
    )

    @property
    def tokens(self) -> int:
        return len(self.targets)

    @property
    def loss(self) -> float:
        return self.nll / self.tokens

    @property
    def perplexity(self) -> float:
        return _exp(self.loss)

    @property
    def accuracy(self) -> float:
        return self.correct / self.tokens

    @property
    def unigram_perplexity(self) -> float:
        """Of the tokens' own frequencies: no model that ignores context does better on these tokens."""
        import numpy as np

        shares = np.bincount(self.targets) / self.tokens
        shares = shares[shares > 0]
        return _exp(float(-(shares * np.log(shares)).sum()))


@dataclass(frozen=True)
class ClassScore:
    nll: float  # summed, in nats
    truth: "IntArray"  # (rows,) ids of the classes
    predicted: "IntArray"  # (rows,)
    names: tuple[str, ...]

    @property
    def loss(self) -> float:
        return self.nll / len(self.truth)

    @property
    def accuracy(self) -> float:
        return float((self.truth == self.predicted).mean())

    @property
    def majority(self) -> float:
        """Share of the largest class: the accuracy of always saying the same."""
        import numpy as np

        return float(np.bincount(self.truth).max() / len(self.truth))

    @property
    def f1_by_class(self) -> dict[str, float]:
        """Of every class that occurs in truth or prediction; 0 where nothing was found."""
        figures = {}
        for i, name in enumerate(self.names):
            found, wanted = self.predicted == i, self.truth == i
            if total := int(found.sum() + wanted.sum()):
                figures[name] = 2 * int((found & wanted).sum()) / total
        return figures


def score_causal(
    folder: Path, rows: Any, numerics: Numerics, report: Reporter, *, read_as: Path | None = None
) -> CausalScore:
    """How well the language model in `folder` foretells the rows, read as it (or the model in `read_as`) was trained.

    Errors: BadInput where the folder holds no causal language model, or no token of the rows counts.
    """
    import numpy as np

    pin_numerics(numerics)
    model, tokenizer = (
        model_files.load_causal_lm(folder, dtype=numerics.dtype),
        model_files.load_tokenizer(folder),
    )
    text = _text_of(read_as or folder, rows, model.config)
    examples = text.encode(rows, tokenizer, report)
    model.eval().to(model_files.device_of(numerics))
    nll, correct, targets = 0.0, 0, []
    width = min(_TOKENS_AT_ONCE, max(1, _LOGITS_AT_ONCE // len(tokenizer)))
    for done, batch in _batches(examples.lengths, width):
        losses, hits, wanted = _score_tokens(model, [examples[i] for i in batch], tokenizer.pad_token_id)
        nll, correct = nll + losses, correct + hits
        targets.append(wanted)
        report.progress(done, len(examples), "examples")
    return CausalScore(nll, correct, np.concatenate(targets), _digest_of_tokens(tokenizer))


def score_classes(folder: Path, rows: Any, numerics: Numerics, report: Reporter) -> ClassScore:
    """What the classifier in `folder` says of the rows. Errors: BadInput where it is none, or labels are new to it."""
    import numpy as np
    import torch

    recipe = model_files.recipe_of(folder)
    if recipe.get("kind") != ClassText.KIND:
        raise BadInput(
            "this metric needs a text classifier trained by spark build",
            fix="for a language model take loss, perplexity or accuracy",
        )
    pin_numerics(numerics)
    text = ClassText.from_json(recipe)
    tokenizer = model_files.load_tokenizer(folder)
    model = model_files.load_classifier(folder, dtype=numerics.dtype)
    device = model_files.device_of(numerics)
    model.eval().to(device)
    examples = text.encode(rows, tokenizer)
    nll, truth, predicted = 0.0, [], []
    for done, batch in _batches(examples.lengths, _TOKENS_AT_ONCE):
        tensors = text.collate(tokenizer)([examples[i] for i in batch])
        labels = tensors.pop("labels")
        with torch.inference_mode():
            logits = (
                model(**{name: t.to(device) for name, t in tensors.items()}).logits.float().cpu()
            )  # (B, classes)
        nll += float(torch.nn.functional.cross_entropy(logits, labels, reduction="none").double().sum())
        truth.append(labels.numpy())
        predicted.append(logits.argmax(-1).numpy())
        report.progress(done, len(examples), "examples")
    return ClassScore(nll, np.concatenate(truth), np.concatenate(predicted), text.labels)


def is_classifier(folder: Path) -> bool:
    return model_files.recipe_of(folder).get("kind") == ClassText.KIND


def _score_tokens(
    model: Any, examples: Sequence[dict[str, Any]], pad_id: int
) -> "tuple[float, int, IntArray]":
    """Summed loss, hits, and the ids of the tokens that counted."""
    import torch

    from spark_build.training.batches import PadRight

    batch = PadRight(pad_id)(examples)
    with torch.inference_mode():
        logits = model(input_ids=batch["input_ids"].to(model.device)).logits  # (B, T, V)
        wanted = batch["labels"][:, 1:]
        counts = wanted != -100  # (B, T - 1)
        chosen = logits[:, :-1][counts.to(logits.device)].float()  # (tokens, V)
        targets = wanted[counts].to(chosen.device)
        losses = torch.nn.functional.cross_entropy(chosen, targets, reduction="none").double()
        return float(losses.sum()), int((chosen.argmax(-1) == targets).sum()), targets.cpu().numpy()


def _text_of(folder: Path, rows: Any, config: Any) -> CausalText:
    """As the model was trained, or by the dataset's fields where it comes from elsewhere."""
    recipe = model_files.recipe_of(folder)
    if recipe.get("kind") == CausalText.KIND:
        return CausalText.from_json(recipe)
    return CausalText.guess(rows, min(1024, model_files.longest_input(config) or 1024))


def _batches(lengths: Sequence[int], tokens: int) -> Iterator[tuple[int, list[int]]]:
    """Positions of like length, at most `tokens` with padding in one batch, and how many are done after it."""
    batch: list[int] = []
    done = 0
    for position in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and (len(batch) + 1) * lengths[position] > tokens:
            done += len(batch)
            yield done, batch
            batch = []
        batch.append(position)
    if batch:
        yield done + len(batch), batch


def _digest_of_tokens(tokenizer: Any) -> str:
    from spark_build.core.digest import digest_json

    return digest_json(tokenizer.get_vocab())


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf
