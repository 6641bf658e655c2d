"""Edits: each changes the project as a user, a tool or a crash would, and says what it did."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spark_build.storage.state import State as SparkState
from spark_build.storage.world import FileWorld
from tests.truth import material
from tests.truth.facts import DEFAULTS
from tests.truth.generate import FOLDERS, Draw
from tests.truth.inline import coarse, coarse_clock
from tests.truth.project import Site, State
from tests.truth.render import Layout
from tests.truth.verify import Verifier


class NotHereError(Exception):
    """This project has nothing that the edit could change."""


@dataclass
class Bench:
    """What an edit may reach for."""

    site: Site
    verifier: Verifier
    draw: Draw
    past: list[State]

    @property
    def state(self) -> State:
        return self.site.state

    @property
    def spec(self) -> dict[str, Any]:
        return self.site.state.spec


@dataclass(frozen=True)
class Edit:
    name: str
    apply: Callable[[Bench], str]  # what was done; NotHereError before anything is
    needs: frozenset[str]  # features of the project
    has_meaning: bool


EDITS: dict[str, Edit] = {}


def edit(
    name: str, *needs: str, has_meaning: bool = True
) -> Callable[[Callable[[Bench], str]], Callable[[Bench], str]]:
    def keep(apply: Callable[[Bench], str]) -> Callable[[Bench], str]:
        EDITS[name] = Edit(name, apply, frozenset(needs), has_meaning)
        return apply

    return keep


# files


def a_document(bench: Bench) -> str:
    return bench.draw.one(
        sorted(p for p in bench.state.files if p.startswith("data/") and p.endswith(".txt"))
    )


@edit("content")
def content(bench: Bench) -> str:
    path = a_document(bench)
    bench.site.write(path, f"{bench.draw.text()} anew {bench.draw.number(0, 9)}\n")
    return f"{path}: other words"


@edit("touch", has_meaning=False)
def touch(bench: Bench) -> str:
    path = bench.draw.one(sorted(bench.state.files))
    os.utime(bench.site.root / path)
    return f"{path}: touched"


@edit("same size and mtime")
def same_size_and_mtime(bench: Bench) -> str:
    path = a_document(bench)
    bench.site.write_unseen(path, _of_same_size(bench.state.files[path].content))
    return f"{path}: another letter, at the same size and mtime"


@edit("at once after a look")
def at_once_after_a_look(bench: Bench) -> str:
    """Another process has hashed the file in the very tick in which it changes, again at the same size and mtime."""
    path = a_document(bench)
    text = bench.state.files[path].content
    place = bench.site.root / path
    remembered = SparkState(bench.site.store / "state.db")
    for number in range(2000):
        bench.site.write(path, f"{text[:-1]}{number % 10}\n")
        before = place.stat()
        with coarse_clock():
            FileWorld(bench.site.root, remembered).tree(path.rpartition("/")[0].rpartition("/")[0])
        bench.site.write_unseen(path, _of_same_size(bench.state.files[path].content))
        if coarse(place.stat().st_ctime_ns) == coarse(before.st_ctime_ns):
            break
    remembered.close()
    return f"{path}: written, hashed and written again within one tick of the clock"


@edit("space that the reader strips")
def stripped_space(bench: Bench) -> str:
    path = a_document(bench)
    bench.site.write(
        path, bench.state.files[path].content.rstrip("\n") + " " * bench.draw.number(1, 3) + "\n\n"
    )
    return f"{path}: white space at the end"


@edit("file added")
def file_added(bench: Bench) -> str:
    path = f"{bench.draw.one(FOLDERS)}/{bench.draw.one(['train', 'test'])}/n{bench.draw.number(0, 99)}.txt"
    if path in bench.state.files or not any(p.startswith(path[:6]) for p in bench.state.files):
        raise NotHereError
    bench.site.write(path, f"{bench.draw.text()} new\n")
    return f"{path}: added"


@edit("file deleted")
def file_deleted(bench: Bench) -> str:
    path = a_document(bench)
    folder = path.rpartition("/")[0]
    if sum(p.startswith(f"{folder}/") for p in bench.state.files) < 2:
        raise NotHereError
    bench.site.delete(path)
    return f"{path}: deleted"


@edit("file renamed")
def file_renamed(bench: Bench) -> str:
    path = a_document(bench)
    to = f"{path.rpartition('/')[0]}/r{bench.draw.number(0, 99)}.txt"
    if to in bench.state.files:
        raise NotHereError
    bench.site.rename(path, to)
    return f"{path}: renamed to {to}"


@edit("executable bit")
def executable_bit(bench: Bench) -> str:
    path = a_document(bench)
    bench.site.set_executable(path, not bench.state.files[path].executable)
    return f"{path}: executable or no more"


@edit("checkout by git", has_meaning=False)
def checkout_by_git(bench: Bench) -> str:
    """Every file is another one with the same content, at a time of its own."""
    for number, path in enumerate(sorted(bench.state.files)):
        place = bench.site.root / path
        beside = place.with_name(f"{place.name}.new")
        shutil.copyfile(place, beside)
        shutil.copymode(place, beside)
        beside.replace(place)
        os.utime(place, (1.7e9 + number, 1.7e9 + number))
    return "all files written anew, as git does"


@edit("file that nobody reads", has_meaning=False)
def unread_file(bench: Bench) -> str:
    path = bench.draw.one(
        [
            "notes.txt",
            "data/a/.DS_Store",
            "data/a/train/__pycache__/x.pyc",
            "other/b.txt",
            "helpers/unused.py",
        ]
    )
    bench.site.write(path, f"# {bench.draw.number(0, 999)}\n")
    return f"{path}: written"


# the Sparkfile


def _rewritten(bench: Bench, told: str) -> str:
    bench.site.write_sparkfile()
    return told


VALUES: dict[str, list[Any]] = {
    "least": [0, 1, 2, 3], "factor": [1, 2, 3], "cut": [0, 5, 20, 40], "most": [30, 60, 80, 90], "min_words": [1, 2, 3],
    "word": ["alpha", "beta", "gamma"], "epochs": [1, 2, 3, 4], "rate": [0.5, 0.25, 2.5], "scale": [1, 2, 3],
    "title": ["one", "two"], "times": [1, 2, "three"], "include": [["*.txt"], ["*0.txt"]], "tag": ["1.0", "1.1"],
}  # fmt: skip


def param_places(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(label, the mapping under `with`, param) of each that a stage may hang on."""
    used = {g for d in spec["datasets"].values() for g in d.get("gates", []) if isinstance(g, str)}
    uses = [(f"gates.{n}", g) for n, g in spec["gates"].items() if n in used]
    for name, dataset in spec["datasets"].items():
        uses += [(f"datasets.{name}.transforms", t) for t in dataset.get("transforms", [])]
        uses += [(f"datasets.{name}.gates", g) for g in dataset.get("gates", []) if isinstance(g, dict)]
        if isinstance(dataset["source"], dict):
            uses.append((f"datasets.{name}.source", dataset["source"]))
    for name, target in spec.get("targets", {}).items():
        uses += [(f"targets.{name}.eval", m) for m in target.get("eval", {}).get("metrics", [])]
        uses += [(f"targets.{name}.package", p) for p in target.get("package", [])]
        uses.append((f"recipes.{target['recipe']}", spec["recipes"][target["recipe"]]))
        if spec["recipes"][target["recipe"]]["use"] != "command" and target.get("with"):
            yield f"targets.{name}", target["with"], "epochs"
    for label, use in uses:
        values = use.setdefault("with", {})
        known = DEFAULTS.get(use["use"].removeprefix("./"), {})
        for param in sorted({*known, *values}):
            if param in VALUES:
                yield label, values, param
        if "params" in values:
            for param in sorted(values["params"]):
                yield f"{label}.params", values["params"], param


