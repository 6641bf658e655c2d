"""Tokenised examples, held flat: two arrays and the places where examples begin."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    IntArray = np.ndarray[Any, np.dtype[np.integer[Any]]]
    BoolArray = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class TokenRows:
    """Shapes: tokens (N,) int32 and is_supervised (N,) bool, all examples end to end; starts (rows + 1,) int64."""

    tokens: "IntArray"
    is_supervised: "BoolArray"
    starts: "IntArray"

    @classmethod
    def of(cls, examples: Iterable[tuple[list[int], list[bool]]]) -> "TokenRows":
        import numpy as np

        tokens, supervised, lengths = [], [], []
        for ids, marks in examples:
            tokens.append(np.asarray(ids, dtype=np.int32))
            supervised.append(np.asarray(marks, dtype=np.bool_))
            lengths.append(len(ids))
        return cls(
            np.concatenate(tokens or [np.zeros(0, np.int32)]),
            np.concatenate(supervised or [np.zeros(0, np.bool_)]),
            np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> dict[str, Any]:
        """One example as the Trainer's loader takes it: `input_ids` and `labels` (-100 where not supervised)."""
        import numpy as np

        span = slice(self.starts[row], self.starts[row + 1])
        return {
            "input_ids": self.tokens[span],
            "labels": np.where(self.is_supervised[span], self.tokens[span], -100),
        }

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[row] for row in range(len(self)))

    @cached_property
    def lengths(self) -> list[int]:
        return [int(n) for n in self.starts[1:] - self.starts[:-1]]

    @cached_property
    def predicted(self) -> "BoolArray":
        """(N,) bool: the tokens that count in the loss. The first of an example has nothing that it follows from."""
        marks = self.is_supervised.copy()
        marks[self.starts[:-1][self.starts[:-1] < len(marks)]] = False
        return marks

    @property
    def supervised_tokens(self) -> int:
        return int(self.predicted.sum())
