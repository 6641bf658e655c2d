"""A plan without work, remembered with all that it rested on; it is taken again while each of these facts stands.

It rests on what shaped the graph, on the stats of the files that were read and on all else that the world answered,
on the files of the Records and on the objects of the Artifacts that were asked for; that a build would write nothing
rests on lock and journal as well. What differs, whatever it is, leads to the planner.

The facts lie in files beside the state, which go with it. A command that finds them standing loads no more than this
module: neither the application nor SQLite (tests/scenarios/test_quick_to_start.py).
"""

from __future__ import annotations  # what they name need not be loaded

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from spark_build.core.digest import Digest, digest_bytes, digest_json
from spark_build.core.errors import SparkError
from spark_build.core.places import settled_beside
from spark_build.graph_stamp import digest_of_variable, name_of_request, read_sparkfile, stamp, still_shapes
from spark_build.storage.stats import are_as_seen, fold_of_lines, fold_of_objects, fold_of_records

TYPE_CHECKING = False  # typing alone takes as long as Python itself
if TYPE_CHECKING:
    from typing import Any

    from spark_build.core.places import Place

MOST_KEPT = 8  # per project: one for each way of asking


class Settled:
    """As it lies in the file: long columns are texts, taken apart only where somebody asks for them."""

    def __init__(self, facts: Mapping[str, Any], keys: str, objects: str, stages: str, told: str) -> None:
        self.facts = facts
        self.keys, self.objects = keys, objects  # digests, one a line
        self.stages = stages  # JSON: for each its name, key, output, seconds, items
        self.told = told  # what `build --json` says of it

    @property
    def count(self) -> int:
        """How many stages; all of them are fresh."""
        return int(self.facts["count"])

    @property
    def is_written_down(self) -> bool:
        """A build of it changes neither lock nor journal."""
        return bool(self.facts["is_written_down"])


class Question:
    """One way of asking a project: what it asks for, and where its answer lies."""

    def __init__(
        self,
        place: Place,
        addresses: Sequence[str],
        *,
        profile: str | None = None,
        sets: Sequence[str] = (),
        limit: int | None = None,
        is_strict: bool = False,
        is_offline: bool = False,
    ) -> None:
        self.place = place
        request = name_of_request(place.file, profile, sets, limit)
        self.name = digest_json([request, list(addresses), is_strict, is_offline])
        self.walked: dict[str, list[str]] = {}  # folders that were walked for the answer: what was seen

    @property
    def folder(self) -> str:
        return settled_beside(self.place.state)

    @property
    def file(self) -> str:
        return os.path.join(self.folder, self.name)


def recall(question: Question, environment: Mapping[str, str]) -> Settled | None:
    """The settled plan, where all that it rested on still stands, by stats and names alone.

    What `answers` holds besides is the caller's to ask. Errors: UsageError where the Sparkfile can't be read.
    """
    settled = _read(question)
    if settled is None or not _stands(settled, question, environment):
        return None
    return settled


def keep(question: Question, settled: Settled) -> None:
    """A folder that can't be written costs no more than the memory."""
    if not os.path.exists(question.place.state):
        return
    with suppress(OSError):
        os.makedirs(question.folder, exist_ok=True)
        columns = [json.dumps(settled.facts), settled.keys, settled.objects, settled.stages, settled.told]
        text = "\0".join(columns).encode()  # JSON and digests hold no such character
        beside = f"{question.file}.{os.getpid()}"
        with open(beside, "wb") as file:
            file.write(f"{digest_bytes(text)}\n".encode() + text)
        os.replace(beside, question.file)
        _drop_the_oldest(question.folder)


def journal_names(store: str, place: Place) -> Digest:
    """Of the journal's entries: each is written once, under a name of its own."""
    with suppress(OSError):
        names = os.listdir(os.path.join(store, "builds", place.inside))
        return fold_of_lines(sorted(name for name in names if name.endswith(".json")))
    return fold_of_lines([])


def digest_of_file(path: str) -> Digest | None:
    """None where there is none."""
    try:
        with open(path, "rb") as file:
            return digest_bytes(file.read())
    except OSError:
        return None


def _read(question: Question) -> Settled | None:
    try:
        if not os.path.exists(question.place.state):
            return None
        with open(question.file, "rb") as file:
            seal, _, text = file.read().partition(b"\n")
    except OSError:
        return None
    if seal.decode(errors="replace") != digest_bytes(text):
        return None
    facts, *columns = text.decode().split("\0")
    return Settled(json.loads(facts), *columns)


def _stands(settled: Settled, question: Question, environment: Mapping[str, str]) -> bool:
    facts, place = settled.facts, question.place
    # first of all the graph: it knows the tool's version, and another's facts may look otherwise
    now = stamp(read_sparkfile(place.file))
    if not still_shapes(facts["graph"], now, place.root, environment.get):
        return False
    store = _from_here(os.path.normpath(os.path.join(place.root, facts["store"])))
    return (
        are_as_seen(place.root, facts["files"])
        and not any(os.path.isfile(os.path.join(place.root, path)) for path in facts["absent"])
        and all(_fold_of_folder(question, name) == fold for name, fold in facts["folders"].items())
        and all(digest_of_variable(environment.get(name)) == was for name, was in facts["env"].items())
        and _libraries_are(facts["libraries"])
        and digest_of_file(os.path.join(place.root, facts["lock_name"])) == facts["lock"]
        and journal_names(store, place) == facts["journal"]
        and fold_of_records(store, settled.keys.split()) == facts["records"]
        and fold_of_objects(store, settled.objects.split()) == facts["objects"]
        # last of all, for those that are scripts are run
        and all(_look_of_tool(name, place, environment) == look for name, look in facts["tools"].items())
    )


def _from_here(path: str) -> str:
    """As seen from the current folder, where that is shorter: each folder on the way is looked up for each file."""
    try:
        return min(path, os.path.relpath(path), key=len)
    except OSError:  # the current folder is gone
        return path


def _fold_of_folder(question: Question, name: str) -> Digest | None:
    from spark_build.storage.folder_walk import walk

    path, *patterns = name.split("\0")
    try:
        lines = walk(os.path.join(question.place.root, path), path, tuple(patterns))
        question.walked["\0".join((os.path.normpath(path), *patterns))] = lines
        return fold_of_lines(lines)
    except (OSError, SparkError):  # it is no folder any more, or holds what can't be read
        return None


def _look_of_tool(name: str, place: Place, environment: Mapping[str, str]) -> str | None:
    from spark_build.storage.tools import look_of_tool

    return look_of_tool(name, place.root, environment)


def _libraries_are(versions: Mapping[str, str | None]) -> bool:
    if not versions:
        return True
    from spark_build.storage.libraries import installed_libraries, normalized

    installed = installed_libraries()
    return all(installed.get(normalized(name)) == version for name, version in versions.items())


def _drop_the_oldest(folder: str) -> None:
    kept = sorted((entry.stat().st_mtime_ns, entry.path) for entry in os.scandir(folder))
    for _, path in kept[:-MOST_KEPT]:
        os.unlink(path)