@edit("param")
def param(bench: Bench) -> str:
    places = list(param_places(bench.spec))
    if not places:
        raise NotHereError
    label, values, name = bench.draw.one(places)
    before = values.get(name)
    values[name] = bench.draw.other(VALUES[name], before)
    return _rewritten(bench, f"{label}.{name}: {before!r} → {values[name]!r}")


def param_taken_out(bench: Bench) -> str:
    places = [
        p
        for p in param_places(bench.spec)
        if p[2] in p[1] and not p[0].endswith(".params") and p[2] != "min_words"
    ]
    if not places:
        raise NotHereError
    label, values, name = bench.draw.one(places)
    del values[name]
    return _rewritten(bench, f"{label}.{name}: taken out, so that its default counts")


def default_written_out(bench: Bench) -> str:
    rules = {**{f"./{r}": d for r, d in DEFAULTS.items() if ".py" in r}, "tagged": DEFAULTS["tagged"]}
    places = []
    for use in _uses(bench.spec):
        known = rules.get(use.get("use"), {})
        places += [(use, p, v) for p, v in known.items() if p not in use.get("with", {})]
    if not places:
        raise NotHereError
    use, name, value = bench.draw.one(places)
    use.setdefault("with", {})[name] = value
    return _rewritten(bench, f"{use['use']}: {name} written out as {value!r}, its default")


