"""`targets:` and `deployments:` — models to build, how they are measured, and what is served."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from sparkfile_schema.address import parse_address, selector_text
from sparkfile_schema.datasets import Uses, check_split
from sparkfile_schema.keys import DEPLOYMENT, EVALUATION, TARGET
from sparkfile_schema.matrix import PLAIN, Member, lay_over
from sparkfile_schema.model import Dataset, Deployment, Evaluation, Target, Use
from sparkfile_schema.nodes import Entry, Map
from sparkfile_schema.reader import Part, Reader
from sparkfile_schema.requirements import read_requirements
from sparkfile_schema.scalars import shown
from sparkfile_schema.suggest import did_you_mean
from sparkfile_schema.uses import (
    Layer,
    make_use,
    read_named_use,
    read_numerics,
    read_params,
    read_resources,
    read_rule,
    read_use,
    rule_label,
    use_entries,
)

Recipes = Mapping[str, Part]


def read_target(
    reader: Reader,
    part: Part,
    recipes: Recipes,
    datasets: Mapping[str, Dataset],
    uses: Uses,
    member: Member = PLAIN,
) -> Target | None:
    """The target, or one member of its matrix; None where its recipe can't be read.

    Every rule that can be read is added to `uses`.
    """
    part = member.fill(reader, part)
    entries = reader.section(part, TARGET, required=("recipe",))
    recipe = _recipe(reader, part, entries, recipes, member)
    roles = _roles(reader, part, entries, recipe)
    if "base" in entries:
        _check_base(reader, entries["base"])
    measured = datasets.get(roles["dataset"]) if "dataset" in roles else None
    evals = _evaluations(reader, entries["eval"], part, datasets, measured) if "eval" in entries else ()
    package = _package(reader, entries["package"], part) if "package" in entries else ()
    uses += [("recipe", recipe)] if recipe else []
    uses += [("metric", metric) for evaluation in evals for metric in evaluation.metrics]
    uses += [("exporter", exporter) for exporter in package]
    if recipe is None:
        return None
    name = f"{part.path[-1]}{selector_text(member.selector)}"
    return Target(name, recipe, roles, evals, package, part.path, member.selector)


def read_deployment(reader: Reader, part: Part, uses: Uses) -> Deployment | None:
    server = read_use(reader, part, DEPLOYMENT)
    uses += [("server", server)] if server else []
    entry = part.node.entries.get("model") if isinstance(part.node, Map) else None
    if entry is None:
        if part.is_map or part.is_empty:
            reader.problem(part.at, f"missing key 'model' in {part.what}", "add model: TARGET")
        return None
    at = part.child("model", entry.node, entry.key_at, f"the model of {part.what}")
    model = reader.reference(at, "targets")
    return Deployment(str(part.path[-1]), model, server, part.path) if model and server else None


# -- recipe and data ---------------------------------------------------------------------------------


def _recipe(
    reader: Reader, target: Part, entries: Mapping[str, Part], recipes: Recipes, member: Member
) -> Use | None:
    """The target's recipe, with what the target and its matrix lay over it."""
    found = _recipe_part(reader, entries["recipe"], target, recipes) if "recipe" in entries else None
    below = use_entries(reader, found) if found else {}
    base = entries.get("base")
    extra = Layer(Map({"base": Entry(base.key_at, base.node)}, base.at), target.path) if base else None
    params = read_params(reader, below.get("with"), entries.get("with"), extra=extra)
    lay_over(params, member)
    numerics = read_numerics(reader, below.get("numerics"), entries.get("numerics"))
    resources = read_resources(reader, below.get("resources"), entries.get("resources"))
    rule = read_rule(reader, below["use"]) if "use" in below else None
    if found is None or rule is None:
        return None
    label = str(found.path[-1]) if found.path[0] == "recipes" else rule_label(rule)
    use = make_use(rule, label, found.path, params, numerics, resources)
    return replace(use, optional=frozenset(name.partition(".")[0] for name in member.used))


def _recipe_part(reader: Reader, part: Part, target: Part, recipes: Recipes) -> Part | None:
    part = part.called(f"the recipe of {target.what}")
    if part.is_map:
        return part
    name = reader.text(part)
    if name is None:
        return None
    known = reader.names["recipes"]
    if name not in known:
        meant = did_you_mean(name, known)
        fix = f"did you mean {shown(meant)}?" if meant else f"for a rule write {{use: {name}}}"
        reader.problem(part.at, f"no recipe {shown(name)} in 'recipes:'", fix)
    return recipes.get(name)


