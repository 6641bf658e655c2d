"""What a report says of a version, as data: `--json` prints it, the page shows it."""

from collections.abc import Mapping
from typing import Any

from spark_build.core.values import Struct, field
from spark_build.report.dataset.tallies import Histogram
from spark_build.report.versions import DatasetVersion


class Labels(Struct, frozen=True):
    """How often each value of a field stands."""

    field: str
    unit: str  # label, format, language …
    values: int
    counts: Mapping[str, int]  # the most frequent first
    others: int = 0  # values that are not among these
    distinct: int = 0  # different values, at least
    are_more: bool = False  # whether there are more of them than that


class Gate(Struct, frozen=True):
    """A step that items go through. What only a Record tells is None where there is none."""

    name: str
    rule: str | None = None
    came: int | None = None  # items before it
    rejected: int = 0
    flagged: int = 0
    replaced: int | None = None  # items that it changed, as redaction does
    reasons: Mapping[str, int] = field(default_factory=dict)  # of rejected ones
    flags: Mapping[str, int] = field(default_factory=dict)  # of flagged ones
    counts: Mapping[str, int] = field(default_factory=dict)  # what it found in items that it let pass


class Funnel(Struct, frozen=True):
    """From records that were read to items that are kept."""

    reading: tuple[Gate, ...]  # source and transforms, as far as they rejected something
    gates: tuple[Gate, ...]
    kept: int
    rejected: int
    read: int | None = None  # records
    items: int | None = None  # that came to the gates


class Finding(Struct, frozen=True):
    """What was found of an item; a row of `rejected/`, or a flag."""

    id: str
    source: str
    split: str | None
    gate: str
    reason: str
    score: float | None = None
    threshold: float | None = None
    matched: str | None = None
    detail: str | None = None


class Cluster(Struct, frozen=True):
    """Items that a gate found alike: the one that stands for them, and examples of the others."""

    kept: str
    items: int  # with the one that stands for them
    examples: tuple[Finding, ...]


class Clusters(Struct, frozen=True):
    gate: str
    clusters: int
    items: int  # in all of them, with those that stand for them
    sizes: Mapping[int, int]  # clusters by size
    largest: tuple[Cluster, ...]


class Origin(Struct, frozen=True):
    """A stage that the version was made by, as its Record tells it."""

    stage: str
    output: str
    built: str  # ISO 8601
    seconds: float
    size: int
    steps: tuple[Mapping[str, Any], ...]  # rule, name, revision, params
    inputs: Mapping[str, str]  # what it read that no stage made: name -> digest
    libraries: Mapping[str, str]


class Facts(Struct, frozen=True):
    dataset: str
    output: str
    built: str
    size: int
    title: str
    card: Mapping[str, Any]
    fields: Mapping[str, str]
    splits: Mapping[str, int]
    filled: Mapping[str, int]  # rows with a value, by field
    histograms: tuple[Histogram, ...]
    labels: tuple[Labels, ...]
    sources: Labels
    funnel: Funnel
    clusters: tuple[Clusters, ...]
    versions: tuple[DatasetVersion, ...]
    origins: tuple[Origin, ...]
    stale: tuple[str, ...] = ()  # why this is not what the Sparkfile asks for today