@edit("param and its default")
def param_and_its_default(bench: Bench) -> str:
    return bench.draw.one([param_taken_out, default_written_out])(bench)


@edit("gate order", "gates")
def gate_order(bench: Bench) -> str:
    datasets = [n for n, d in bench.spec["datasets"].items() if len(d.get("gates", [])) > 1]
    if not datasets:
        raise NotHereError
    name = bench.draw.one(datasets)
    gates = bench.spec["datasets"][name]["gates"]
    gates.append(gates.pop(0))
    return _rewritten(bench, f"{name}: its gates in another order")


def gate_added(bench: Bench) -> str:
    name = bench.draw.one(sorted(bench.spec["datasets"]))
    gates = bench.spec["datasets"][name].setdefault("gates", [])
    free = [g for g in ("words", "long", "short") if g in bench.spec["gates"] and g not in gates]
    if not free:
        raise NotHereError
    gates.insert(bench.draw.number(0, len(gates)), bench.draw.one(free))
    return _rewritten(bench, f"{name}: gates {gates}")


def gate_taken_out(bench: Bench) -> str:
    datasets = [n for n, d in bench.spec["datasets"].items() if d.get("gates")]
    if not datasets:
        raise NotHereError
    name = bench.draw.one(datasets)
    gates = bench.spec["datasets"][name]["gates"]
    gates.pop(bench.draw.number(0, len(gates) - 1))
    if not gates:
        del bench.spec["datasets"][name]["gates"]
    return _rewritten(bench, f"{name}: gates {gates}")


@edit("gate list", "gates")
def gate_list(bench: Bench) -> str:
    return bench.draw.one([gate_added, gate_taken_out])(bench)


@edit("var", "vars", "models")
def var(bench: Bench) -> str:
    name = bench.draw.one(sorted(bench.spec["vars"]))
    values = ["alpha", "beta", "gamma"] if name == "word" else [0, 1, 2]
    before = bench.spec["vars"][name]
    bench.spec["vars"][name] = bench.draw.other(values, before)
    return _rewritten(bench, f"vars.{name}: {before!r} → {bench.spec['vars'][name]!r}")


@edit("profile")
def profile(bench: Bench) -> str:
    bench.state.profile = None if bench.state.profile else "quick"
    return f"from now on with profile {bench.state.profile}"


@edit("set")
def override(bench: Bench) -> str:
    bench.state.sets = () if bench.state.sets else (f"recipes.tiny.with.epochs={bench.draw.number(5, 9)}",)
    return f"from now on with --set {bench.state.sets}"


def comment(bench: Bench) -> str:
    return _laid_out(bench, comments=bench.draw.number(1, 99))


def white_space(bench: Bench) -> str:
    return _laid_out(bench, spaces=bench.draw.number(1, 99))


def order_of_keys(bench: Bench) -> str:
    return _laid_out(bench, order=bench.draw.number(1, 99))


@edit("comments, white space, order of keys", has_meaning=False)
def comments_white_space_order_of_keys(bench: Bench) -> str:
    return bench.draw.one([comment, white_space, order_of_keys])(bench)


def _laid_out(bench: Bench, **changed: int) -> str:
    before = bench.state.layout
    bench.state.layout = Layout(
        **{"comments": before.comments, "spaces": before.spaces, "order": before.order, **changed}
    )
    return _rewritten(bench, f"layout {changed}")


@edit("require loosened", "require", has_meaning=False)
def require_loosened(bench: Bench) -> str:
    places = _requires(bench.spec)
    if not places:
        raise NotHereError
    values, name = bench.draw.one(places)
    values[name] = f">= -{bench.draw.number(1, 50)}"
    return _rewritten(bench, f"require {name}: {values[name]}")


