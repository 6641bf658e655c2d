"""What gates found: how often, samples with their reasons, and clusters of items that are alike."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spark_build.contract.counting import read_batches, text_of
from spark_build.contract.items import FLAGS, flags_in
from spark_build.core.values import Struct
from spark_build.report.dataset.facts import Cluster, Clusters, Finding
from spark_build.report.dataset.samples import Sample

_CLUSTERS = 8  # the largest of a gate, with examples
_EXAMPLES = 4  # of a cluster
_OF_A_REASON = 3  # samples, at most

Findings = Callable[
    [], Iterable[Finding]
]  # all of them, anew at each call: they may be more than fit in memory


class Found(Struct, frozen=True):
    """Of the rejected items of one stage, or of all flagged ones."""

    counts: Mapping[tuple[str, str], int]  # by gate and reason
    samples: Mapping[str, tuple[Finding, ...]]  # by gate
    clusters: tuple[Clusters, ...]

    def of(self, gate: str) -> dict[str, int]:
        """Reasons of a gate, the most frequent first."""
        own = {reason: n for (name, reason), n in self.counts.items() if name == gate}
        return dict(sorted(own.items(), key=lambda counted: (-counted[1], counted[0])))


def found(findings: Findings, most: int) -> Found:
    """`most` samples of each gate are taken."""
    counts: Counter[tuple[str, str]] = Counter()
    samples: dict[tuple[str, str], Sample[Finding]] = {}
    alike: dict[str, Counter[str]] = {}
    for finding in findings():
        key = (finding.gate, finding.reason)
        counts[key] += 1
        samples.setdefault(key, Sample(most)).offer(finding.id, finding)
        if finding.matched:
            alike.setdefault(finding.gate, Counter())[finding.matched] += 1
    gates = dict.fromkeys(gate for gate, _ in counts)
    return Found(
        dict(counts),
        {gate: _sampled(gate, counts, samples, most) for gate in gates},
        _clusters(findings, alike) if alike else (),
    )


def _sampled(
    gate: str,
    counts: Mapping[tuple[str, str], int],
    samples: Mapping[tuple[str, str], Sample[Finding]],
    most: int,
) -> tuple[Finding, ...]:
    """A few of each reason, the most frequent first; where there are few reasons, more of each."""
    keys = sorted((key for key in counts if key[0] == gate), key=lambda key: (-counts[key], key))
    share = max(_OF_A_REASON, most // len(keys))
    return tuple([one for key in keys for one in samples[key].values[:share]][:most])


def _clusters(findings: Findings, alike: Mapping[str, Counter[str]]) -> tuple[Clusters, ...]:
    largest = {
        gate: dict(sorted(sizes.items(), key=lambda counted: (-counted[1], counted[0]))[:_CLUSTERS])
        for gate, sizes in alike.items()
    }
    examples: dict[tuple[str, str], Sample[Finding]] = {}
    for finding in findings():
        if finding.matched in largest.get(finding.gate, ()):
            key = (finding.gate, str(finding.matched))
            examples.setdefault(key, Sample(_EXAMPLES)).offer(finding.id, finding)
    return tuple(
        Clusters(
            gate,
            clusters=len(sizes),
            items=len(sizes) + sizes.total(),
            sizes=dict(sorted(Counter(n + 1 for n in sizes.values()).items())),
            largest=tuple(
                Cluster(kept, n + 1, tuple(examples[gate, kept].values)) for kept, n in largest[gate].items()
            ),
        )
        for gate, sizes in alike.items()
    )


def rejected_in(shards: Sequence[Path]) -> Iterator[Finding]:
    names = Finding.__struct_fields__
    for batch in read_batches(shards, names):
        columns = [batch.column(name).to_pylist() for name in names]
        yield from (Finding(*row) for row in zip(*columns, strict=True))


def flagged_in(shards: Mapping[str, Sequence[Path]]) -> Iterator[Finding]:
    """Findings of gates with `action: flag`, which stand in the meta of rows that stayed; `shards` by split."""
    for split, of_split in shards.items():
        for batch in read_batches(of_split, ["id", "source", "meta"]):
            if FLAGS.encode() not in text_of(batch.column("meta"))[0].tobytes():
                continue  # most datasets have none, and nothing is parsed
            columns = (batch.column(name).to_pylist() for name in ("id", "source", "meta"))
            for item, source, meta in zip(*columns, strict=True):
                for told in flags_in(json.loads(meta)) if meta else ():
                    yield Finding(item, source, split, str(told["gate"]), str(told["reason"]), **_rest(told))


def _rest(told: Mapping[str, Any]) -> dict[str, Any]:
    """Of a flag; it may stand in a source's own meta, and hold anything."""
    numbers = {n: v for n in ("score", "threshold") if isinstance(v := told.get(n), int | float)}
    return {**numbers, **{n: str(v) for n in ("matched", "detail") if (v := told.get(n))}}
