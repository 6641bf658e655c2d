"""What a result was made from, up through Records."""

from collections.abc import Mapping

from spark_build.app import Project
from spark_build.core.digest import Digest
from spark_build.core.record import Record
from spark_build.engine.action import digests_read
from spark_build.engine.chain import Past


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
