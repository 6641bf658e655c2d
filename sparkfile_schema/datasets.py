"""`datasets:` — where each comes from, what is done to it, and what has to hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from msgspec.structs import replace

from sparkfile_schema.address import Selector, selector_text
from sparkfile_schema.keys import DATASET, FIELD_TYPES, ON_ERROR, PUSH, SPLITS, STANDARD_SPLITS, TRANSFORM
from sparkfile_schema.model import Dataset, Requirement, Splits, Use
from sparkfile_schema.nodes import Entry, Map, Scalar, Sequence, Unreadable, find
from sparkfile_schema.overlay import known_names
from sparkfile_schema.problems import Position
from sparkfile_schema.reader import Part, Reader
from sparkfile_schema.requirements import check_share, read_requirement
from sparkfile_schema.scalars import shown
from sparkfile_schema.suggest import did_you_mean
from sparkfile_schema.uses import Layer, make_use, read_params, read_use

Uses = list[tuple[str, Use]]


def read_dataset(
    reader: Reader, part: Part, gates: Mapping[str, Use], uses: Uses, matrix: Selector = ()
) -> Dataset | None:
    """The dataset, None where its source can't be read; every rule that can be is added to `uses`."""
    entries = reader.section(part, DATASET, required=("source",))
    source = _source(reader, entries["source"], part) if "source" in entries else None
    splits = read_splits(reader, entries["splits"], part) if "splits" in entries else None
    transforms = _transforms(reader, entries.get("transforms"), part, splits)
    passed, own_gates = _gates(reader, entries.get("gates"), part, gates)
    version = _version(reader, entries["version"], part) if "version" in entries else None
    require = _require(reader, entries.get("require"), splits)
    card = _card(reader, entries.get("card"))
    fields = _fields(reader, entries.get("fields"))
    on_error = reader.choice(entries["on_error"], ON_ERROR) if "on_error" in entries else None
    push = reader.choice(entries["push"], PUSH) if "push" in entries else None
    uses += [("source", source)] if source else []
    uses += [("transform", use) for use in transforms] + [("gate", use) for use in own_gates]
    uses += [("versioner", version)] if version else []
    if source is None:
        return None
    return Dataset(
        name=f"{part.path[-1]}{selector_text(matrix)}",
        source=source,
        fields=fields,
        transforms=transforms,
        gates=passed,
        splits=splits,
        require=require,
        version=version,
        card=card,
        on_error=cast(Literal["reject", "fail"], on_error or "reject"),
        push=cast(Literal["last", "all", "none"], push or "last"),
        path=part.path,
        matrix=matrix,
    )


def _source(reader: Reader, part: Part, dataset: Part) -> Use | None:
    part = part.called(f"the source of {dataset.what}")
    if isinstance(part.node, Sequence):
        fix = "one source a dataset: a path, or {use: RULE, with: {…}}"
        reader.problem(part.at, f"{part.what} can't be a list", fix)
        return None
    if part.is_map:
        return read_use(reader, part)
    path = reader.text(part)
    if path is None:
        return None
    # the path is a param, and stands where the source stands
    rule, name = ("dataset", "dataset") if path.startswith("dataset:") else ("files", "path")
    short = Map({name: Entry(part.key_at, part.node)}, part.at)
    params = read_params(reader, extra=Layer(short, part.path))
    params.origins = {(name,): part.path}
    return make_use(rule, rule, part.path, params, {}, {})


def _fields(reader: Reader, part: Part | None) -> dict[str, str]:
    if part is None:
        return {}
    types = {name: reader.choice(entry, FIELD_TYPES) for name, entry in reader.mapping(part).items()}
    return {name: kind for name, kind in types.items() if kind}


def _transforms(reader: Reader, part: Part | None, dataset: Part, splits: Splits | None) -> tuple[Use, ...]:
    found: list[Use] = []
    for i, item in enumerate(reader.items(part, "such as [{use: chunk}]") if part else []):
        item = item.called(f"transform {i + 1} of {dataset.what}")
        use = read_use(reader, item, TRANSFORM)
        only = _only(reader, item, splits)
        if use:
            found.append(replace(use, options={"only": only} if only else {}))
    return tuple(found)


