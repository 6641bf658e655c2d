"""A whole document as a Sparkfile: every section, then what holds across them."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from sparkfile_schema.address import parse_address, selector_text
from sparkfile_schema.datasets import Uses, read_dataset
from sparkfile_schema.keys import ENVIRONMENT, HERMETIC, IMPORT, LIBRARIES, LIMITS, STORE, TOP
from sparkfile_schema.matrix import Matrix, read_matrix, refuse_unused
from sparkfile_schema.model import Dataset, Deployment, Import, Include, ListedKey, Sparkfile, Target, Use
from sparkfile_schema.nodes import Map, Node, Scalar, Sequence
from sparkfile_schema.problems import Position, Problem
from sparkfile_schema.reader import NAME, Part, Reader, TooManyError
from sparkfile_schema.scalars import shown
from sparkfile_schema.targets import read_deployment, read_target
from sparkfile_schema.trust import read_keys
from sparkfile_schema.uses import read_numerics, read_use

_SECTIONS = ("vars", "datasets", "gates", "recipes", "targets", "deployments", "profiles")
_HOUR = 3600.0


def read_sparkfile(root: Map, file: str) -> tuple[Sparkfile, list[Problem]]:
    """All that could be read, and all that is wrong with it."""
    whole_file = Position(file, 1, 1)
    reader = Reader(whole_file, {section: _names(root, section) for section in _SECTIONS})
    try:
        sparkfile = _sparkfile(reader, Part(root, (), whole_file, "the Sparkfile"), file)
    except TooManyError:
        sparkfile = Sparkfile(file, document=root)
    return sparkfile, list(reader.problems)


def _sparkfile(reader: Reader, part: Part, file: str) -> Sparkfile:
    top = reader.section(part, TOP, required=("version", "project"))
    uses: Uses = []
    gates = _named_uses(reader, top.get("gates"), "gate", uses)
    recipes = {str(p.path[-1]): p for p in reader.named(top["recipes"], "recipe")} if "recipes" in top else {}
    read_recipes = _named_uses(reader, top.get("recipes"), "recipe", [])
    reader.matrices["datasets"] = matrices = _matrices(reader, top.get("datasets"), "dataset")
    reader.matrices["targets"] = _matrices(reader, top.get("targets"), "target")
    datasets = _datasets(reader, top.get("datasets"), matrices, gates, uses)
    targets = _targets(reader, top.get("targets"), recipes, datasets, uses)
    uses += [("recipe", use) for use in read_recipes.values() if not _is_used(use, targets)]
    _check_cycles(reader, targets, top.get("targets"))
    store, keys = _store(reader, top.get("store"))
    return Sparkfile(
        file=file,
        version=_version(reader, top.get("version")),
        project=_project(reader, top.get("project")),
        vars=_vars(reader, top.get("vars")),
        include=_included(reader, top.get("include")),
        imports=_imports(reader, top.get("imports")),
        store=store,
        keys=keys,
        environment={"libraries": "compatible", **_environment(reader, top.get("environment"))},
        limits={"ask_above": _HOUR, **_limits(reader, top.get("limits"))},
        numerics=read_numerics(reader, top.get("numerics")),
        datasets=datasets,
        gates=gates,
        recipes=read_recipes,
        targets=targets,
        deployments=_deployments(reader, top.get("deployments"), uses),
        profiles=_profiles(reader, top.get("profiles")),
        uses=tuple(uses),
        env=_env_names(part.node),
        document=part.node,
    )


# -- sections ----------------------------------------------------------------------------------------


def _version(reader: Reader, part: Part | None) -> int:
    if part is not None and (part.value != 1 or isinstance(part.value, bool | float)):
        is_text = isinstance(part.value, str)
        reader.expected(
            part, "1", "write version: 1" if is_text or part.value is None else "this is grammar 1"
        )
    return 1


def _project(reader: Reader, part: Part | None) -> str:
    name = reader.text(part) if part else None
    return name if part and name and reader.is_name(name, part.at, "project") else ""


def _vars(reader: Reader, part: Part | None) -> dict[str, object]:
    found: dict[str, object] = {}
    for entry in reader.named(part, "var") if part else ():
        if isinstance(entry.node, Scalar) and entry.node.names_secret:
            reader.problem(
                entry.at, f"{entry.what} can't hold a secret", "a secret stands only under 'with:'"
            )
        elif entry.value is not None:
            found[str(entry.path[-1])] = entry.value
        else:
            reader.expected(entry, "text, a number, true or false", "write one of these")
    return found


def _included(reader: Reader, part: Part | None) -> tuple[Include, ...]:
    """Each in a folder of its own below this one: the folder is the first word of its addresses."""
    found: dict[str, Include] = {}
    for entry in reader.items(part, "write a list, as in [asr/Sparkfile.yaml]") if part else ():
        text = reader.text(entry)
        if text is None:
            continue
        file = posixpath.normpath(text)
        folder = posixpath.dirname(file)
        if not folder or file.startswith(("/", "../")) or not all(map(_is_word, folder.split("/"))):
            fix = "an included Sparkfile stands in a folder below this one, as in asr/Sparkfile.yaml"
            reader.problem(entry.at, f"{shown(text)} can't be included", fix)
        elif folder in found:
            reader.problem(entry.at, f"{shown(folder)} is included twice", "one Sparkfile a folder")
        else:
            found[folder] = Include(file, folder, entry.path)
    return tuple(found.values())


def _imports(reader: Reader, part: Part | None) -> dict[str, Import]:
    entries = reader.named(part, "import") if part else ()
    read = {str(entry.path[-1]): _import(reader, entry) for entry in entries}
    return {name: one for name, one in read.items() if one}


def _import(reader: Reader, part: Part) -> Import | None:
    """A folder or a URL, or a mapping with whom to believe there."""
    if not part.is_map:
        text = reader.text(part)
        return Import(text) if text else None
    entries = reader.section(part, IMPORT, required=("url",))
    keys = read_keys(reader, entries.pop("keys", None), part.what)
    read = {key: reader.text(entry) or "" for key, entry in entries.items()}
    if (scope := read.get("scope")) and not _is_word(scope):
        reader.problem(
            entries["scope"].at, f"{shown(scope)} is no name of a scope", "the NAME of scopes/NAME"
        )
    return Import(keys=keys, **read) if read.get("url") else None


def _is_word(text: str) -> bool:
    return NAME.fullmatch(text) is not None


def _store(reader: Reader, part: Part | None) -> tuple[dict[str, str], tuple[ListedKey, ...]]:
    entries = reader.section(part, STORE) if part else {}
    keys = read_keys(reader, entries.pop("keys", None))
    read = {key: reader.text(entry) for key, entry in entries.items()}
    return {key: text for key, text in read.items() if text is not None}, keys


def _environment(reader: Reader, part: Part | None) -> dict[str, str]:
    entries = reader.section(part, ENVIRONMENT) if part else {}
    allowed = {"libraries": LIBRARIES, "hermetic": HERMETIC}
    read = {key: reader.choice(entry, allowed[key]) for key, entry in entries.items()}
    return {key: choice for key, choice in read.items() if choice}


def _limits(reader: Reader, part: Part | None) -> dict[str, float]:
    entries = reader.section(part, LIMITS) if part else {}
    seconds = reader.duration(entries["ask_above"]) if "ask_above" in entries else None
    return {} if seconds is None else {"ask_above": seconds}


def _named_uses(reader: Reader, part: Part | None, noun: str, uses: Uses) -> dict[str, Use]:
    found: dict[str, Use] = {}
    for entry in reader.named(part, noun) if part else ():
        name = str(entry.path[-1])
        use = read_use(reader, entry, label=name)
        if use:
            found[name] = use
            uses.append((noun, use))
    return found


def _matrices(reader: Reader, part: Part | None, noun: str) -> dict[str, Matrix]:
    """What each entry declares; names that can't be one are told later."""
    entries = reader.mapping(part).items() if part else ()
    return {name: read_matrix(reader, entry.called(f"{noun} {shown(name)}"), noun) for name, entry in entries}


