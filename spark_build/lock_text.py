"""Locks merged block by block: what two branches wrote, and what git left between conflict markers."""

from collections.abc import Mapping

from spark_build.core.values import Struct

Name = tuple[str, str]  # group and name: ('stages', 'model:x/train')
Blocks = Mapping[Name, str]

_MARKS = {"<<<<<<< ": "ours", "||||||| ": "base", ">>>>>>> ": "both"}


class Merged(Struct, frozen=True):
    """Two locks as one."""

    blocks: dict[Name, str]
    left_out: tuple[str, ...]  # results that both sides changed: the next build says which one counts
    clashes: tuple[Name, ...]  # tags and outside pins that both sides changed: somebody has to choose


def sides(text: str) -> tuple[str, str]:
    """The two texts that git could not merge. Errors: ValueError where its markers are incomplete."""
    lines: dict[str, list[str]] = {"ours": [], "theirs": [], "base": []}
    where = "both"
    for line in text.splitlines(keepends=True):
        mark = "theirs" if line.rstrip("\n") == "=======" else _MARKS.get(line[:8])
        if mark is None:
            for side in ("ours", "theirs") if where == "both" else (where,):
                lines[side].append(line)
        elif mark not in _FOLLOWS[where]:
            raise ValueError(f"'{line.strip()}' stands out of its turn")
        else:
            where = mark
    if where != "both":
        raise ValueError("a conflict has no end")
    return "".join(lines["ours"]), "".join(lines["theirs"])


_FOLLOWS = {"both": ("ours",), "ours": ("base", "theirs"), "base": ("theirs",), "theirs": ("both",)}


def merge(ours: Blocks, theirs: Blocks, base: Blocks | None = None) -> Merged:
    """Each block as the side that changed it has it. Without `base` a block that one side lacks is kept."""
    blocks: dict[Name, str] = {}
    left_out: list[str] = []
    clashes: list[Name] = []
    for name in sorted({*ours, *theirs}):
        mine, other = ours.get(name), theirs.get(name)
        before = base.get(name) if base is not None else None
        if mine == other or other == before or _same_result(mine, other):
            chosen = mine
        elif mine == before:
            chosen = other
        elif name[0] == "forgotten":  # on both sides, with other words: one of them is enough
            chosen = min(text for text in (mine, other) if text is not None)
        elif name[0] == "stages" or _is_of_the_project(mine or other or ""):
            left_out.append(name[1])
            continue
        else:
            clashes.append(name)
            continue
        if chosen is not None:
            blocks[name] = chosen
    return Merged(blocks, tuple(left_out), tuple(clashes))


def rebased(ours: Blocks, base: Blocks, theirs: Blocks) -> tuple[dict[Name, str], list[Name]]:
    """`theirs` with all that was changed in `ours` since `base`; and the tags that both changed."""
    changed = [name for name in sorted({*ours, *base}) if ours.get(name) != base.get(name)]
    blocks = {name: text for name, text in theirs.items() if name not in changed}
    blocks |= {name: ours[name] for name in changed if name in ours}
    moved = [name for name in changed if theirs.get(name) not in (ours.get(name), base.get(name))]
    return blocks, [name for name in moved if name[0] == "tags"]


def _is_of_the_project(pin: str) -> bool:
    """A pin of the project's own files is looked at anew by each build; one of the hub is `revision = …`."""
    return pin.startswith("digest = ")


def _same_result(mine: str | None, other: str | None) -> bool:
    """The same key gave the same output, and only what stands beside them differs (a library's patch version)."""
    return bool(mine and other and mine.startswith("key = ")) and _head(mine) == _head(other)


def _head(block: str | None) -> list[str]:
    return (block or "").splitlines()[:2]
