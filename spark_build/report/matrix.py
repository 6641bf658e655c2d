"""A matrix's members side by side: figures with mean and deviation over seeds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from spark_build.core.values import Struct, asdict
from spark_build.report.tables import table
from spark_build.report.words import figure, value


class Spread(Struct, frozen=True):
    """A figure over the seeds of one group."""

    mean: float
    deviation: float | None  # of a sample (n - 1); None for a single one
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        mean = math.fsum(values) / len(values)
        if len(values) < 2:
            return cls(mean, None, len(values))
        return cls(
            mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)), len(values)
        )

    def __str__(self) -> str:
        return figure(self.mean) + ("" if self.deviation is None else f" ± {self.deviation:.2g}")


class Group(Struct, frozen=True):
    """Members that only their seed tells apart."""

    values: Mapping[str, Any]  # parameter -> value, the seed left out
    members: tuple[str, ...]
    built: int
    figures: Mapping[str, Spread]

    def to_json(self) -> dict[str, Any]:
        figures = {name: asdict(spread) for name, spread in self.figures.items()}
        return {"values": self.values, "members": self.members, "built": self.built, "figures": figures}


def matrix_text(groups: Sequence[Group], width: int | None = None) -> str:
    """One line per group: its values, how many members it has, figures."""
    params = list(groups[0].values)
    names = list(dict.fromkeys(name for group in groups for name in group.figures))
    rows = [
        (
            *(value(group.values[param]) for param in params),
            _count(group),
            *(str(group.figures.get(name, "")) for name in names),
        )
        for group in groups
    ]
    return table((*params, "members", *names), rows, width)


def _count(group: Group) -> str:
    many = len(group.members)
    return f"{many}" if group.built == many else f"{group.built} of {many} built"
