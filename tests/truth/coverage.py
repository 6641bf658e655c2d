"""Which kinds of edits came about, and which two of them in one sequence; what the next sequence should bring."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from tests.truth.edits import EDITS

Pair = tuple[str, str]
EDITS_PER_SEQUENCE = 4


@dataclass
class Coverage:
    kinds: Counter[str] = field(default_factory=Counter)
    pairs: Counter[Pair] = field(default_factory=Counter)
    sequences: int = 0

    def add(self, kinds: Sequence[str]) -> None:
        self.sequences += 1
        self.kinds.update(kinds)
        self.pairs.update({_pair(a, b) for a, b in combinations(kinds, 2) if a != b})

    def with_these(self, agendas: Iterable[Sequence[str]]) -> "Coverage":
        """As if these had been brought as well."""
        more = Coverage(self.kinds.copy(), self.pairs.copy(), self.sequences)
        for agenda in agendas:
            more.add(agenda)
        return more

    def open_pairs(self) -> set[Pair]:
        return {pair for pair in combinations(sorted(EDITS), 2) if not self.pairs[pair]}

    def agenda(self, chance: random.Random) -> list[str]:
        """Edits that no sequence had together; the rarest ones where each two have met."""
        names = sorted(EDITS)
        chance.shuffle(names)
        open_pairs = self.open_pairs()
        open_of = Counter(name for pair in open_pairs for name in pair)
        chosen: list[str] = []

        def worth(name: str) -> tuple[int, int, int]:
            return sum(_pair(name, c) in open_pairs for c in chosen), open_of[name], -self.kinds[name]

        while len(chosen) < EDITS_PER_SEQUENCE:
            chosen.append(max((n for n in names if n not in chosen), key=worth))
        chance.shuffle(chosen)
        return chosen

    def table(self) -> str:
        """Kinds with their number, and how often two of them met."""
        counts = [self.pairs[pair] for pair in combinations(sorted(EDITS), 2)]
        lines = [f"| {name} | {self.kinds[name]} |" for name in sorted(EDITS)]
        told = (
            f"{self.sequences} sequences, {sum(self.kinds.values())} edits of {len(EDITS)} kinds; of {len(counts)} "
            f"pairs of kinds {sum(c > 0 for c in counts)} met in one sequence, the rarest {min(counts)} times, "
            f"the commonest {max(counts)} times."
        )
        return "\n".join(["| edit | times |", "|---|---|", *lines, "", told])


def _pair(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)