def _datasets(
    reader: Reader, part: Part | None, matrices: Mapping[str, Matrix], gates: Mapping[str, Use], uses: Uses
) -> dict[str, Dataset]:
    found: dict[str, Dataset] = {}
    for entry in reader.named(part, "dataset") if part else ():
        if isinstance(entry.value, str):
            reader.expected(entry, "a mapping", f"write {{source: {shown(entry.value)[1:-1]}}}")
            continue
        matrix = matrices[str(entry.path[-1])]
        refuse_unused(reader, entry, matrix)
        for member in matrix.members:
            dataset = read_dataset(reader, member.fill(reader, entry), gates, uses, member.selector)
            if dataset:
                found[dataset.name] = dataset
    return found


def _targets(
    reader: Reader,
    part: Part | None,
    recipes: Mapping[str, Part],
    datasets: Mapping[str, Dataset],
    uses: Uses,
) -> dict[str, Target]:
    matrices = reader.matrices["targets"]
    read = [
        read_target(reader, entry, recipes, datasets, uses, member)
        for entry in (reader.named(part, "target") if part else ())
        for member in matrices[str(entry.path[-1])].members
    ]
    return {target.name: target for target in read if target}


def _deployments(reader: Reader, part: Part | None, uses: Uses) -> dict[str, Deployment]:
    read = (
        [read_deployment(reader, entry, uses) for entry in reader.named(part, "deployment")] if part else []
    )
    return {deployment.name: deployment for deployment in read if deployment}


