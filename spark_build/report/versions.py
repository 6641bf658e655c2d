"""The versions that a dataset has had: what each is called, where it went, and what it was made from."""

from collections.abc import Mapping, Sequence

from spark_build.core.values import Struct, field
from spark_build.report.tables import table
from spark_build.report.words import figure, moment, short


class DatasetVersion(Struct, frozen=True):
    """One version in the store, for `spark ls dataset:NAME`."""

    output: str
    built: str  # ISO 8601
    tag: str | None = None  # as the Sparkfile called it
    tags: tuple[str, ...] = ()  # of `spark tag`
    commit: str | None = None  # where it was published by commit
    repository: str | None = None
    items: float | None = None
    is_here: bool = True
    made_from: Mapping[str, str] = field(default_factory=dict)  # stage before it -> its Artifact


def versions_text(address: str, versions: Sequence[DatasetVersion], width: int | None = None) -> str:
    """One line per version, the newest first."""
    headers = ("version", "tags", "digest", "built", "items", "commit", "in", "made from", "")
    rows = [
        (
            v.tag or "-",
            ", ".join(v.tags),
            short(v.output),
            moment(v.built),
            figure(v.items) if v.items is not None else "",
            short(v.commit or ""),
            v.repository or "",
            ", ".join(_told(address, stage, output) for stage, output in v.made_from.items()),
            "" if v.is_here else "not here",
        )
        for v in versions
    ]
    return f"versions of {address}\n{table(headers, rows, width)}"


def _told(address: str, stage: str, output: str) -> str:
    """A stage of the dataset's own by its short name."""
    return f"{stage.removeprefix(f'{address}/')} {short(output)}"