def _roles(reader: Reader, target: Part, entries: Mapping[str, Part], recipe: Use | None) -> dict[str, str]:
    dataset, roles = entries.get("dataset"), entries.get("roles")
    if dataset and roles:
        reader.problem(
            roles.key_at, f"'dataset' and 'roles' both stand in {target.what}", "keep one of the two"
        )
    if dataset:
        name = reader.reference(dataset, "datasets")
        return {"dataset": name} if name else {}
    if roles:
        found = {role: reader.reference(entry, "datasets") for role, entry in reader.mapping(roles).items()}
        return {role: name for role, name in found.items() if name}
    if recipe and recipe.rule != "command" and ":" not in recipe.rule:
        reader.problem(target.at, f"missing key 'dataset' in {target.what}", "add dataset: NAME")
    return {}


def _check_base(reader: Reader, part: Part) -> None:
    """A base is a hub id, a folder, or a model of this file."""
    text = reader.text(part)
    found = parse_address(text) if text else None
    if found is not None and found.kind == "model" and not found.folder:
        reader.member(part, found, "targets")


# -- eval and package --------------------------------------------------------------------------------


def _evaluations(
    reader: Reader, part: Part, target: Part, datasets: Mapping[str, Dataset], measured: Dataset | None
) -> tuple[Evaluation, ...]:
    part = part.called(f"'eval' of {target.what}")
    if not _are_named(part):
        return (_evaluation(reader, part, "", datasets, measured),)
    return tuple(
        _evaluation(
            reader, entry.called(f"{entry.what} of {target.what}"), str(entry.path[-1]), datasets, measured
        )
        for entry in reader.named(part, "evaluation")
    )


def _are_named(part: Part) -> bool:
    """Several evaluations by name, and not one whose keys stand here."""
    if not isinstance(part.node, Map) or not part.node.entries:
        return False
    entries = part.node.entries.items()
    return all(isinstance(entry.node, Map) for _, entry in entries) and not any(
        key in EVALUATION or did_you_mean(key, EVALUATION) for key, _ in entries
    )


def _evaluation(
    reader: Reader, part: Part, label: str, datasets: Mapping[str, Dataset], measured: Dataset | None
) -> Evaluation:
    entries = reader.section(part, EVALUATION, required=("metrics",))
    dataset = reader.reference(entries["dataset"], "datasets") if "dataset" in entries else None
    measured = datasets.get(dataset) if dataset else measured if "dataset" not in entries else None
    split = reader.text(entries["split"]) if "split" in entries else "test"
    if split:
        check_split(reader, entries.get("split", part).at, split, measured.splits if measured else None)
    metrics = _listed_rules(reader, entries["metrics"], "metric") if "metrics" in entries else ()
    require = read_requirements(reader, entries["require"]) if "require" in entries else ()
    return Evaluation(label, dataset, split or "test", metrics, require, part.path)


def _listed_rules(reader: Reader, part: Part, noun: str) -> tuple[Use, ...]:
    is_name = isinstance(part.value, str) and len(part.value) < 40
    items = reader.items(part, f"write [{part.value}]" if is_name else "write a list of names")
    if not items and part.is_list:
        reader.problem(part.at, f"{part.what} lists nothing", f"name a {noun}, or remove the key")
    found = [read_named_use(reader, item.called(f"{noun} {i + 1}")) for i, item in enumerate(items)]
    return tuple(use for use in found if use)


def _package(reader: Reader, part: Part, target: Part) -> tuple[Use, ...]:
    exporters = _listed_rules(reader, part.called(f"'package' of {target.what}"), "exporter")
    seen: set[str] = set()
    for exporter in exporters:
        if exporter.label in seen:
            at = _item_at(part, exporter)
            reader.problem(
                at.at, f"exporter {shown(exporter.label)} is listed twice", "remove one of the two"
            )
        seen.add(exporter.label)
    return exporters


def _item_at(part: Part, use: Use) -> Part:
    index = use.path[-1]
    node = part.node.items[index] if hasattr(part.node, "items") and isinstance(index, int) else part.node
    return part.child(index, node, node.at, "")
