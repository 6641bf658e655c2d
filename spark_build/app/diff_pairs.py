"""What `spark diff` lays side by side where a matrix is named: its members, by the params that they share."""

from collections.abc import Iterable, Sequence
from itertools import product

from spark_build.app import Project
from spark_build.app.diff_sides import commit_and_address, commit_of
from spark_build.core.address import Address, typed
from spark_build.core.errors import UsageError
from spark_build.core.values import Struct

_MOST_SHOWN = 8
Member = tuple[str, dict[str, str]]  # as one types it, and its values as canonical JSON


class Pairs(Struct, frozen=True):
    pairs: tuple[tuple[str, str], ...]
    alone: tuple[str, ...] = ()  # members that have no other


def pairs_of(project: Project, a: str, b: str) -> Pairs:
    """The two texts, or of matrices the members that belong together.

    Errors: UsageError where it is not clear which do.
    """
    left, right = _members(project, a), _members(project, b)
    if len(left) == 1 or len(right) == 1:  # each stands beside the one
        return Pairs(tuple((one, other) for (one, _), (other, _) in product(left, right)))
    shared = _shared(left, right, _selected(a) ^ _selected(b))
    found = [(one, other) for one, other in product(left, right) if _alike(one, other, shared)]
    if not found:
        raise UsageError(f"no member of '{a}' stands beside one of '{b}'", fix=_choices(a, left, b, right))
    once = {one for (one, _), _ in found}, {other for _, (other, _) in found}
    if len(found) > min(map(len, once)):
        raise UsageError(
            f"which members of '{a}' and '{b}' belong together is not clear", fix=_choices(a, left, b, right)
        )
    alone = [one for one, _ in left if one not in once[0]] + [one for one, _ in right if one not in once[1]]
    return Pairs(tuple((one, other) for (one, _), (other, _) in found), tuple(alone))


def _members(project: Project, text: str) -> list[Member]:
    """The text itself, or the members that it means."""
    for rev, rest in [("", text), *commit_and_address(text)]:
        if not rest or (rev and commit_of(project, rev) is None):
            continue
        try:
            found = project.names.all(rest)
        except UsageError:  # a build, a commit, a target that is no more
            continue
        start = f"{rev}:" if rev else ""
        if len(found) > 1:
            return [(f"{start}{one}", dict(one.matrix)) for one in found]
        return [(text, dict(found[0].matrix))]
    return [(text, {})]


def _selected(text: str) -> set[str]:
    """The params that the text itself gives."""
    for rest in (text, *(rest for _, rest in commit_and_address(text) if rest)):
        try:
            return {name for name, _ in Address.parse(rest).matrix}
        except UsageError:
            continue
    return set()


def _shared(left: Sequence[Member], right: Sequence[Member], but: Iterable[str]) -> list[str]:
    """Params of both; one that a text names on one side alone, or on both with other values, is what is compared."""
    names = [name for name in left[0][1] if name in right[0][1]]
    given = [{name: {values[name] for _, values in side} for name in names} for side in (left, right)]
    return [name for name in names if name not in but and given[0][name] & given[1][name]]


def _alike(one: Member, other: Member, shared: Sequence[str]) -> bool:
    return all(one[1][name] == other[1][name] for name in shared)


def _choices(a: str, left: Sequence[Member], b: str, right: Sequence[Member]) -> str:
    return f"name one of each: {_shown(left)}" + (f"; {_shown(right)}" if a != b else "")


def _shown(members: Sequence[Member]) -> str:
    more = f" and {len(members) - _MOST_SHOWN} more" if len(members) > _MOST_SHOWN else ""
    return ", ".join(typed(name) for name, _ in members[:_MOST_SHOWN]) + more