@edit("require not met", "require", has_meaning=False)
def require_not_met(bench: Bench) -> str:
    places = _requires(bench.spec)
    if not places:
        raise NotHereError
    values, name = bench.draw.one(places)
    values[name] = "> 1000" if "1000" not in values[name] else ">= 0"
    return _rewritten(bench, f"require {name}: {values[name]}")


def _requires(spec: dict[str, Any]) -> list[tuple[dict[str, str], str]]:
    found = [(d["require"], "items") for d in spec["datasets"].values() if "require" in d]
    return found + [
        (t["eval"]["require"], "score")
        for t in spec.get("targets", {}).values()
        if "require" in t.get("eval", {})
    ]


@edit("card")
def card(bench: Bench) -> str:
    name = bench.draw.one(sorted(bench.spec["datasets"]))
    values = bench.spec["datasets"][name]["card"]
    if bench.draw.chance(30):
        values["description"] = f"what it is, take {bench.draw.number(0, 99)}"
    else:
        values["license"] = bench.draw.other(["mit", "cc-by-4.0", "apache-2.0"], values["license"])
    return _rewritten(bench, f"{name}: card {values}")


def unused_rule(bench: Bench) -> str:
    values = bench.spec["gates"]["spare"]["with"]
    values["least"] = bench.draw.other([3, 4, 5, 6], values["least"])
    return _rewritten(bench, f"gates.spare, which nobody uses: {values}")


def target_renamed(bench: Bench) -> str:
    targets = bench.spec.get("targets")
    if not targets:
        raise NotHereError
    _rename(bench, "targets", bench.draw.one(sorted(targets)))
    return _rewritten(bench, f"targets are now {', '.join(bench.spec['targets'])}")


def dataset_renamed(bench: Bench) -> str:
    _rename(bench, "datasets", bench.draw.one(sorted(bench.spec["datasets"])))
    return _rewritten(bench, f"datasets are now {', '.join(bench.spec['datasets'])}")


@edit("target or dataset renamed", has_meaning=False)
def target_or_dataset_renamed(bench: Bench) -> str:
    return bench.draw.one([target_renamed, dataset_renamed])(bench)


@edit("gate renamed", "gates")
def gate_renamed(bench: Bench) -> str:
    """What a gate drops is kept under its name, so that this has a meaning."""
    used = sorted(
        {g for d in bench.spec["datasets"].values() for g in d.get("gates", []) if isinstance(g, str)}
    )
    if not used:
        raise NotHereError
    name = bench.draw.one(used)
    new = f"{name.partition('-')[0]}-{bench.draw.number(10, 99)}"
    if new in bench.spec["gates"]:
        raise NotHereError
    bench.state.origin[f"gates.{new}"] = bench.state.identity("gates", name)
    for profile in (bench.spec, *bench.spec["profiles"].values()):
        profile["gates"] = {new if n == name else n: v for n, v in profile["gates"].items()}
    for dataset in bench.spec["datasets"].values():
        if name in dataset.get("gates", []):
            dataset["gates"] = [new if g == name else g for g in dataset["gates"]]
    return _rewritten(bench, f"gate {name} renamed to {new}")


def _rename(bench: Bench, section: str, name: str) -> None:
    new = f"{name.partition('-')[0]}-{bench.draw.number(10, 99)}"
    known = bench.spec[section]
    if new in known:
        raise NotHereError
    bench.spec[section] = {new if n == name else n: v for n, v in known.items()}
    kind = {"targets": "model", "datasets": "dataset"}[section]
    for target in bench.spec.get("targets", {}).values():
        if kind == "dataset" and target["dataset"] == name:
            target["dataset"] = new
        if target.get("base") == f"{kind}:{name}":
            target["base"] = f"{kind}:{new}"
    for gate in bench.spec["gates"].values():
        if gate.get("with", {}).get("model") == f"{kind}:{name}":
            gate["with"]["model"] = f"{kind}:{new}"
    for deployment in bench.spec.get("deployments", {}).values():
        if kind == "model" and deployment["model"] == name:
            deployment["model"] = new


