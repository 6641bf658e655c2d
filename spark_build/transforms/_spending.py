"""What answers cost: counted by tokens, and stopped before the budget is overrun."""

import threading
from typing import Any

from spark_build.core.errors import BadInput
from spark_build.core.exchange import Failed

_MILLION = 1_000_000
# the server may have worked on it, and charge for that
_MAY_COST = ("too_slow", "cut_off", "bad_answer", "no_connection", "too_large")


class OverBudget(BadInput):
    """The next question could cost more than is left."""


class Purse:
    """Shared by all requests. A request takes the most that it may cost, and gives back what it did not."""

    def __init__(self, params: Any) -> None:
        self._price, self._budget, self._most_tokens = params.price, params.budget, params.most_tokens
        self._changed = threading.Condition()
        self._taken = self._spent = 0.0
        self._under_way = 0
        self._by: set[str] = set()
        self.answers = self.asked_tokens = self.answered_tokens = 0

    def take(self, body_bytes: int, answers: int) -> float:
        """The most that the request may cost: no token is shorter than a byte. Errors: OverBudget."""
        most = self._cost(body_bytes, answers * (self._most_tokens or 0))
        with self._changed:
            while self._budget is not None and self._spent + self._taken + most > self._budget:
                if not self._under_way:  # nothing is there that could give some back
                    raise OverBudget(
                        f"the budget of {self._budget:g} does not allow for the next question: {self._spent:.4g} is "
                        f"spent, and it may cost {most:.4g}",
                        fix="raise `budget`, or build again to spend as much once more; what is left is asked then",
                    )
                self._changed.wait()
            self._taken += most
            self._under_way += 1
        return most

    def pay(self, share: float, found: Any) -> None:
        asked, answered = found["tokens"]
        with self._changed:
            self._by.add(found["by"])
            self.answers += 1
            self.asked_tokens += asked
            self.answered_tokens += answered
            # a server that does not count its tokens is taken to have used all
            self._settle(share, self._cost(asked, answered) if asked or answered else share)

    def lose(self, share: float, why: Failed | None = None) -> None:
        """There is no answer, though it may have been worked on."""
        with self._changed:
            self._settle(share, share if why is not None and why.reason in _MAY_COST else 0.0)

    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = {"answers": self.answers}
        told |= {"input_tokens": self.asked_tokens, "output_tokens": self.answered_tokens}
        told |= {
            "by": sorted(self._by)
        }  # as the server calls what answered: often a version of what was asked
        return told if self._price is None else {**told, "cost": round(self._total(), 6)}

    def text(self) -> str:
        tokens = f"{self.asked_tokens:,} tokens in, {self.answered_tokens:,} out"
        return tokens if self._price is None else f"{tokens}, cost {self._total():.4g}"

    def _total(self) -> float:
        return self._cost(self.asked_tokens, self.answered_tokens)

    def _cost(self, asked: int, answered: int) -> float:
        if self._price is None:
            return 0.0
        return float(asked * self._price.input + answered * self._price.output) / _MILLION

    def _settle(self, share: float, cost: float) -> None:
        self._taken -= share
        self._under_way -= 1
        self._spent += cost
        self._changed.notify_all()
