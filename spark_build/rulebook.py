"""The rulebook: from the name of a rule to the file and class that it stands for."""

import importlib.util
import inspect
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from spark_build.contract.rules import Rule
from spark_build.core.bytecode import drop_stale_bytecode
from spark_build.core.disk import disk_problem
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.values import Struct, replace

FAMILIES = {
    "source": "sources",
    "transform": "transforms",
    "gate": "gates",
    "versioner": "versioning",
    "recipe": "recipes",
    "metric": "metrics",
    "exporter": "packaging",
    "server": "serving",
}
ENTRY_POINTS = "spark_build.rules"  # names there read 'family.rule'


class Found(Struct, frozen=True):
    rule: type[Rule]
    impl: str  # 'module:Class', or './my_gate.py:MyGate'
    is_own: bool  # of the user's project: keyed by source, not by revision
    file: str | None = None  # of a rule that a package brings


def find(family: str, name: str, project: Path) -> Found:
    """The rule of that name. Errors: UsageError, which lists what there is."""
    if name.startswith((".", "/")) or ".py:" in name:
        return _own(family, name, project)
    package = FAMILIES[family]
    if name in names(family):
        module = importlib.import_module(f"spark_build.{package}.{name}")
        return _the_one(family, module, f"{module.__name__}")
    for entry in _entry_points():
        if entry.name == f"{family}.{name}":
            found = _checked(family, _loaded(entry), entry.value)
            return replace(found, file=inspect.getsourcefile(found.rule))
    raise UsageError(f"no {family} '{name}'", fix=_known(family))


@lru_cache
def names(family: str) -> tuple[str, ...]:
    """Names of the built-in rules of a family, and of those that installed packages bring."""
    folder = Path(__file__).parent / FAMILIES[family]
    built_in = [f.stem for f in folder.glob("*.py") if not f.stem.startswith("_")]
    return tuple(sorted(n for n in built_in if _is_rule_file(folder / f"{n}.py", family)))


def plugin_names(family: str) -> tuple[str, ...]:
    prefix = f"{family}."
    return tuple(sorted(e.name.removeprefix(prefix) for e in _entry_points() if e.name.startswith(prefix)))


def schemas() -> dict[str, dict[str, dict[str, Any]]]:
    """JSON Schema of every rule's Params, by family and name."""
    here = Path.cwd()
    return {
        family: {
            n: find(family, n, here).rule.Params.model_json_schema()
            for n in (*names(family), *plugin_names(family))
        }
        for family in FAMILIES
    }


_BASES = {
    "source": ("Source",),
    "transform": ("Transform",),
    "gate": ("ItemGate", "JoinGate"),
    "versioner": ("Versioner",),
    "recipe": ("Recipe",),
    "metric": ("Metric",),
    "exporter": ("Exporter",),
    "server": ("Server",),
}


@lru_cache
def _is_rule_file(file: Path, family: str) -> bool:
    """Whether the file says `class X(Base):` with a base of the family, seen without importing it."""
    import ast

    tree = ast.parse(file.read_bytes())
    # a rule may stand on a shared base of its family's own shelf, so any class with `revision` or a family base counts
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            bases = {b.id for b in node.bases if isinstance(b, ast.Name)}
            assigned = {
                t.id
                for stmt in node.body
                if isinstance(stmt, ast.Assign | ast.AnnAssign)
                for t in (stmt.targets if isinstance(stmt, ast.Assign) else [stmt.target])
                if isinstance(t, ast.Name)
            }
            if bases & set(_BASES[family]) or {"revision", "Params"} & assigned:
                return True
    return False


def _the_one(family: str, module: ModuleType, impl: str) -> Found:
    rules = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Rule)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
        and not value.__name__.startswith("_")
    ]
    if len(rules) != 1:
        raise RuntimeError(f"BUG: {module.__name__} holds {len(rules)} rules, a rule's file holds one")
    return _checked(family, rules[0], f"{impl}:{rules[0].__name__}")


def _checked(family: str, rule: type[Rule], impl: str) -> Found:
    if rule.family != family:
        raise UsageError(f"{impl} is a {rule.family}, not a {family}", fix=_known(family))
    return Found(rule, impl, is_own=False)


def _own(family: str, name: str, project: Path) -> Found:
    path, colon, class_name = name.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise UsageError(f"'{name}' names no class", fix="write ./my_gate.py:MyGate")
    file = (project / path).resolve()
    if not file.is_file():
        raise UsageError(f"{path}: not there", fix="a rule's path is relative to the Sparkfile's folder")
    if not file.is_relative_to(project.resolve()):
        raise UsageError(f"{path} lies outside of the project", fix="copy it into the Sparkfile's folder")
    rule = getattr(load_file(file, project), class_name, None)
    if not (inspect.isclass(rule) and issubclass(rule, Rule)):
        raise UsageError(f"{path} has no rule class '{class_name}'", fix=f"class {class_name}(ItemGate): …")
    if rule.family != family:
        raise UsageError(f"{name} is a {rule.family}, not a {family}", fix=_known(family))
    if lacking := _unwritten(rule):
        raise UsageError(
            f"{path}: '{class_name}' has no {' and no '.join(lacking)}", fix=f"def {lacking[0]}(self, …): …"
        )
    relative = "./" + file.relative_to(project.resolve()).as_posix()
    return Found(rule, f"{relative}:{class_name}", is_own=True)


def _unwritten(rule: type[Rule]) -> list[str]:
    """The methods that its family asks for and that nobody wrote."""
    return sorted(n for n in dir(rule) if getattr(getattr(rule, n), "__isabstractmethod__", False))


def load_file(file: Path, project: Path) -> ModuleType:
    """A user's own file as a module; the project's folder is importable for its helpers."""
    from spark_build.stages import load_rule_file

    try:
        return load_rule_file(file, project)
    except SparkError:
        raise
    except OSError as error:
        raise disk_problem(error, file.name) from error
    except Exception as error:
        raise UsageError(f"{file.name} can't be imported: {type(error).__name__}: {error}") from error


@cache  # each look reads every installed package's folder
def _entry_points() -> list[Any]:
    from importlib.metadata import entry_points

    return list(entry_points(group=ENTRY_POINTS))


def _loaded(entry: Any) -> Any:
    """A package's rule as its file says it today: it states the revision that the key holds."""
    spec = importlib.util.find_spec(entry.module)
    if spec is not None and spec.origin is not None:
        drop_stale_bytecode(spec.origin)
    return entry.load()


def _known(family: str) -> str:
    return (
        f"there are {', '.join((*names(family), *plugin_names(family)))}; or your own: ./my_{family}.py:Class"
    )