def _only(reader: Reader, item: Part, splits: Splits | None) -> str | None:
    entry = item.node.entries.get("only") if isinstance(item.node, Map) else None
    if entry is None:
        return None
    part = item.child("only", entry.node, entry.key_at, f"'only' of {item.what}")
    name = reader.text(part)
    return name if name and check_split(reader, part.at, name, splits) else None


def _gates(
    reader: Reader, part: Part | None, dataset: Part, gates: Mapping[str, Use]
) -> tuple[tuple[Use, ...], list[Use]]:
    """The gates that items pass, and those of them that stand here and not under the top-level `gates:`."""
    passed: list[Use] = []
    own: list[Use] = []
    listed: set[str] = set()
    for i, item in enumerate(reader.items(part, "such as [near-dup, {use: pii}]") if part else []):
        item = item.called(f"gate {i + 1} of {dataset.what}")
        if item.is_map:
            use = read_use(reader, item)
            own += [use] if use else []
        else:
            use = _named_gate(reader, item, gates, listed)
        passed += [use] if use else []
    return tuple(passed), own


def _named_gate(reader: Reader, part: Part, gates: Mapping[str, Use], listed: set[str]) -> Use | None:
    name = reader.text(part)
    if name is None:
        return None
    if name in listed:
        reader.problem(part.at, f"gate {shown(name)} is listed twice", "remove one of the two")
        return None
    listed.add(name)
    if name not in reader.names["gates"]:
        known = reader.names["gates"]
        fix = known_names(name, known, "gates") if did_you_mean(name, known) else _gate_fix(name, known)
        reader.problem(part.at, f"no gate {shown(name)} in 'gates:'", fix)
        return None
    return gates.get(name)


def _gate_fix(name: str, known: tuple[str, ...]) -> str:
    listed = f"gates here: {', '.join(known[:8])}; " if known else ""
    return f"{listed}for a rule write {{use: {name}}}"


def _version(reader: Reader, part: Part, dataset: Part) -> Use | None:
    part = part.called(f"the version of {dataset.what}")
    if part.is_map or part.value is None:
        return read_use(reader, part)
    if isinstance(part.value, str) and part.value.isidentifier():
        return read_use(reader, part)  # says how a rule is written
    written = getattr(part.node, "written", "")
    fix = (
        f'write {{use: snapshot, with: {{tag: "{written}"}}}}'
        if len(written) < 40
        else "write {use: snapshot}"
    )
    reader.expected(part, "a rule", fix)
    return None


def _card(reader: Reader, part: Part | None) -> dict[str, object]:
    if part is None:
        return {}
    for key, entry in reader.mapping(part).items():
        if key in ("license", "description", "title", "pretty_name"):
            reader.text(entry.called(f"{shown(key)} of the card"))
    params = read_params(reader, part)
    for place in params.templates:
        found = find(part.node, place)
        if found and isinstance(found.node, Scalar) and found.node.names_secret:
            reader.problem(found.node.at, "a card can't hold a secret", "a secret stands only under 'with:'")
    return params.values


# -- splits ------------------------------------------------------------------------------------------


def read_splits(reader: Reader, part: Part, dataset: Part) -> Splits | None:
    part = part.called(f"'splits' of {dataset.what}")
    if part.value == "keep":
        return Splits({}, None, None, {}, True, part.path)
    if not part.is_map:
        fix = "write keep, or shares such as {train: 0.9, test: 0.1}"
        reader.expected(part, "keep or a mapping of shares", fix)
        return None
    entries = reader.mapping(part)
    keep = "keep" in entries and reader.flag(entries["keep"]) is not False
    ratios = _ratios(reader, part, entries, keep)
    group = reader.text(entries["group"]) if "group" in entries else None
    balance = reader.text(entries["balance"]) if "balance" in entries else None
    splits = Splits(ratios, group, balance, {}, keep, part.path)
    return replace(splits, at_least=_at_least(reader, entries.get("at_least"), splits))