@edit("splits")
def splits(bench: Bench) -> str:
    name = bench.draw.one(sorted(bench.spec["datasets"]))
    spec = bench.spec["datasets"][name]
    before = spec.pop("splits", None)
    if before is None:
        spec["splits"] = "keep"
    return _rewritten(bench, f"{name}: splits {before!r} → {spec.get('splits')!r}")


@edit("numerics", "models")
def numerics(bench: Bench) -> str:
    before = bench.spec.get("numerics", {}).get("threads", 1)
    bench.spec["numerics"] = {"threads": 3 - before}
    return _rewritten(bench, f"numerics.threads {before} → {3 - before}")


def resources(bench: Bench) -> str:
    recipe = bench.spec["recipes"]["tiny"]  # resources and Unkeyed params never count
    recipe["resources"] = {"cpus": bench.draw.number(1, 2)}
    recipe["with"]["log_every"] = bench.draw.number(1, 99)
    return _rewritten(bench, f"recipes.tiny: {recipe['resources']}, log_every {recipe['with']['log_every']}")


@edit("unused rule, resources", has_meaning=False)
def what_counts_nowhere(bench: Bench) -> str:
    return bench.draw.one([unused_rule, resources])(bench)


@edit("folder moved", has_meaning=False)
def folder_moved(bench: Bench) -> str:
    """The same documents elsewhere, and the Sparkfile says where."""
    sources = [d["source"] for d in bench.spec["datasets"].values()]
    old = FOLDERS[0] if any(p.startswith(f"{FOLDERS[0]}/") for p in bench.state.files) else "data/c"
    new = "data/c" if old == FOLDERS[0] else FOLDERS[0]
    for path in [p for p in bench.state.files if p.startswith(f"{old}/")]:
        bench.site.rename(path, path.replace(old, new, 1))
    shutil.rmtree(bench.site.root / old)
    for name, dataset in bench.spec["datasets"].items():
        if dataset["source"] == old:
            bench.spec["datasets"][name]["source"] = new
    for source in sources:
        for place in (source["with"], source["with"].get("inputs", {})) if isinstance(source, dict) else ():
            for key in ("path", "raw"):
                if place.get(key) == old:
                    place[key] = new
    return _rewritten(bench, f"{old} moved to {new}")


@edit("target added")
def target_added(bench: Bench) -> str:
    targets = bench.spec.setdefault("targets", {})
    if "extra" in targets or len(targets) > 2:
        raise NotHereError
    targets["extra"] = {
        "recipe": "tiny",
        "dataset": sorted(bench.spec["datasets"])[0],
        "with": {"rate": 0.125},
    }
    return _rewritten(bench, "target extra added")


@edit("other dataset of a target", "models", "two datasets", "no model as a gate")
def other_dataset(bench: Bench) -> str:
    """A model is trained on what it was not trained on before."""
    targets = bench.spec.get("targets", {})
    if len(bench.spec["datasets"]) < 2 or "judged" in bench.spec["gates"] or not targets:
        raise NotHereError
    name = bench.draw.one(sorted(targets))
    before = targets[name]["dataset"]
    targets[name]["dataset"] = bench.draw.other(sorted(bench.spec["datasets"]), before)
    return _rewritten(bench, f"targets.{name}.dataset: {before} → {targets[name]['dataset']}")


# environment


@edit("variable that is named", "env", "models")
def named_variable(bench: Bench) -> str:
    name = bench.draw.one(["FUZZ_WORD", "FUZZ_NAMED"])
    bench.state.env[name] = bench.draw.other(["hello", "one", "two", "three"], bench.state.env.get(name))
    return f"{name}={bench.state.env[name]}"


@edit("variable that is not named", has_meaning=False)
def other_variable(bench: Bench) -> str:
    name = bench.draw.one(["FUZZ_OTHER", "LANG", "TZ", "PYTHONHASHSEED", "SPARK_NOTHING"])
    bench.state.env[name] = bench.draw.other(["0", "1", "2"], bench.state.env.get(name))
    return f"{name}={bench.state.env[name]}, which nobody names"


def library(bench: Bench) -> str:
    before = bench.state.libraries["sparkle"]
    minor, patch = (int(n) for n in before.split(".")[1:])
    version = f"1.{minor}.{patch + 1}" if bench.draw.chance(30) else f"1.{minor + 1}.0"
    bench.site.set_library("sparkle", version)
    return f"sparkle {before} → {version}"


