"""Filter: gates in order, each seeing what the earlier ones left; measurements are remembered."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spark_build.contract.context import Context
from spark_build.contract.items import Item
from spark_build.contract.rows import DatasetFolder, figures_of
from spark_build.contract.rules import Gate, ItemGate
from spark_build.core.errors import BadInput
from spark_build.core.job import Job, JobStep, Outcome
from spark_build.core.ports import Services
from spark_build.stages.gating import Candidate, Gated
from spark_build.stages.item_gate import run_item_gate
from spark_build.stages.join_gate import run_join_gate
from spark_build.stages.loading import load_blind
from spark_build.stages.narrow import check_fields_exist
from spark_build.stages.rejected import Rejected, in_order, reasons
from spark_build.stages.shard_writer import write_rejected, write_rows


def run(job: Job, context: Context, services: Services) -> Outcome:
    """Errors: BadInput where the gates leave nothing, or one reads a field that is not there."""
    folder = DatasetFolder(context.inputs["dataset"])
    fields = folder.fields
    candidates = _candidates(folder)
    total, handled = len(candidates), set[int]()
    rejected: list[Rejected] = []
    notes: dict[str, Any] = {}
    for step in job.steps:
        gated = _run_gate(job, services, step, candidates, fields)
        notes[_free_name(step.label or step.rule, notes)] = _note(len(candidates), gated)
        candidates, handled = gated.kept, handled | gated.handled
        rejected += gated.rejected
    if not candidates:
        raise _nothing_left(total, notes)
    counts = Counter(c.item.split for c in candidates)
    _warn_of_empty_splits(folder, counts, services)
    write_rows(Path(job.output), _rows_by_split(candidates), fields)
    write_rejected(Path(job.output), "filter", in_order(rejected))
    return Outcome(
        metrics=figures_of({**dict(sorted(counts.items())), "rejected": len(rejected)}),
        items={"handled": len(handled), "remembered": total - len(handled)},
        notes={"gates": notes},
    )


def _run_gate(
    job: Job, services: Services, step: JobStep, candidates: Sequence[Candidate], fields: Mapping[str, str]
) -> Gated:
    gate, params = load_blind(job, step, Gate)
    read = [gate.fields_read(c.item) for c in candidates]
    check_fields_exist(step, read, list(fields))
    if isinstance(gate, ItemGate):
        return run_item_gate(services, step, gate, params, candidates, read)
    return run_join_gate(services, step, gate, params, candidates, read)  # type: ignore[arg-type]


def _candidates(folder: DatasetFolder) -> list[Candidate]:
    """Every item in canonical order; its number is what `handled` counts."""
    candidates: list[Candidate] = []
    names = list(folder.fields)
    for split in folder.splits:
        for row in folder.rows(split):
            item = Item(row["id"], row["source"], split, {name: row[name] for name in names}, row["meta"])
            candidates.append(Candidate(item, len(candidates)))
    return candidates


def _rows_by_split(candidates: Sequence[Candidate]) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for candidate in candidates:
        item = candidate.item
        own = {"id": item.id, "source": item.source, "meta": dict(item.meta)}
        rows.setdefault(item.split, []).append({**item.fields, **own})
    return rows


def _note(came_in: int, gated: Gated) -> dict[str, Any]:
    note = {
        "in": came_in,
        "dropped": len(gated.rejected),
        "replaced": gated.replaced,
        "reasons": reasons(gated.rejected),
        "counts": dict(sorted(gated.counts.items())),
    }
    return {**note, **gated.notes}


def _free_name(label: str, taken: Mapping[str, Any]) -> str:
    """The same gate twice is 'pii', 'pii-2'."""
    name, number = label, 1
    while name in taken:
        number += 1
        name = f"{label}-{number}"
    return name


def _nothing_left(total: int, notes: Mapping[str, Any]) -> BadInput:
    told = []
    for label, note in notes.items():
        if note["dropped"]:
            why = ", ".join(f"{reason} {count:,}" for reason, count in note["reasons"].items())
            told.append(f"'{label}' dropped {note['dropped']:,} of {note['in']:,} ({why})")
    return BadInput(
        f"the gates left none of {total:,} items: {'; '.join(told)}",
        fix="loosen the gate that drops most; it measures nothing again",
    )


def _warn_of_empty_splits(folder: DatasetFolder, counts: Mapping[str, int], services: Services) -> None:
    for split in folder.splits:
        if not counts.get(split):
            services.report.log(f"warning: the gates left nothing of split '{split}'")
