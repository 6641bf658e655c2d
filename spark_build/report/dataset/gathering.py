"""All that a page shows of a version, from its rows, from those of the stage before its gates, and from Records."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from spark_build.contract.rows import DatasetFolder
from spark_build.core.record import Record
from spark_build.core.values import Struct
from spark_build.report.dataset.contents import Blobs, Budget, Content, contents
from spark_build.report.dataset.facts import Clusters, Facts, Finding, Origin
from spark_build.report.dataset.findings import Found, flagged_in, found, rejected_in
from spark_build.report.dataset.funnel import funnel
from spark_build.report.dataset.page import Shown
from spark_build.report.dataset.survey import surveyed
from spark_build.report.versions import DatasetVersion

MOST_SAMPLES = 200
PICTURE_BYTES = 4_000_000  # of all pictures of a page
_MOST_GATES = 24  # with samples of what they found
_REDACTED = "the text is not shown, as a gate hides a part of what it lets pass; --unredacted shows it"
_NOT_HERE = "the content is not shown: the result before the gates is not in the store"


class Version(Struct, frozen=True):
    """What is reported on."""

    dataset: str
    record: Record
    rows: DatasetFolder
    before: DatasetFolder | None  # what the gates were given, where it is in the store
    origins: Mapping[str, Record]  # by stage, the first one first, itself the last
    versions: tuple[DatasetVersion, ...]
    stale: tuple[str, ...] = ()

    def record_of(self, stage: str) -> Record | None:
        return self.origins.get(f"{self.dataset}/{stage}")


class Asked(Struct, frozen=True):
    samples: int = 8  # of each kind of kept items, and of each gate; MOST_SAMPLES at most
    shows_unredacted: bool = False


def gathered(version: Version, blobs: Blobs, asked: Asked) -> tuple[Facts, Shown]:
    shards = {split: version.rows.shards(split) for split in version.rows.splits}
    rejected = {of: _rejected(version.rows, of == "ingest") for of in ("ingest", "filter")}
    reading, gating = (found(lambda own=own: rejected_in(own), asked.samples) for own in rejected.values())  # type: ignore[misc]
    flagged = found(lambda: flagged_in(shards), asked.samples)
    survey = surveyed(shards, version.rows.fields if shards else {}, asked.samples)
    counts = version.rows.counts()
    splits = {split: counts[split] for split in shards}
    way = funnel(
        sum(splits.values()),
        reading,
        gating,
        flagged,
        version.record_of("ingest"),
        version.record_of("filter"),
    )
    card = _card(version.record)
    facts = Facts(
        dataset=version.dataset,
        output=version.record.output,
        built=version.record.started,
        size=version.record.size,
        title=str(card.get("title") or card.get("pretty_name") or version.dataset.partition(":")[2]),
        card=card,
        fields=version.rows.fields if shards else {},
        splits=splits,
        filled=survey.filled,
        histograms=survey.histograms,
        labels=survey.labels,
        sources=survey.sources,
        funnel=way,
        clusters=(*gating.clusters, *flagged.clusters),
        versions=version.versions,
        origins=tuple(_origin(stage, record) for stage, record in version.origins.items()),
        stale=version.stale,
    )
    return facts, _shown(version, facts, survey.samples, (reading, gating, flagged), blobs, asked)


def _rejected(rows: DatasetFolder, is_ingest: bool) -> list[Path]:
    """Shards of what could not be read, or of what the gates rejected."""
    shards = sorted((rows.path / "rejected").glob("*.parquet"))
    return [shard for shard in shards if (shard.name.rpartition("-")[0] == "ingest") is is_ingest]


def _shown(
    version: Version,
    facts: Facts,
    kept: Mapping[str, Sequence[str]],
    all_found: tuple[Found, Found, Found],
    blobs: Blobs,
    asked: Asked,
) -> Shown:
    reading, gating, flagged = all_found
    rejected = dict([*reading.samples.items(), *_in_order(facts, gating)][:_MOST_GATES])
    budget, hidden = Budget(PICTURE_BYTES), _hidden(version, facts, asked)
    ids = set(chain(chain.from_iterable(kept.values()), _named(rejected, flagged.samples, facts.clusters)))
    known = {own.id: own for own in _contents(version.rows, ids, blobs, budget)}
    if not hidden and version.before is not None:
        known |= {own.id: own for own in _contents(version.before, ids - known.keys(), blobs, budget)}
    return Shown(
        kept=kept,
        rejected=rejected,
        flagged=flagged.samples,
        contents=known,
        hidden=hidden,
        left_out=tuple(_left_out(facts, kept, rejected, budget, hidden)),
    )


def _in_order(facts: Facts, gating: Found) -> list[tuple[str, tuple[Finding, ...]]]:
    names = [gate.name for gate in facts.funnel.gates]
    place = {name: place for place, name in enumerate(names)}
    return sorted(gating.samples.items(), key=lambda sampled: place.get(sampled[0], len(names)))


def _hidden(version: Version, facts: Facts, asked: Asked) -> str:
    """Why nothing is shown of items as they came to the gates; '' where it may be."""
    hides = any(gate.rule == "pii" or gate.replaced for gate in facts.funnel.gates)
    if hides and not asked.shows_unredacted:
        return _REDACTED
    return _NOT_HERE if version.before is None else ""


def _named(
    rejected: Mapping[str, Sequence[Finding]],
    flagged: Mapping[str, Sequence[Finding]],
    clusters: Sequence[Clusters],
) -> Iterator[str]:
    """Ids of all items that a page names with what was found of them."""
    for finding in chain(*rejected.values(), *flagged.values()):
        yield from filter(None, (finding.id, finding.matched))
    for cluster in (one for of_gate in clusters for one in of_gate.largest):
        yield cluster.kept
        yield from (example.id for example in cluster.examples)


def _contents(rows: DatasetFolder, ids: Iterable[str], blobs: Blobs, budget: Budget) -> Iterator[Content]:
    shards = [shard for split in rows.splits for shard in rows.shards(split)]
    return contents(shards, set(ids), blobs, budget)


def _left_out(
    facts: Facts,
    kept: Mapping[str, Sequence[str]],
    rejected: Mapping[str, Sequence[Finding]],
    budget: Budget,
    hidden: str,
) -> Iterator[str]:
    shown = sum(map(len, kept.values()))
    yield (
        f"{shown:,} of {facts.funnel.kept:,} kept items and {sum(map(len, rejected.values())):,} of "
        f"{facts.funnel.rejected:,} rejected ones are shown: those whose ids have the smallest hashes, so that "
        "another look shows the same. --samples N shows others besides."
    )
    yield "Of texts the beginning is shown, of videos four frames, of sounds the shape of the first ten minutes."
    if more := sum(max(0, of_gate.clusters - len(of_gate.largest)) for of_gate in facts.clusters):
        yield f"{more:,} smaller clusters of items that are alike."
    if budget.left_out:
        yield f"{budget.left_out:,} pictures: a page holds {PICTURE_BYTES // 1_000_000} MB of them."
    if hidden and facts.funnel.rejected:
        yield f"Of items that the gates rejected {hidden}."


def _card(record: Record) -> dict[str, Any]:
    (step,) = record.manifest["steps"]
    return dict(step["params"].get("card") or {})


def _origin(stage: str, record: Record) -> Origin:
    steps = record.manifest.get("steps", [])
    inputs = {
        f"{step.get('name') or step['rule']}: {name}": digest
        for step in steps
        for name, digest in sorted(step.get("inputs", {}).items())
        if isinstance(digest, str)
    }
    libraries = [record.manifest.get("libraries", {}), *(step.get("libraries", {}) for step in steps)]
    return Origin(
        stage,
        record.output,
        record.started,
        record.seconds,
        record.size,
        steps=tuple(
            {n: step[n] for n in ("rule", "name", "revision", "params") if n in step} for step in steps
        ),
        inputs=inputs,
        libraries={name: version for own in libraries for name, version in sorted(own.items())},
    )
