"""Rows of text and label as a classifier's examples."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from spark_build.core.errors import BadInput
from spark_build.training.batches import PadWithMask


@dataclass(frozen=True)
class ClassText:
    """How rows become a classifier's examples; travels with it as `spark_recipe.json`."""

    text: str  # field
    label: str  # field
    max_length: int
    labels: tuple[str, ...]  # sorted; the position is the class's id

    KIND: ClassVar[str] = "text_classification"

    @classmethod
    def of(cls, rows: Any, text: str | None, label: str | None, max_length: int) -> "ClassText":
        """Errors: BadInput where fields are missing or unclear, and where all rows have one label."""
        text = text or _only_field(rows.fields, "text", ("text",))
        label = label or _only_field(rows.fields, "label", ("label", "number"))
        for name in (text, label):
            if name not in rows.fields:
                raise BadInput(f"the dataset has no field '{name}'", fix=f"it has {', '.join(rows.fields)}")
        labels = tuple(sorted({label_name(value) for value in rows.column(label)} - {""}))
        if len(labels) < 2:
            raise BadInput(
                f"field '{label}' has {len(labels)} class{'' if len(labels) == 1 else 'es'} "
                f"({', '.join(labels) or 'all empty'}): there is nothing to tell apart",
                fix="look at the labels, the gates and the splits",
            )
        return cls(text, label, max_length, labels)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ClassText":
        return cls(data["text"], data["label"], data["max_length"], tuple(data["labels"]))

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.KIND,
            "text": self.text,
            "label": self.label,
            "max_length": self.max_length,
            "labels": list(self.labels),
        }

    def encode(self, rows: Any, tokenizer: Any) -> "ClassRows":
        """Rows without text or label are left out and counted. Errors: BadInput for labels that are not known."""
        known = {name: i for i, name in enumerate(self.labels)}
        usable = [row for row in rows if _has_text(row[self.text]) and label_name(row[self.label])]
        if not usable:
            raise BadInput(
                f"no row has both text ('{self.text}') and a label ('{self.label}')",
                fix="look at the dataset",
            )
        names = [label_name(row[self.label]) for row in usable]
        if strange := sorted(set(names) - set(known)):
            raise BadInput(
                f"{names.count(strange[0])} rows have the label '{strange[0]}', which training did not see",
                fix=f"training saw {', '.join(self.labels[:20])}; make the splits larger, or `balance: {self.label}`",
            )
        encoded = tokenizer(
            [row[self.text] for row in usable], truncation=True, max_length=self.max_length, verbose=False
        )
        return ClassRows(
            encoded["input_ids"], [known[name] for name in names], left_out=len(rows) - len(usable)
        )

    def loss(
        self, examples: "ClassRows", weights: str | Mapping[str, float] | None, smoothing: float = 0.0
    ) -> Callable[..., Any]:
        """Cross entropy as the Trainer calls it, summed over a batch and divided by all its rows.

        `weights`: 'balanced' makes every class count the same in sum (as scikit-learn does), else weight by label.
        """
        import torch

        by_class = torch.tensor(self._weights(examples, weights)) if weights is not None else None

        def cross_entropy(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
            weight = by_class.to(outputs.logits) if by_class is not None else None
            total = torch.nn.functional.cross_entropy(
                outputs.logits, labels, weight=weight, label_smoothing=smoothing, reduction="sum"
            )
            return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)

        return cross_entropy

    def _weights(self, examples: "ClassRows", weights: str | Mapping[str, float]) -> list[float]:
        if isinstance(weights, str):
            counts = Counter(examples.classes)
            return [
                len(examples) / (len(counts) * counts[i]) if counts[i] else 0.0
                for i in range(len(self.labels))
            ]
        if strange := sorted(set(weights) - set(self.labels)):
            raise BadInput(
                f"class_weights names '{strange[0]}', and no row has that label",
                fix=f"the labels are {', '.join(self.labels)}",
            )
        return [float(weights.get(name, 1.0)) for name in self.labels]

    def collate(self, tokenizer: Any) -> PadWithMask:
        return PadWithMask(tokenizer.pad_token_id)


@dataclass(frozen=True)
class ClassRows:
    tokens: Sequence[Sequence[int]]
    classes: Sequence[int]
    left_out: int = field(default=0)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"input_ids": self.tokens[row], "labels": self.classes[row]}

    @cached_property
    def lengths(self) -> list[int]:
        return [len(tokens) for tokens in self.tokens]


def label_name(value: Any) -> str:
    """A label as text: 'spam', and '1' for 1.0; '' where there is none."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _has_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _only_field(fields: Mapping[str, str], name: str, kinds: tuple[str, ...]) -> str:
    """The field called `name`, else the only one of these types, the first of them first."""
    if name in fields:
        return name
    for kind in kinds:
        found = [field for field, its_kind in fields.items() if its_kind == kind]
        if len(found) == 1:
            return found[0]
    raise BadInput(
        f"which field is the {name}? The dataset has {', '.join(f'{n} ({k})' for n, k in fields.items())}",
        fix=f"name it: `{name}: …`",
    )