def unnamed_library(bench: Bench) -> str:
    bench.site.set_library("unused", f"{bench.draw.number(4, 99)}.0")
    return f"unused is {bench.state.libraries['unused']}"


@edit("library", "models")
def any_library(bench: Bench) -> str:
    return bench.draw.one([library, unnamed_library])(bench)


@edit("rule revision", "plugin", "gates")
def rule_revision(bench: Bench) -> str:
    text = bench.state.packages.get("fuzzrules/gates.py")
    if text is None:
        raise NotHereError
    number = int(text.partition("revision = ")[2].partition("\n")[0])
    bench.site.write_package(
        "fuzzrules/gates.py", text.replace(f"revision = {number}", f"revision = {number + 1}")
    )
    return f"the package's gate has revision {number + 1}"


def tool(bench: Bench) -> str:
    said = bench.state.files["bin/mill"].content.split()[-1]
    bench.site.write("bin/mill", material.mill(int(said) + 1))
    return f"bin/mill says {int(said) + 1}"


def tools_binary(bench: Bench) -> str:
    said = bench.state.files["bin/mill"].content.split()[-1]
    bench.site.write("bin/mill", material.mill(int(said), bench.draw.number(1, 999)))
    return "bin/mill is another binary that says the same"


@edit("tool", "command")
def any_tool(bench: Bench) -> str:
    return bench.draw.one([tool, tools_binary])(bench)


# code


@edit("helper of a rule", "gates")
def helper(bench: Bench) -> str:
    path = bench.draw.one(["helpers/words.py", "helpers/deep.py"])
    text = bench.state.files[path].content
    name = "FACTOR" if path == "helpers/words.py" else "SALT"
    number = int(text.partition(f"{name} = ")[2].split()[0])
    new = text.replace(f"{name} = {number}", f"{name} = {_next_of_same_length(number)}")
    if bench.draw.chance(40):
        bench.site.write_unseen(path, new)
        return f"{path}: {name} is {_next_of_same_length(number)}, at the same size and mtime"
    bench.site.write(path, new)
    return f"{path}: {name} is {_next_of_same_length(number)}"


@edit("rule's own file")
def rule_file(bench: Bench) -> str:
    path = bench.draw.one(sorted(material.OWN_RULES))
    bench.site.write(path, f"{bench.state.files[path].content}# {bench.draw.number(0, 999)}\n")
    return f"{path}: a comment"


@edit("script", "command")
def script(bench: Bench) -> str:
    path = bench.draw.one(["scripts/gen.sh", "scripts/train.sh"])
    bench.site.write(path, f"{bench.state.files[path].content}# {bench.draw.number(0, 999)}\n")
    return f"{path}: a comment"


@edit("code file of a command", "command")
def code_file(bench: Bench) -> str:
    path = bench.draw.one(["scripts/lib/a.cfg", "scripts/lib/b.cfg"])
    bench.site.write(path, f"{bench.draw.one(['one', 'two', 'six'])} {bench.draw.number(0, 99)}\n")
    return f"{path}: {bench.state.files[path].content.strip()}"


# the store


@edit("object deleted")
def object_deleted(bench: Bench) -> str:
    place = _an_object(bench)
    place.unlink()
    return f"object {place.parent.name}{place.name[:8]} deleted"


@edit("object damaged")
def object_damaged(bench: Bench) -> str:
    place = _an_object(bench)
    _flip(place)
    return f"object {place.parent.name}{place.name[:8]} damaged"