def _profiles(reader: Reader, part: Part | None) -> tuple[str, ...]:
    """The names; what a profile changes is checked where it is laid over the file."""
    found: list[str] = []
    for entry in reader.named(part, "profile") if part else ():
        found.append(str(entry.path[-1]))
        reader.mapping(entry)
    return tuple(found)


# -- across sections ---------------------------------------------------------------------------------


def _is_used(recipe: Use, targets: Mapping[str, Target]) -> bool:
    return any(target.recipe.path == recipe.path for target in targets.values())


def _check_cycles(reader: Reader, targets: Mapping[str, Target], part: Part | None) -> None:
    """A model can't be built on itself; told at the base that closes the circle, the last one in the file."""
    bases = {name: base for name, target in targets.items() if (base := _base_model(target)) in targets}
    done: set[str] = set()
    for start in bases:
        chain: list[str] = []
        name: str | None = start
        while name in bases and name not in done and name not in chain:
            chain.append(name)
            name = bases[name]
        if name in chain and part is not None:
            _tell_cycle(reader, chain[chain.index(name) :], part)
        done.update(chain)


def _tell_cycle(reader: Reader, circle: list[str], part: Part) -> None:
    entries = reader.mapping(part)
    bases = {name: reader.mapping(entries[name.partition("@")[0]])["base"] for name in circle}
    closing = max(circle, key=lambda name: (bases[name].at.line, bases[name].at.column))
    place = circle.index(closing) + 1
    around = [closing, *circle[place:], *circle[:place]]
    message = f"{shown(closing)} is built on itself: {' -> '.join(around)}"
    reader.problem(bases[closing].at, message, "let one of them start from something else")


def _base_model(target: Target) -> str | None:
    """The target that the target-level `base:` names; a tagged result is fixed, so it closes no circle."""
    base = target.recipe.params.get("base")
    is_own = target.recipe.origins.get(("base",)) == (*target.path, "base")
    found = parse_address(base) if is_own and isinstance(base, str) else None
    if found is None or found.kind != "model" or found.folder or found.tag:
        return None
    return found.name + selector_text(found.selector)


def _names(root: Map, section: str) -> tuple[str, ...]:
    entry = root.entries.get(section)
    return tuple(entry.node.entries) if entry and isinstance(entry.node, Map) else ()


def _env_names(root: Node) -> frozenset[str]:
    """Every environment variable that the file names, `profiles` left out."""
    names: set[str] = set()
    seen: set[int] = set()
    left = (
        [entry.node for key, entry in root.entries.items() if key != "profiles"]
        if isinstance(root, Map)
        else []
    )
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Map):
            left.extend(entry.node for entry in node.entries.values())
        elif isinstance(node, Sequence):
            left.extend(node.items)
        elif isinstance(node, Scalar):
            names |= node.env
    return frozenset(names)
