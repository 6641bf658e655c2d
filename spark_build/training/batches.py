"""Which examples make up which batch: an order that follows from (seed, epoch) alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_GROUPED_BATCHES = 32  # examples are sorted by length within this many batches, as LengthGroupedSampler does


@dataclass
class EpochBatches:
    """A batch sampler: positions of the examples of each micro batch; a whole epoch has every example once.

    Batches hold examples of like length, so that little is padded, and come in random order; a short batch is
    the epoch's last. A batch of `batch_size` is cut into micro batches of `micro_batch_size`.
    """

    lengths: Sequence[int]
    batch_size: int
    micro_batch_size: int
    seed: int
    epoch: int = field(default=0, init=False)

    def set_epoch(self, epoch: int) -> None:
        """The Trainer calls this at the start of each epoch, also when it resumes within one."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.lengths), self.batch_size)
        return whole * (self.batch_size // self.micro_batch_size) + -(-rest // self.micro_batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._batches():
            for start in range(0, len(batch), self.micro_batch_size):
                yield batch[start : start + self.micro_batch_size]

    def _batches(self) -> list[list[int]]:
        import numpy as np

        random = np.random.Generator(np.random.PCG64([self.seed, self.epoch]))
        order = random.permutation(len(self.lengths)).tolist()
        size = self.batch_size
        whole = len(order) - len(order) % size
        batches: list[list[int]] = []
        for start in range(0, whole, size * _GROUPED_BATCHES):
            group = order[start : min(start + size * _GROUPED_BATCHES, whole)]
            group.sort(key=lambda position: self.lengths[position])  # stable: equal lengths stay shuffled
            batches += [group[i : i + size] for i in range(0, len(group), size)]
        shuffled = [batches[i] for i in random.permutation(len(batches))]
        return shuffled + ([order[whole:]] if whole < len(order) else [])


@dataclass(frozen=True)
class PadRight:
    """Examples of token ids and labels -> tensors (B, T) int64.

    There is no attention mask on purpose: a causal model can't look to the right, where all padding is, and
    without a mask attention takes its fast causal path.
    """

    pad_id: int

    def __call__(self, examples: Sequence[dict[str, Any]]) -> "dict[str, torch.Tensor]":
        return {
            "input_ids": _padded([e["input_ids"] for e in examples], self.pad_id),
            "labels": _padded([e["labels"] for e in examples], -100),
        }


@dataclass(frozen=True)
class PadWithMask:
    """Examples of token ids and one label each -> input_ids, attention_mask (B, T) and labels (B,), all int64."""

    pad_id: int

    def __call__(self, examples: Sequence[dict[str, Any]]) -> "dict[str, torch.Tensor]":
        import torch

        rows = [e["input_ids"] for e in examples]
        return {
            "input_ids": _padded(rows, self.pad_id),
            "attention_mask": _padded([[1] * len(row) for row in rows], 0),
            "labels": torch.tensor([e["labels"] for e in examples]),
        }


def _padded(rows: Sequence[Sequence[int]], value: int) -> "torch.Tensor":
    import torch

    out = torch.full((len(rows), max(len(row) for row in rows)), value, dtype=torch.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.as_tensor(row)
    return out
