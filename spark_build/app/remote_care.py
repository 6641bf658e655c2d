"""`spark store check --remote` and `spark store gc --remote`."""

from __future__ import annotations  # what they name need not be loaded

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from spark_build.app import Project
from spark_build.app.needs import Found, needs_of
from spark_build.app.transferring import remote_of
from spark_build.remote.bucket import Refused
from spark_build.remote.check import check_remote, remove_if_damaged, repair
from spark_build.remote.collect import Gone, collect_remote
from spark_build.remote.layout import key_in
from spark_build.remote.store import RemoteStore

if TYPE_CHECKING:
    from spark_build.storage.check import Finding

_SECONDS_PER_DAY = 86_400.0
PUSHED = "pushed again from this store"


def look_over(
    project: Project, sample: Callable[[int], int] | None, seed: int | None, *, repairs: bool
) -> list[tuple[Finding, str | None]]:
    """What is damaged there, and of each how it was healed; None where it was not.

    `sample`: of how many packs, parts and listings how many are read. Errors: UsageError, TransientError.
    """
    remote = remote_of(project)

    def drawn(paths: list[str]) -> list[str]:
        if sample is None:
            return paths
        return random.Random(seed).sample(sorted(paths), min(len(paths), max(0, sample(len(paths)))))

    looked = check_remote(remote, drawn)
    if not repairs or not looked.findings:
        return [(finding, None) for finding in looked.findings]
    local = {record.key: record for record in project.records.all()}
    healed = set(repair(remote, looked, local))
    project.state.flush()
    return [(finding, _how(remote, finding, healed)) for finding in looked.findings]


def _how(remote: RemoteStore, finding: Finding, healed: set[str]) -> str | None:
    if finding.kind == "record":
        key = key_in(finding.name)
        return PUSHED if key and remote.record(key) is not None else None
    if finding.kind == "publication" or not healed.issuperset(finding.stages):
        return None
    try:
        remove_if_damaged(remote, finding.name)  # what was pushed again may lie elsewhere by now
    except Refused:
        return None
    return PUSHED if finding.stages else "removed: nothing that is built needs it"


def collect(
    project: Project, *, builds: int, days: float, with_history: bool, is_dry: bool
) -> tuple[Gone, Found]:
    """Of the scope that this checkout writes. What is younger than `days` stays, whoever needs it.

    Errors: SparkError, and then nothing went.
    """
    remote = remote_of(project)
    found = needs_of(project, builds=builds, days=days, with_history=with_history)
    gone = collect_remote(
        remote, found.needs.keys, found.needs.outputs, young_seconds=days * _SECONDS_PER_DAY, is_dry=is_dry
    )
    remote.forget_pushed()
    project.state.flush()
    return gone, found
