"""The greedy join: by ascending (priority, digest), an item goes when it is similar to a kept one."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from spark_build.contract.rules import JoinGate
from spark_build.core.digest import digest_json
from spark_build.core.errors import ItemRejected, SparkError, StageFailed
from spark_build.core.job import JobStep
from spark_build.core.ports import Blobs, Services
from spark_build.core.values import Struct
from spark_build.stages.items_memo import remember
from spark_build.stages.loading import failed
from spark_build.stages.narrow import View
from spark_build.stages.progress import Progress
from spark_build.stages.similarities import Pair, Similarities
from spark_build.stages.spreading import Work

DUPLICATE = "duplicate"  # the very same content


class Joining(Struct, frozen=True):
    """All that a join has to know of an item whose signature is remembered."""

    number: int  # in canonical order
    id: str
    source: str
    digest: bytes  # of the fields that are compared
    priority: float

    @property
    def rank(self) -> tuple[float, bytes, str, str]:
        return self.priority, self.digest, self.source, self.id


Match = tuple[str, Joining, float]  # reason, the kept one, similarity


class Join:
    """`view` gives an item as the gate looks at it: asked where something is not remembered."""

    def __init__(
        self,
        services: Services,
        step: JobStep,
        gate: JoinGate,
        params: Any,
        items: Sequence[Joining],
        view: Callable[[Joining], View],
    ) -> None:
        self._services, self._step, self._gate, self._params = services, step, gate, params
        self._view = view
        self.handled: set[int] = set()
        self.unreadable: dict[int, ItemRejected] = {}
        self.compared = 0
        self._similarities = Similarities(services.memo, _pair_operation(step))
        self._items = sorted(items, key=lambda item: item.rank)

    def expect(self, pairs: Iterable[Pair]) -> None:
        """Digests of items that are likely to be compared again: what is remembered of them is read at once."""
        if self._gate.verifies:
            self._similarities.expect(pairs)

    def run(self) -> dict[int, Match]:
        """For each item that goes, by number: why, and in favour of which."""
        first, matches = self._one_of_each()
        first, signatures = self._signatures(first)
        kept = [True] * len(first)
        try:
            for one, other, score in self._similar(first, signatures, kept):
                kept[other] = False
                matches[first[other].number] = (self._gate.reason, first[one], score)
        finally:
            self._similarities.keep()
        self.compared += self._similarities.computed + self._similarities.remembered
        return self._through_chains(matches)

    def item(self, number: int) -> Joining:
        return next(item for item in self._items if item.number == number)

    def _one_of_each(self) -> tuple[list[Joining], dict[int, Match]]:
        """The smallest item of each content; the others are its duplicates."""
        smallest: dict[bytes, Joining] = {}
        matches: dict[int, Match] = {}
        for item in self._items:
            winner = smallest.setdefault(item.digest, item)
            if winner is not item:
                matches[item.number] = (DUPLICATE, winner, 1.0)
        return list(smallest.values()), matches

    def _signatures(self, first: Sequence[Joining]) -> tuple[list[Joining], list[bytes]]:
        """Of those that have one; an item that can't be handled is set aside."""
        values, ran = remember(
            self._services,
            self._step.operation,
            [item.digest for item in first],
            Work(
                signatures,
                JoinGate,
                self._step,
                self._gate,
                lambda i: self._view(first[i]),
                self._services.blobs,
                is_pure=not self._gate.uses_model_of(self._params),
            ),
            batch=self._gate.batch_items,
            progress=Progress(self._services.report, len(first), "items"),
        )
        self.handled = {first[i].number for i in ran}
        able = []
        for item, value in zip(first, values, strict=True):
            if value[:1] == b"!":
                self.unreadable[item.number] = ItemRejected(*json.loads(value[1:]))
            else:
                able.append((item, value[1:]))
        return [item for item, _ in able], [signature for _, signature in able]

    def _similar(
        self,
        first: Sequence[Joining],
        signatures: Sequence[bytes],
        kept: Sequence[bool],
    ) -> Iterator[tuple[int, int, float]]:
        """Verified pairs of a kept item and a larger one that is not dropped yet."""
        before = (0, 0)
        for one, other in self._gate.candidates(signatures, self._params, kept.__getitem__):
            if not 0 <= one < other < len(first) or (other, one) < before:
                raise StageFailed(f"BUG: '{self._step.rule}' gave candidates out of order: {(one, other)}")
            before = (other, one)
            if not (kept[one] and kept[other]):
                continue
            if not self._gate.verifies:
                yield one, other, 1.0
                continue
            score = self._gate.alike(signatures[one], signatures[other])
            self.compared += score is not None
            if score is None:
                pair = (first[one].digest, first[other].digest)
                score = self._similarities.of(pair, lambda a=one, b=other: self._compare(first[a], first[b]))  # type: ignore[misc]
            if self._gate.is_similar(score, self._params):
                yield one, other, score

    def _compare(self, one: Joining, other: Joining) -> float:
        first, second = sorted((one, other), key=lambda item: item.digest)
        try:
            views = (self._view(item).narrowed(self._services.blobs) for item in (first, second))
            return float(self._gate.similarity(*views))
        except SparkError:
            raise
        except Exception as error:
            raise failed(self._step, f"comparing {first.id} and {second.id}", error) from error

    def _through_chains(self, matches: dict[int, Match]) -> dict[int, Match]:
        """A duplicate of an item that went itself goes in favour of the one that is kept."""
        followed = {}
        for number, (reason, winner, score) in matches.items():
            if winner.number in matches:
                reason, winner, score = matches[winner.number]
            if winner.number not in self.unreadable:
                followed[number] = (reason, winner, score)
            else:
                self.unreadable[number] = self.unreadable[winner.number]
        return followed


def signatures(step: JobStep, gate: JoinGate, views: Sequence[View], blobs: Blobs) -> Iterator[bytes]:
    """Of each, or why it has none, as it is remembered; where one of a batch can't be handled, each by itself."""
    items = [view.narrowed(blobs) for view in views]
    try:
        found = gate.signature_many(items)
        if len(found) != len(items):
            raise ValueError(f"signature_many gave {len(found)} values for {len(items)} items")
    except ItemRejected as why:
        if len(views) == 1:
            yield b"!" + json.dumps([why.reason, why.detail]).encode()
        else:
            for view in views:
                yield from signatures(step, gate, [view], blobs)
        return
    except SparkError:
        raise
    except Exception as error:
        others = " and others" if len(views) > 1 else ""
        names = f"item '{views[0].item.id}' of {views[0].item.source}{others}"
        raise failed(step, f"on {names}", error) from error
    yield from (b"=" + value for value in found)


def _pair_operation(step: JobStep) -> str:
    return digest_json(["similarity", step.operation])
