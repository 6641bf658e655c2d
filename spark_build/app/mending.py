"""`spark store check --repair`: what is damaged is fetched from the remote store or built again, else set aside."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from spark_build.app import Project
from spark_build.core.address import target_of, typed
from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError, StoreDamaged
from spark_build.core.record import Record
from spark_build.core.values import Struct, replace
from spark_build.storage.check import Finding
from spark_build.storage.local import LocalStore

Fetch = Callable[[Digest], bool]  # an output whose objects are not all here; whether it brought them

FETCHED, BUILT, LISTED = "fetched from the remote store", "built again", "listed again"


class Mended(Struct, frozen=True):
    """A finding, and what became of it."""

    finding: Finding
    healed: str | None  # how; None where it is not


def mend(project: Project, found: Sequence[Finding]) -> list[Mended]:
    """Heals what is damaged; what is only absent is left to whoever needs it. Errors: SparkError."""
    damaged = [finding for finding in found if finding.is_damage]
    store, fetched = project.local_store, set[Digest]()
    _set_aside(store, damaged)
    hurt = _hurt(store, damaged)
    fetch = fetch_of(project)
    for output in dict.fromkeys(record.output for records in hurt.values() for record in records):
        if fetch(output):
            fetched.add(output)
    listed = _list_again(project, hurt)
    built = _build(project, damaged, hurt)
    told = [Mended(f, listed.get(f.name) or _healed(project, f, hurt, fetched, built)) for f in damaged]
    return [m if m.healed or _is_only_listed(m.finding, hurt) else _with_fix(project, m) for m in told]


def fetch_of(project: Project) -> Fetch:
    def fetch(output: Digest) -> bool:
        remote = project.remote
        if remote is None:
            return False
        try:
            if not project.objects.missing(output) or remote.bytes_missing(output) is None:
                return False
            remote.fetch(output)
        except SparkError:  # it is not there, or damaged there: then it is built
            return False
        return not project.objects.missing(output)

    return fetch


def _set_aside(store: LocalStore, damaged: Iterable[Finding]) -> None:
    """Objects are already. A memo segment is worth no more than working out again what it remembered."""
    for finding in damaged:
        path = os.path.join(store.folder, finding.name)
        if finding.kind == "record":
            store.records.set_aside(path)
        elif finding.kind == "memo":
            with suppress(FileNotFoundError):
                store.objects.disk.remove(path)


def _hurt(store: LocalStore, damaged: Sequence[Finding]) -> dict[Digest, list[Record]]:
    """The Records whose results have each damaged object."""
    lost = {finding.name for finding in damaged if finding.kind == "object"}
    hurt: dict[Digest, list[Record]] = {digest: [] for digest in lost}
    for record in store.records.all():
        held = {record.output}
        with suppress(KeyError, StoreDamaged):
            held |= {entry.digest for entry in store.objects.tree(record.output)}
        for digest in held & lost:
            hurt[digest].append(record)
    return hurt


def _list_again(project: Project, lost: Iterable[Digest]) -> dict[Digest, str]:
    """Of the listings of what was read each whose source stands as it was, or that the remote has; how it came."""
    sources = {digest for record in project.records.all() for digest in record.sources.values()}
    wanted, found = sources.intersection(lost), dict[Digest, str]()
    if not wanted:
        return found
    # the Sparkfile can't be read, a source is not here, the remote does not answer
    with suppress(SparkError):
        for path in {i.path for n in project.graph.nodes.values() for _, i in n.all_inputs() if i.path}:
            tree = project.world.tree(path)
            if tree.digest in wanted:
                project.objects.write(tree.listing)
                found[tree.digest] = LISTED
    with suppress(SparkError):
        for digest in wanted - found.keys():
            listing = project.remote.listing(digest) if project.remote is not None else None
            if listing is not None:
                project.objects.write(listing)
                found[digest] = FETCHED
    return found


def _build(project: Project, damaged: Sequence[Finding], hurt: dict[Digest, list[Record]]) -> set[str]:
    """Those of today's stages whose results are not whole, by the ordinary build; the stages that are whole now."""
    named = {record.output for records in hurt.values() for record in records}
    named |= {_key(finding) for finding in damaged if finding.kind == "record"}
    project.look_again()
    try:
        plan = project.planner().plan(list(project.graph.nodes))
        today = {s.stage: {s.key, s.record.output if s.record else None} for s in plan.stages}
        for stage in today:  # the key of one that waits for another is known from the lock alone
            block = project.lock.get("stages", stage) or {}
            today[stage] |= {block.get("key"), block.get("output")}
        stages = [stage for stage, known in today.items() if not named.isdisjoint(known)]
        if not stages:
            return set()
        results = project.build(*stages).uninterrupted().results
    except SparkError:  # a source is not here, say: what can't be built is told as not healed
        return set()
    return {stage for stage in stages if results[stage].record is not None}


def _healed(
    project: Project,
    finding: Finding,
    hurt_by: dict[Digest, list[Record]],
    fetched: set[Digest],
    built: set[str],
) -> str | None:
    hurt = hurt_by.get(finding.name, [])
    if finding.kind == "memo":
        return "removed: what it remembered is worked out again where it is needed"
    if finding.kind == "record":
        if project.records.get(_key(finding)) is not None:
            return BUILT if built else FETCHED
        return None if _key(finding) in _named_by_lock(project) else "set aside: nothing here names it"
    if not project.objects.unsound([finding.name]):
        return FETCHED if any(record.output in fetched for record in hurt) else BUILT
    if not hurt:
        return None if finding.stages else "set aside: nothing here names it"
    is_whole = all(_is_whole(project, record) for record in hurt)
    return f"{BUILT}, with another result" if is_whole else None


def _is_whole(project: Project, record: Record) -> bool:
    """The one that counts under its key by now."""
    now = project.records.get(record.key)
    return now is not None and not project.objects.missing(now.output)


def _named_by_lock(project: Project) -> set[Digest]:
    lock = project.lock
    blocks = (lock.get(group, name) for group in ("stages", "tags") for name in lock.names(group))
    return {str(block["key"]) for block in blocks if block is not None}


def _key(finding: Finding) -> Digest:
    return os.path.basename(finding.name).partition(".")[0]


def _is_only_listed(finding: Finding, hurt: dict[Digest, list[Record]]) -> bool:
    """Whether it tells what was read, and no result lacks it: its finding says what can be done."""
    return finding.kind == "object" and bool(finding.stages) and not hurt[finding.name]


def _with_fix(project: Project, mended: Mended) -> Mended:
    """What a person can do where neither the remote nor today's build could."""
    stages = mended.finding.stages
    gone = [stage for stage in stages if stage not in project.graph.nodes]
    if gone:
        fix = f"spark build {typed(target_of(gone[0]))} at the commit whose lock names it; spark store gc drops it"
    elif stages:
        fix = f"spark build {typed(target_of(stages[0]))} says what keeps it from being built"
    else:
        fix = "spark build at the commit whose lock names it"
    return replace(mended, finding=replace(mended.finding, fix=fix))
