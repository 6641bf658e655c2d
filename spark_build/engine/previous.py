"""What a stage gave last time, laid out for its runner: a hint that never counts, so that little need be done anew."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError
from spark_build.core.ports import Objects
from spark_build.core.record import Record
from spark_build.core.tree import MEDIA_PART, Tree
from spark_build.engine.action import Manifest

KINDS = ("ingest", "filter")  # whose runners go on from it


def goes_on_from(kind: str, last: Record | None, manifest: Manifest) -> bool:
    """Whether the last result differs in its inputs alone: what the stage does with them is the same."""
    if kind not in KINDS or last is None:
        return False
    return last.manifest != manifest and _without_inputs(last.manifest) == _without_inputs(manifest)


def lay_out(objects: Objects, last: Record, to: Path) -> tuple[dict[str, Any], list[Tree]]:
    """`Job.previous`, and the trees that were linked for it; nothing where the store lacks a part of it.

    {'output': FOLDER, 'inputs': {name: FOLDER}, 'listings': {name: file}, 'items', 'notes'}, where a FOLDER is
    {'folder': where it lies, 'files': {path: digest}}.
    """
    try:
        trees = {"output": objects.tree(last.output)}
        trees |= {f"inputs/{name}": objects.tree(digest) for name, digest in last.read.items()}
        if any(objects.missing(tree.digest) for tree in trees.values()):
            return {}, []
        listings = {name: objects.read(digest) for name, digest in last.sources.items()}
        folders = {name: _linked(objects, tree, to / name) for name, tree in trees.items()}
    except (SparkError, KeyError):
        return {}, []  # gone or damaged: the stage does it all
    previous = {
        "output": folders.pop("output"),
        "inputs": {name.removeprefix("inputs/"): folder for name, folder in folders.items()},
        "listings": {name: _written(to / f"{name}.json", data) for name, data in listings.items()},
        "items": last.items,
        "notes": last.notes,
    }
    return previous, list(trees.values())


def _linked(objects: Objects, tree: Tree, to: Path) -> dict[str, Any]:
    tree = Tree.of(entry for entry in tree if not entry.path.startswith(MEDIA_PART))
    objects.check_out(tree, to, link=True)
    return {"folder": str(to), "files": {entry.path: entry.digest for entry in tree}}


def _written(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def read_by_items(step: Mapping[str, Any]) -> str:
    """The input of a source that it reads item by item: its folder, or the rows of another dataset."""
    return "dataset" if step["rule"] == "dataset" else "path"


def _without_inputs(manifest: Mapping[str, Any]) -> Manifest:
    """Inputs of the steps stay, but for what a source reads item by item: a gate's model is part of what it does."""
    steps = [dict(step) for step in manifest.get("steps", [])]
    if manifest.get("kind") == "ingest" and steps:
        given: dict[str, Digest] = steps[0].get("inputs", {})
        steps[0]["inputs"] = {
            name: digest for name, digest in given.items() if name != read_by_items(steps[0])
        }
    return {**{name: value for name, value in manifest.items() if name != "inputs"}, "steps": steps}
