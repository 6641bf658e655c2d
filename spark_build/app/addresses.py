"""From what a user types to the targets and stages of a graph: kinds filled in, members of a matrix found."""

from collections.abc import Iterable
from typing import NoReturn

from spark_build.core.address import KINDS, Address, declared, name_of, stage_name, typed
from spark_build.core.errors import UsageError
from spark_build.core.values import replace
from spark_build.engine.graph import Graph

_MOST_SHOWN = 8


class Names:
    """What a graph has, by name."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._targets: dict[str, list[str]] = {}  # 'model:sweep' -> its members; of most just itself
        for target in graph.targets():
            self._targets.setdefault(declared(target), []).append(target)
        for name in graph.deployments:
            self._targets[f"deployment:{name}"] = [f"deployment:{name}"]

    def all(self, text: str) -> list[Address]:
        """Every target, or stage, that an address means: of a matrix all members that it selects.

        Errors: UsageError where it names nothing, or two things.
        """
        asked = Address.parse(text)
        head = self._head(text, asked)
        found = [
            replace(member, tag=asked.tag, stage=asked.stage) for member in self._members(asked, head, text)
        ]
        if asked.stage is None or head.kind == "deployment":
            return found
        there = [a for a in found if f"{a.target}/{asked.stage}" in self.graph.nodes]
        if not there:
            own = ", ".join(map(stage_name, self.graph.of_target(found[0].target)))
            raise UsageError(f"'{found[0].target}' has no stage '{asked.stage}'", fix=f"it has {own}")
        return there

    def one(self, text: str) -> Address:
        """As `all`, where only one can be meant. Errors: UsageError where a matrix has several."""
        found = self.all(text)
        if len(found) > 1:
            raise UsageError(
                f"'{text}' is a matrix, {len(found)} are meant", fix=f"name one: {_shown(found)}"
            )
        return found[0]

    def _head(self, text: str, asked: Address) -> Address:
        """The name without selector, tag and stage, its kind filled in."""
        kinds = [asked.kind] if asked.kind else KINDS
        heads = [Address(kind, asked.name, folder=asked.folder) for kind in kinds]
        named = [head for head in heads if head.target in self._targets]
        if len(named) > 1:
            raise UsageError(f"'{text}' may be {' or '.join(h.target for h in named)}", fix="say which")
        if not named:
            raise UsageError(f"nothing here is called '{text}'", fix=self._closest(text))
        return named[0]

    def _members(self, asked: Address, head: Address, text: str) -> list[Address]:
        targets = self._targets[head.target]
        if "@" not in targets[0]:
            if asked.matrix:
                raise UsageError(
                    f"'{head.target}' has no matrix, and '{text}' selects of one", fix=f"say {head.target}"
                )
            return [head]
        members = [Address.parse(target) for target in targets]
        if not asked.matrix:
            return members
        from sparkfile_schema.address import selected

        found = selected(asked.matrix, [(member, member.matrix) for member in members])
        return found or _refuse_selection(asked, members, head.target)

    def _closest(self, text: str) -> str:
        from difflib import get_close_matches

        known = list(self._targets)
        close = get_close_matches(text, [*known, *map(name_of, known)], n=1)
        return f"did you mean '{close[0]}'?" if close else f"there are {', '.join(known) or 'no targets'}"


def _refuse_selection(asked: Address, members: list[Address], head: str) -> NoReturn:
    params = [name for name, _ in members[0].matrix]
    unknown = next((name for name, _ in asked.matrix if name not in params), None)
    if unknown is not None:
        raise UsageError(f"the matrix of '{head}' has no '{unknown}'", fix=f"it has {', '.join(params)}")
    raise UsageError(f"no member of '{head}' is '{asked.target}'", fix=f"there are {_shown(members)}")


def _shown(addresses: Iterable[Address]) -> str:
    listed = [typed(str(address)) for address in addresses]
    more = f" and {len(listed) - _MOST_SHOWN} more" if len(listed) > _MOST_SHOWN else ""
    return ", ".join(listed[:_MOST_SHOWN]) + more
