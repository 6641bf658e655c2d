"""What sources bring from outside: asked by `spark update`, kept in the store, pinned in the lock."""

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spark_build.app import Project
from spark_build.core.digest import Digest, digest_bytes
from spark_build.core.errors import SparkError
from spark_build.core.tree import Tree
from spark_build.core.values import Struct
from spark_build.engine.graph import Graph, Step, absolute_impl
from spark_build.pinning import LOCK_NAME, SOURCE_PIN
from spark_build.storage.local import LocalStore

_SECRET = re.compile(r"\$\{secret\.([A-Za-z_][A-Za-z0-9_]*)\}")


class Outside(Struct, frozen=True):
    """A use of a source that looks outside."""

    pin: str
    dataset: str  # 'dataset:web', the first that asks this
    step: Step


def outside_uses(graph: Graph) -> dict[str, list[Outside]]:
    """By dataset, each use with the datasets that share it known by the first one's name."""
    found: dict[str, list[Outside]] = {}
    first: dict[str, str] = {}
    for node in graph.nodes.values():
        for step in node.steps if node.kind == "ingest" else ():
            pin = (given.name or "") if (given := step.inputs.get("path")) is not None else ""
            if pin.startswith(SOURCE_PIN):
                dataset = first.setdefault(pin, node.target)
                found.setdefault(node.target, []).append(Outside(pin, dataset, step))
    return found


def pin_outside(project: Project, store: LocalStore, use: Outside) -> tuple[str | None, str]:
    """Looks again, and pins what is there; the digests before and after."""
    from spark_build.app.building import keep_from_git

    keep_from_git(Path(store.folder))
    known = project.lock.get("pins", use.pin)
    tree, told = _brought(project, store, use, _before(project, store, use))
    block = {"output": tree.digest, "parts": tree.parts(), "dataset": use.dataset}
    project.lock.put("pins", use.pin, {**block, "at": told} if told else block)
    project.save_lock()
    return (str(known["output"]) if known else None), tree.digest


def drop_past_pins(project: Project, uses: Mapping[str, list[Outside]]) -> None:
    """Pins of what nobody asks any more."""
    asked = {use.pin for of_dataset in uses.values() for use in of_dataset}
    for name in project.lock.names("pins"):
        if name.startswith(SOURCE_PIN) and name not in asked:
            project.lock.drop("pins", name)
    project.save_lock()


def bring_outside(project: Project, output: Digest) -> bool:
    """Brings a pinned result again, if it is one of a source; only the very same counts. Errors: SparkError."""
    uses = [use for of_dataset in outside_uses(project.graph).values() for use in of_dataset]
    use = next((u for u in uses if u.step.inputs["path"].artifact == output), None)
    if use is None:
        return False
    fix = f"spark update {use.dataset} pins what is there now"
    if project.offline:
        raise SparkError(
            f"--offline: what {use.dataset} has pinned is not in the store", fix="leave --offline out"
        )
    pinned = (project.lock.get("pins", use.pin) or {}).get("at") or {}
    tree, _ = _brought(project, project.local_store, use, None, pinned)
    if tree.digest != output:
        raise SparkError(f"{use.dataset}: what is outside is no more what {LOCK_NAME} pins", fix=fix)
    return True


def _brought(
    project: Project,
    store: LocalStore,
    use: Outside,
    before: Path | None,
    pinned: Mapping[str, str] | None = None,
) -> tuple[Tree, Mapping[str, str] | None]:
    """What lies in the store now, and what the source tells of it."""
    from spark_build.contract.context import Context
    from spark_build.contract.rules import OutsideSource
    from spark_build.core.job import Job, JobStep
    from spark_build.stages.loading import rule_class, with_secrets

    step, base = use.step, project.root / use.step.folder
    asked = JobStep(step.rule, absolute_impl(step.impl, base), step.values, "", label=step.label)
    job = Job(use.dataset, "ingest", "", {}, (asked,), {}, str(base), str(store.folder), "", "", "", "")
    rule = rule_class(job, asked, OutsideSource)
    work = _folder(store, use)
    output = work / "output"
    shutil.rmtree(output, ignore_errors=True)  # half of what a killed update brought
    output.mkdir(parents=True)
    (work / "kept").mkdir(exist_ok=True)
    try:
        source = rule(rule.Params(**with_secrets(rule.Params, step.values)))
        source.pinned = pinned or {}
        told = source.bring(Context({}, output, work / "kept", _Told(use.dataset), base_dir=base), before)
    except SparkError as error:
        error.message = _masked(error.message, step.values)
        error.args = (error.message,)
        raise
    return store.objects.add_folder(output), told


def _before(project: Project, store: LocalStore, use: Outside) -> Path | None:
    """What was brought last, laid out to look at."""
    for name in (use.pin, *project.lock.names("pins")):
        pin = project.lock.get("pins", name) or {}
        if name == use.pin or (name.startswith(SOURCE_PIN) and pin.get("dataset") == use.dataset):
            output = str(pin.get("output", ""))
            if output and not store.objects.missing(output):
                to = _folder(store, use) / "before"
                shutil.rmtree(to, ignore_errors=True)
                store.objects.check_out(store.objects.tree(output), to, link=False)
                return to
    return None


def _folder(store: LocalStore, use: Outside) -> Path:
    return Path(store.folder) / "outside" / digest_bytes(use.pin.encode())[:16]


def _masked(text: str, values: Mapping[str, Any]) -> str:
    for secret in filter(None, map(os.environ.get, _secrets_in(values))):
        text = text.replace(secret, "***")
    return text


def _secrets_in(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield from _SECRET.findall(values)
    elif isinstance(values, Mapping | list):
        for value in values.values() if isinstance(values, Mapping) else values:
            yield from _secrets_in(value)


class _Told:
    """A reporter that says what it hears on standard error."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset

    def log(self, text: str) -> None:
        print(f"{self._dataset}: {text}", file=sys.stderr)

    def progress(self, done: int, total: int | None, unit: str = "items") -> None: ...

    def metric(self, name: str, value: float, step: int | None = None) -> None: ...

    def checkpoint(self, step: int) -> None: ...

    def note(self, name: str, value: Any) -> None: ...
