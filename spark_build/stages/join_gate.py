"""Gates that compare items: a signature each, remembered, and one deterministic join over all."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from spark_build.contract.items import Item
from spark_build.contract.rules import JoinGate
from spark_build.core.digest import digest_json
from spark_build.core.errors import ItemRejected, SparkError, StageFailed
from spark_build.core.job import JobStep
from spark_build.core.ports import Blobs, Services
from spark_build.stages.gating import Candidate, Gated, action_of, rejection
from spark_build.stages.items_memo import remember
from spark_build.stages.loading import failed
from spark_build.stages.media import seen
from spark_build.stages.narrow import View, has_any, narrowed
from spark_build.stages.progress import Progress
from spark_build.stages.similarities import Similarities
from spark_build.stages.spreading import Work

DUPLICATE = "duplicate"  # the very same content
LARGE_CLUSTER_SHARE, LARGE_CLUSTER_ITEMS = 0.001, 10
_EXAMPLES = 3

Read = tuple[str, ...]


def run_join_gate(
    services: Services,
    step: JobStep,
    gate: JoinGate,
    params: Any,
    candidates: Sequence[Candidate],
    read: Sequence[Read],
) -> Gated:
    """Items without a value in any field that the gate reads have nothing to compare, and stay."""
    joining = [p for p, (c, names) in enumerate(zip(candidates, read, strict=True)) if has_any(c.item, names)]
    join = _Join(services, step, gate, params, [candidates[p] for p in joining], [read[p] for p in joining])
    matches = join.run()
    gated = Gated(action_of(params), handled=join.handled)
    for candidate in candidates:
        if candidate.number in join.unreadable:
            why = join.unreadable[candidate.number]
            gated.rejected.append(rejection(candidate, step, why.reason, detail=why.detail))
        elif candidate.number in matches:
            reason, kept, score = matches[candidate.number]
            found = {"score": score, "threshold": gate.threshold(params), "matched": kept.item.id}
            gated.act(candidate, rejection(candidate, step, reason, **found))
        else:
            gated.kept.append(candidate)
    gated.notes = {"pairs": {"compared": join.compared}, **_clusters(services, step, candidates, matches)}
    return gated


Match = tuple[str, Candidate, float]  # reason, the kept one, similarity


class _Join:
    """The greedy join: by ascending (priority, digest), an item goes when it is similar to a kept one."""

    def __init__(
        self,
        services: Services,
        step: JobStep,
        gate: JoinGate,
        params: Any,
        candidates: Sequence[Candidate],
        read: Sequence[Read],
    ) -> None:
        self._services, self._step, self._gate, self._params = services, step, gate, params
        self.handled: set[int] = set()
        self.unreadable: dict[int, ItemRejected] = {}
        self.compared = 0
        digests = [c.digest(names) for c, names in zip(candidates, read, strict=True)]
        order = sorted(range(len(candidates)), key=lambda p: self._rank(candidates[p], digests[p]))
        self._candidates = [candidates[p] for p in order]
        self._read = [read[p] for p in order]
        self._digests = [digests[p] for p in order]

    def _rank(self, candidate: Candidate, digest: bytes) -> tuple[float, bytes, str, str]:
        item = candidate.item
        return self._gate.priority(seen(item, self._services.blobs)), digest, item.source, item.id

    def run(self) -> dict[int, Match]:
        """For each item that goes, by number: why, and in favour of which."""
        first, matches = self._one_of_each()
        first, signatures = self._signatures(first)
        kept = [True] * len(first)
        similarities = Similarities(self._services.memo, _pair_operation(self._step))
        try:
            for one, other, score in self._similar(first, signatures, kept, similarities):
                kept[other] = False
                winner, loser = self._candidates[first[one]], self._candidates[first[other]]
                matches[loser.number] = (self._gate.reason, winner, score)
        finally:
            similarities.keep()
        self.compared += similarities.computed + similarities.remembered
        return self._through_chains(matches)

    def _one_of_each(self) -> tuple[list[int], dict[int, Match]]:
        """Positions of the smallest item of each content; the others are its duplicates."""
        smallest: dict[bytes, int] = {}
        matches: dict[int, Match] = {}
        for position, digest in enumerate(self._digests):
            if digest in smallest:
                winner = self._candidates[smallest[digest]]
                matches[self._candidates[position].number] = (DUPLICATE, winner, 1.0)
            else:
                smallest[digest] = position
        return list(smallest.values()), matches

    def _signatures(self, first: Sequence[int]) -> tuple[list[int], list[bytes]]:
        """Of those that have one; an item that can't be handled is set aside."""
        values, ran = remember(
            self._services,
            self._step.operation,
            [self._digests[p] for p in first],
            Work(
                signatures,
                JoinGate,
                self._step,
                self._gate,
                lambda i: View(self._candidates[first[i]].item, self._read[first[i]]),
                self._services.blobs,
                is_pure=not self._gate.uses_model_of(self._params),
            ),
            progress=Progress(self._services.report, len(first), "items"),
        )
        self.handled = {self._candidates[first[i]].number for i in ran}
        able = []
        for position, value in zip(first, values, strict=True):
            if value[:1] == b"!":
                self.unreadable[self._candidates[position].number] = ItemRejected(*json.loads(value[1:]))
            else:
                able.append((position, value[1:]))
        return [position for position, _ in able], [signature for _, signature in able]

    def _similar(
        self,
        first: Sequence[int],
        signatures: Sequence[bytes],
        kept: Sequence[bool],
        similarities: Similarities,
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
                pair = (self._digests[first[one]], self._digests[first[other]])
                score = similarities.of(pair, lambda a=one, b=other: self._compare(first[a], first[b]))  # type: ignore[misc]
            if self._gate.is_similar(score, self._params):
                yield one, other, score

    def _compare(self, one: int, other: int) -> float:
        first, second = sorted((one, other), key=lambda position: self._digests[position])
        try:
            return float(self._gate.similarity(self._seen(first), self._seen(second)))
        except SparkError:
            raise
        except Exception as error:
            items = (self._candidates[p].item for p in (first, second))
            raise failed(self._step, f"comparing {' and '.join(i.id for i in items)}", error) from error

    def _seen(self, position: int) -> Item:
        return narrowed(self._candidates[position].item, self._read[position], self._services.blobs)

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
    """Of each, or why it has none, as it is remembered."""
    for view in views:
        try:
            yield b"=" + gate.signature(view.narrowed(blobs))
        except ItemRejected as why:
            yield b"!" + json.dumps([why.reason, why.detail]).encode()
        except SparkError:
            raise
        except Exception as error:
            raise failed(step, f"on item '{view.item.id}' of {view.item.source}", error) from error


def _pair_operation(step: JobStep) -> str:
    return digest_json(["similarity", step.operation])


def _clusters(
    services: Services, step: JobStep, candidates: Sequence[Candidate], matches: dict[int, Match]
) -> dict[str, Any]:
    """Clusters so large that a template or a broken reader is likelier than chance; each is logged."""
    sizes = Counter(kept.number for _, kept, _ in matches.values())
    floor = max(LARGE_CLUSTER_ITEMS, LARGE_CLUSTER_SHARE * len(candidates))
    large = [(number, size + 1) for number, size in sizes.most_common() if size + 1 > floor]
    by_number = {candidate.number: candidate for candidate in candidates}
    told = []
    name = step.label or step.rule
    for number, size in large[:_EXAMPLES]:
        alike = [by_number[n].item for n, match in matches.items() if match[1].number == number][:_EXAMPLES]
        kept = by_number[number].item
        told.append({"kept": kept.id, "items": size, "examples": [item.id for item in alike]})
        services.report.log(
            f"warning: '{name}' found {size:,} items alike: kept {kept.id} of {kept.source}, "
            f"dropped {', '.join(f'{item.id} of {item.source}' for item in alike)} and more"
        )
    return {"large_clusters": told} if told else {}
