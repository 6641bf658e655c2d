"""What a result was made from, up through Records; and what judged it."""

from collections.abc import Iterable, Mapping

from spark_build.app import Project
from spark_build.core.address import Address, target_of
from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError
from spark_build.core.record import Record
from spark_build.core.values import Struct, field
from spark_build.engine.action import digests_read
from spark_build.engine.chain import Past


class Meant(Struct, frozen=True):
    """A result that an address names."""

    project: Project  # under a profile another one than was asked
    stage: str
    record: Record
    known: Mapping[str, Digest]  # keys that say which of several Records of a stage it was made from
    drift: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by stage, as the plan tells it
    is_todays: bool = False  # `known` are the keys that count as the Sparkfile stands

    @property
    def lineage(self) -> dict[str, Record]:
        """All that it was made from and itself, the first stage first."""
        past = Past(self.project.records, self.project.journal)
        found = lineage(self.project, self.stage, self.record, past, self.known) | {self.stage: self.record}
        order = self.project.graph.closure([self.stage]) if self.stage in self.project.graph.nodes else []
        return {stage: found[stage] for stage in order if stage in found} or {self.stage: self.record}


def meant_by(project: Project, text: str) -> Meant:
    """Today's result, or that of a tag, a profile or a run. Errors: SparkError where it is not built."""
    from spark_build.app.overrides import bare, meant, with_profile

    address = Address.parse(text)
    if address.tag is None:
        return _today(project, text)
    if isinstance(found := meant(project, address), str):
        return _today(with_profile(project, found), str(bare(address)))
    return tagged(project, address)


def tagged(project: Project, address: Address) -> Meant:
    """What a tag or a run names, whatever the Sparkfile says today."""
    from spark_build.app.overrides import meant, record_named
    from spark_build.storage.runs import Run

    found = meant(project, address)
    assert not isinstance(found, str)
    known = found.stages if isinstance(found, Run) else found.get("before", {})
    stage = str(found["stage"]) if isinstance(found, Mapping) else address.main_stage
    return Meant(project, stage, record_named(project, address), known)


def _today(project: Project, text: str) -> Meant:
    record, stage = project.record_of(text), project.main_stage(text)
    try:
        plan = project.planner().plan([stage, *project.graph.evaluations(target_of(stage))])
    except SparkError:  # what an evaluation reads besides is not here
        plan = project.planner().plan([stage])
    known = {planned.stage: planned.record.key for planned in plan.stages if planned.record is not None}
    drift = {planned.stage: planned.drift for planned in plan.stages if planned.drift}
    return Meant(project, stage, record, known, drift, is_todays=True)


def lineage(
    project: Project, stage: str, record: Record, past: Past, known: Mapping[str, Digest]
) -> dict[str, Record]:
    """The Record of each stage before it; of several that gave the same the one in `known`, else the older."""
    found: dict[str, Record] = {}
    waiting = [(stage, record)]
    while waiting:
        name, reader = waiting.pop()
        node = project.graph.nodes.get(name)
        if node is None:  # today's Sparkfile knows it no more
            continue
        for before in node.upstream() - found.keys():
            read = digests_read(node, reader.manifest, before)
            named = project.records.get(known[before]) if before in known else None
            gave = named if named is not None and _gave(named, read) else past.gave(before, read, reader)
            if read and gave is not None:
                found[before] = gave
                waiting.append((before, gave))
    return found


def readers(
    project: Project,
    made: Mapping[str, Record],
    past: Past,
    stages: Iterable[str],
    known: Mapping[str, Digest] | None = None,
) -> dict[str, Record]:
    """Of each of `stages` the Record that read just what `made` holds: that in `known`, else the newest."""
    found: dict[str, Record] = {}
    for other in stages:
        node = project.graph.nodes[other]
        before = node.upstream() & made.keys()
        named = project.records.get(known[other]) if known and other in known else None
        for reader in [*([named] if named else []), *past.of(other)] if before else ():
            read = {stage: digests_read(node, reader.manifest, stage) for stage in before}
            if all(read[stage] and _gave(made[stage], read[stage]) for stage in before):
                found[other] = reader
                break
    return found


def unlike_by_age(project: Project, stage: str, record: Record) -> dict[str, Digest]:
    """What a result that counts now is made from, where age alone would tell another story.

    Where a stage came out as before, what is behind it stayed as it was: its Record is the younger of the two.
    """
    plan, past = project.planner().plan([stage]), Past(project.records, project.journal)
    today = {planned.stage: planned.record.key for planned in plan.stages if planned.record is not None}
    made = {name: r.key for name, r in lineage(project, stage, record, past, today).items()}
    by_age = {name: r.key for name, r in lineage(project, stage, record, past, {}).items()}
    return made if made != by_age else {}


def _gave(record: Record, read: Mapping[str, Digest]) -> bool:
    return all(record.parts.get(part) == digest for part, digest in read.items())