def _ratios(reader: Reader, part: Part, entries: Mapping[str, Part], keep: bool) -> dict[str, float]:
    """Shares under `ratios:`, or, in the short form, beside the other keys."""
    others = {key: entry for key, entry in entries.items() if key not in SPLITS}
    if "ratios" in entries:
        for key, entry in others.items():
            reader.unknown_key(entry.key_at, key, part.what, SPLITS)
        part, others = entries["ratios"], reader.mapping(entries["ratios"])
    if keep:
        _refuse_beside_keep(reader, entries, others)
        return {}
    if not others and not isinstance(part.node, Unreadable):
        reader.problem(part.at, f"{part.what} names no split", "such as {train: 0.9, test: 0.1}")
    ratios = {name: _ratio(reader, entry, name) for name, entry in others.items()}
    whole = [ratio for ratio in ratios.values() if ratio is not None]
    if others and len(whole) == len(ratios) and abs(sum(whole) - 1) > 1e-6:
        total = f"{sum(whole):.6g}"
        reader.problem(part.at, f"the shares of the splits sum to {total}, not to 1", _sum_fix(whole))
    return {name: ratio for name, ratio in ratios.items() if ratio is not None}


def _refuse_beside_keep(reader: Reader, entries: Mapping[str, Part], others: Mapping[str, Part]) -> None:
    unused = [*others.values(), *(entries[key] for key in ("group", "balance") if key in entries)]
    for entry in unused:
        message = f"{shown(str(entry.path[-1]))} says nothing where the source's own splits are kept"
        reader.problem(entry.key_at, message, "remove it, or remove keep")


def _ratio(reader: Reader, part: Part, name: str) -> float | None:
    meant = _standard_split(name)
    if meant:
        fix = f"did you mean {shown(meant)}?"
        reader.problem(part.key_at, f"unknown split {shown(name)}", fix)
        return None
    if not reader.is_name(name, part.key_at, "split"):
        return None
    share = reader.number(part.called(f"the share of split {shown(name)}"))
    if share is not None and not share > 0:
        reader.problem(
            part.at, f"the share of split {shown(name)} has to be above 0", "remove it, or give it a share"
        )
        return None
    return share


def _standard_split(name: str) -> str | None:
    """'validation' for 'dev', 'val' or 'validaton'; not for a name of one's own, such as 'test-2'."""
    if name in STANDARD_SPLITS or not name.isalpha() or name in ("heldout", "holdout"):
        return None
    return did_you_mean(name, STANDARD_SPLITS)


def _sum_fix(shares: list[float]) -> str:
    if abs(sum(shares) - 100) < 1e-3:
        return "write fractions, 0.9 for 90"
    return "make them sum to 1"


def _at_least(reader: Reader, part: Part | None, splits: Splits) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, entry in reader.mapping(part).items() if part else ():
        if not check_split(reader, entry.key_at, name, splits):
            continue
        count = reader.integer(entry.called(f"the fewest items of split {shown(name)}"), 1)
        if count is not None:
            found[name] = count
    return found


def check_split(reader: Reader, at: Position, name: str, splits: Splits | None) -> bool:
    """Whether the dataset has the split, as far as the file says which it has."""
    if splits is None or splits.keep or not splits.ratios or name in splits.ratios:
        return True
    message = f"dataset {shown(str(splits.path[1]))} has no split {shown(name)}"
    reader.problem(at, message, known_names(name, splits.ratios, "splits"))
    return False


# -- require -----------------------------------------------------------------------------------------


def _require(reader: Reader, part: Part | None, splits: Splits | None) -> tuple[Requirement, ...]:
    found: list[Requirement] = []
    for name, entry in reader.mapping(part, 'such as {items: "> 100"}').items() if part else ():
        if not _is_figure(reader, entry, name, splits):
            continue
        requirement = read_requirement(reader, entry.called(f"the requirement {shown(name)}"), name)
        if requirement:
            found.append(requirement)
            if name == "rejected":
                check_share(reader, requirement, entry)
    return tuple(found)


def _is_figure(reader: Reader, part: Part, name: str, splits: Splits | None) -> bool:
    figure, dot, split = name.partition(".")
    if figure == "items" and dot:
        return check_split(reader, part.key_at, split, splits)
    if name in ("items", "rejected"):
        return True
    fix = known_names(name, ("items", "rejected", "items.SPLIT"), "figures")
    reader.problem(part.key_at, f"a dataset has no figure {shown(name)}", fix)
    return False
