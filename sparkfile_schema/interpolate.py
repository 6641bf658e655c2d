"""`${vars.X}` and `${env.X}` replaced by what they stand for; `${secret.X}` and any other `${…}` stay.

`${matrix.X}` becomes a mark, since each member of a matrix has another value for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from sparkfile_schema.nodes import Entry, Map, Node, Scalar, Sequence, Unreadable
from sparkfile_schema.problems import Problem
from sparkfile_schema.scalars import shown
from sparkfile_schema.suggest import did_you_mean

_REFERENCE = re.compile(r"\$\$\{|\$\{(vars|env|secret|matrix)\.([^{}]*)\}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_TEXT = 2**20  # a var used a thousand times in one text could fill the memory
_MOST_TEXT = 2**24
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")


def interpolate(
    root: Map, env: Mapping[str, str], *, is_unset_told: bool = True
) -> tuple[Map, list[Problem]]:
    """The document with its references replaced, all but in `profiles`, and those that point at nothing."""
    work = _Interpolation(env, _scalars(root), is_unset_told)
    entries = {
        key: entry if key in ("vars", "profiles") else Entry(entry.key_at, work.section(key, entry.node))
        for key, entry in root.entries.items()
    }
    if "vars" in entries:
        entries["vars"] = Entry(entries["vars"].key_at, work.own_vars(entries["vars"].node))
    return Map(entries, root.at), work.problems


def _scalars(root: Map) -> dict[str, Node]:
    vars_entry = root.entries.get("vars")
    node = vars_entry.node if vars_entry else None
    return {name: entry.node for name, entry in node.entries.items()} if isinstance(node, Map) else {}


class _Interpolation(Struct):
    env: Mapping[str, str]
    vars: Mapping[str, Node]
    is_unset_told: bool
    problems: list[Problem] = field(default_factory=list)
    done: dict[int, Node] = field(default_factory=dict)  # nodes that aliases repeat are replaced once
    is_in_vars: bool = False
    matrix: tuple[str, ...] | None = None  # names of the matrix around; None where there is none
    characters: int = 0

    def node(self, node: Node) -> Node:
        found = self.done.get(id(node))
        if found is None:
            found = self.done[id(node)] = self._new(node)
        return found

    def section(self, key: str, node: Node) -> Node:
        if key not in ("datasets", "targets") or not isinstance(node, Map):
            return self.node(node)
        named = {name: Entry(e.key_at, self._declaration(e.node)) for name, e in node.entries.items()}
        return Map(named, node.at)

    def _declaration(self, node: Node) -> Node:
        """A dataset or target, in which `${matrix.X}` may stand where it has a matrix."""
        matrix = node.entries.get("matrix") if isinstance(node, Map) else None
        if matrix is None or not isinstance(node, Map):
            return self.node(node)
        own = Entry(matrix.key_at, self.node(matrix.node))
        shared, self.done = self.done, {}
        self.matrix = tuple(matrix.node.entries) if isinstance(matrix.node, Map) else ()
        entries = {k: Entry(e.key_at, self.node(e.node)) for k, e in node.entries.items() if k != "matrix"}
        self.matrix, self.done = None, shared
        return Map({**entries, "matrix": own}, node.at)

    def own_vars(self, node: Node) -> Node:
        """The vars themselves: they may name the environment, but not each other."""
        self.done, self.is_in_vars = {}, True
        return self.node(node)

    def _new(self, node: Node) -> Node:
        if isinstance(node, Map):
            return Map({k: Entry(e.key_at, self.node(e.node)) for k, e in node.entries.items()}, node.at)
        if isinstance(node, Sequence):
            return Sequence(tuple(self.node(item) for item in node.items), node.at)
        if isinstance(node, Scalar) and isinstance(node.value, str) and "${" in node.value:
            return self._scalar(node, node.value)
        return node

    def _scalar(self, node: Scalar, text: str) -> Node:
        whole = _REFERENCE.fullmatch(text)
        if whole and whole[1] == "vars" and not self.is_in_vars:
            var = self.vars.get(whole[2])
            if isinstance(var, Scalar) and not isinstance(var.value, str):
                return replace(node, value=var.value)
        try:
            template = _REFERENCE.sub(self._var, text)
            return self._filled(node, template)
        except _ReferenceError as error:
            if error.message:
                self.problems.append(Problem(node.at, error.message, error.fix))
            return Unreadable(node.at)

    def _filled(self, node: Scalar, template: str) -> Scalar:
        names = [(found[1], found[2]) for found in _REFERENCE.finditer(template) if found[1]]
        value = _REFERENCE.sub(self._env, template)
        self.characters += len(value)
        if self.characters > _MOST_TEXT:
            raise _ReferenceError("vars make the Sparkfile grow beyond 16 MiB", "use fewer or shorter vars")
        used = frozenset(name for kind, name in names if kind == "env")
        has_secret = any(kind == "secret" for kind, _ in names)
        return replace(
            node, value=value, template=template if names else None, env=used, names_secret=has_secret
        )

    def _var(self, found: re.Match[str]) -> str:
        """The text that stands for a `${vars.X}`, itself perhaps with `${env.X}`; all else as it is."""
        if found[1] == "matrix":
            return self._of_matrix(found[2])
        if found[1] != "vars":
            return found[0]
        if self.is_in_vars:
            raise _ReferenceError("a var can't be made of other vars", "write the text out")
        var = self.vars.get(found[2])
        if var is not None and not (isinstance(var, Scalar) and var.value is not None):
            raise _ReferenceError("", "")  # the var itself has its problem
        if not isinstance(var, Scalar):
            raise self._unknown_var(found[2])
        text = var.value if isinstance(var.value, str) else var.written
        if len(text) * found.string.count("${") > _LONGEST_TEXT:
            raise _ReferenceError("the text grows beyond 1 MiB", "use fewer or shorter vars")
        return text

    def _of_matrix(self, name: str) -> str:
        if self.matrix is None:
            message = f"{shown(f'${{matrix.{name}}}')} stands where no matrix is"
            raise _ReferenceError(message, f"it belongs in a dataset or target with matrix: {{{name}: […]}}")
        if name not in self.matrix:
            meant = did_you_mean(name, self.matrix)
            fix = f"did you mean ${{matrix.{meant}}}?" if meant else f"add it under 'matrix:', as {name}: […]"
            raise _ReferenceError(f"the matrix here has no {shown(name)}", fix)
        return f"\x00{name}\x00"

    def _unknown_var(self, name: str) -> _ReferenceError:
        meant = did_you_mean(name, self.vars)
        fix = (
            f"did you mean ${{vars.{meant}}}?"
            if meant
            else f"add it under 'vars:', such as vars: {{{name}: …}}"
        )
        return _ReferenceError(f"no var {shown(name)}", fix)

    def _env(self, found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        if found[1] != "env":
            return found[0]
        name = found[2]
        if not _ENV_NAME.fullmatch(name):
            message = f"{shown(name)} is no name of an environment variable"
            raise _ReferenceError(message, "write ${env.NAME}; a default is not supported")
        value = self.env.get(name)
        if value is None and not self.is_unset_told:
            raise _ReferenceError("", "")
        if value is None:
            raise _ReferenceError(f"the environment variable {name} is not set", f"set it: export {name}=…")
        if _FORBIDDEN.search(value):
            raise _ReferenceError(f"the environment variable {name} holds no UTF-8 text", "set it anew")
        return value


class _ReferenceError(Exception):
    def __init__(self, message: str, fix: str) -> None:
        self.message, self.fix = message, fix