@edit("object rotten")
def object_rotten(bench: Bench) -> str:
    place = _an_object(bench)
    stat = place.stat()
    _flip(place)
    os.utime(place, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    bench.verifier.is_rotten = True
    return f"object {place.parent.name}{place.name[:8]} rotten, its stat as it was"


def _an_object(bench: Bench) -> Path:
    """Of a result as it stands, or any."""
    outputs = sorted({s.output for s in bench.verifier.ledger.settled.values()})
    objects = sorted((bench.site.store / "objects").glob("??/*"))
    if not outputs or not objects:
        raise NotHereError
    bench.verifier.may_be_damaged = True
    if bench.draw.chance(40):
        output = bench.draw.one(outputs)
        place = bench.site.store / "objects" / output[:2] / output[2:]
        if place.exists():
            return place
    return bench.draw.one(objects)


def _flip(place: Path) -> None:
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.chmod(0o644)
    place.write_bytes(data)


@edit("lock deleted", has_meaning=False)
def lock_deleted(bench: Bench) -> str:
    (bench.site.root / "Sparkfile.lock").unlink(missing_ok=True)
    return "Sparkfile.lock deleted"


@edit("state.db deleted", has_meaning=False)
def state_deleted(bench: Bench) -> str:
    (bench.site.store / "state.db").unlink(missing_ok=True)
    return ".spark/state.db deleted"


@edit("memo deleted", has_meaning=False)
def memo_deleted(bench: Bench) -> str:
    for name in ("memo", "logs", "work", "tmp"):
        shutil.rmtree(bench.site.store / name, ignore_errors=True)
    return ".spark/memo, logs, work and tmp deleted"


@edit("journal deleted", has_meaning=False)
def journal_deleted(bench: Bench) -> str:
    shutil.rmtree(bench.site.store / "builds", ignore_errors=True)
    told = ".spark/builds deleted"
    if bench.draw.chance(60):
        (bench.site.store / "state.db").unlink(missing_ok=True)
        bench.verifier.ledger.forget_journal()
        told += ", and state.db"
    return told


@edit("record deleted")
def record_deleted(bench: Bench) -> str:
    records = sorted((bench.site.store / "records").glob("??/*.json"))
    if not records:
        raise NotHereError
    record = bench.draw.one(records)
    stage = json.loads(record.read_text())["stage"]
    record.unlink()
    bench.verifier.ledger.forget_record(bench.verifier.real_keys[record.stem])
    return f"a Record of {stage} deleted"


def store_deleted(bench: Bench) -> str:
    shutil.rmtree(bench.site.store)
    bench.verifier.ledger.forget_store()
    return ".spark deleted"


# while a build runs


@edit("while a build runs")
def while_a_build_runs(bench: Bench) -> str:
    """A document changes so that something runs; while it runs, what is read changes again."""
    first = a_document(bench)
    bench.site.write(first, f"{bench.draw.text()} first\n")
    is_code = bench.draw.chance(40)
    path = bench.draw.one(sorted(material.HELPERS)) if is_code else a_document(bench)
    more = f"# {bench.draw.number(0, 999)}\n" if is_code else f"{bench.draw.text()} meanwhile\n"
    number, when = bench.draw.number(0, 3), bench.draw.one(["before", "after"])

    def change() -> str:
        bench.site.write(path, bench.state.files[path].content + more if is_code else more)
        return path

    bench.verifier.round_with_edit(bench.draw.number(0, 99), change, number, when)
    return f"{first} changed, and {path} {when} stage {number + 1} of the build that follows had run"


# the whole


@edit("undone", has_meaning=False)
def undone(bench: Bench) -> str:
    """Back to an earlier state, all results of which are known; what the store has lost meanwhile stays lost."""
    number = bench.draw.number(1, len(bench.past))
    bench.site.become(bench.past[-number])
    return f"{number} edits undone"


@edit("another checkout path", has_meaning=False)
def another_path(bench: Bench) -> str:
    copies = bench.draw.chance(50)
    bench.site.move(keeps_store=True, copies=copies)
    return f"{'copied' if copies else 'moved'} to {bench.site.root.name}"


def checkout_without_store(bench: Bench) -> str:
    bench.site.move(keeps_store=False, copies=True)
    bench.verifier.ledger.forget_store()
    return f"cloned to {bench.site.root.name}, with the lock and without .spark"


@edit("store left behind")
def store_left_behind(bench: Bench) -> str:
    return bench.draw.one([store_deleted, checkout_without_store])(bench)


def _uses(values: Any) -> Iterator[dict[str, Any]]:
    if isinstance(values, dict):
        if "use" in values:
            yield values
        for key, inner in values.items():
            if key not in ("with", "profiles"):
                yield from _uses(inner)
    elif isinstance(values, list):
        for inner in values:
            yield from _uses(inner)


def _of_same_size(text: str) -> str:
    letter = "z" if text[0] != "z" else "y"
    return letter + text[1:]


def _next_of_same_length(number: int) -> int:
    top = 10 ** len(str(number))
    return number + 1 if number + 1 < top else top // 10
