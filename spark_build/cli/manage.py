"""`init`, `get`, `tag`, `update`, `down`, `schema`."""

import argparse
import json
from pathlib import Path

from spark_build.cli.build import project_of
from spark_build.core.address import Address, kind_of, name_of, typed
from spark_build.core.errors import UsageError
from spark_build.pinning import LOCK_NAME


def run_init(options: argparse.Namespace) -> int:
    from spark_build.app.starting import start_project

    for path in start_project(Path(options.folder), options.file):
        print(f"wrote {path}")
    print("next: put documents into data/notes, then: spark plan, spark build")
    return 0


def run_get(options: argparse.Namespace) -> int:
    from spark_build.core.signing import PublicKey

    if options.key and options.source is None:
        raise UsageError(
            "--key says who may publish elsewhere", fix="--from URL; else store.keys in the Sparkfile"
        )
    for key in options.key:
        PublicKey.parse(key)
    project = project_of(options)
    folder = project.get(
        options.target,
        options.to,
        link=options.link,
        is_locked=options.locked,
        source=options.source,
        keys=options.key,
    )
    project.close()
    print(json.dumps({"version": 1, "path": str(folder)}) if options.json else folder)
    return 0


def run_tag(options: argparse.Namespace) -> int:
    from spark_build.app.tagging import delete_tag, put_tag

    project = project_of(options)
    if options.tag is None:
        if options.delete:
            raise UsageError("--delete of which tag?", fix="spark tag --delete model:NAME@TAG")
        tags = sorted(project.lock.names("tags"))
        print(json.dumps({"version": 1, "tags": tags}) if options.json else "\n".join(tags) or "no tags")
        return 0
    address = Address.parse(options.tag)
    if address.tag is None:
        raise UsageError(f"'{options.tag}' names no tag", fix=f"spark tag {typed(options.tag + '@v1')}")
    name, output = (delete_tag if options.delete else put_tag)(project, address)
    if options.json:
        print(json.dumps({"version": 1, "tag": name, "output": output, "is_deleted": options.delete}))
    else:
        print(f"{name} is gone from {LOCK_NAME}" if options.delete else f"{name} is {output[:12]}")
    return 0


def run_keep(options: argparse.Namespace) -> int:
    from spark_build.app.keeping import keep

    project = project_of(options)
    kept = keep(project, options.result)
    project.close()
    if options.json:
        changes = [{"name": ".".join(map(str, c.path)), "old": c.old, "new": c.new} for c in kept.changes]
        print(json.dumps({"version": 1, "changes": changes, "stages": kept.stages}))
        return 0
    for change in kept.changes:
        was = change.old if change.old is not None else "unset"
        print(f"{options.file}: {'.'.join(map(str, change.path))} {was} → {change.new}")
    stages = f"{len(kept.stages)} stage{'s' if len(kept.stages) != 1 else ''}"
    print(
        f"{LOCK_NAME}: {stages}; nothing has to run"
        if kept.changes
        else "the Sparkfile says all of it already"
    )
    return 0


def run_update(options: argparse.Namespace) -> int:
    from spark_build.app.updating import update

    project = project_of(options)
    updated = list(update(project, options.names))
    if options.json:
        told = [{"name": name, "old": old, "new": new} for name, old, new in updated]
        print(json.dumps({"version": 1, "updated": told}))
        return 0
    if not updated:
        print("nothing to look at: the Sparkfile names no hub id that moves")
    for name, old, new in updated:
        print(
            f"{name}: {old[:12] if old else 'new'} → {new[:12]}"
            if old != new
            else f"{name}: {new[:12]}, as before"
        )
    return 0


def run_down(options: argparse.Namespace) -> int:
    from spark_build.app.deploying import folder_of
    from spark_build.serving import runtime

    project = project_of(options)
    names = [name_of(n) if kind_of(n) == "deployment" else n for n in options.names] or list(
        project.graph.deployments
    )
    was_running = {}
    for name in names:
        if name not in project.graph.deployments and runtime.state(folder_of(project), name) is None:
            raise UsageError(
                f"no deployment '{name}'", fix=f"there are {', '.join(project.graph.deployments) or 'none'}"
            )
        was_running[f"deployment:{name}"] = runtime.down(folder_of(project), name)
        if not options.json:
            print(
                f"deployment:{name} {'stopped' if was_running[f'deployment:{name}'] else 'was not running'}"
            )
    if options.json:
        print(json.dumps({"version": 1, "was_running": was_running}))
    elif not names:
        print("no deployments: the Sparkfile declares none")
    return 0


def run_schema(options: argparse.Namespace) -> int:
    from spark_build.app.starting import schema_text

    text = schema_text()
    if options.out:
        Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        Path(options.out).write_text(text)
    else:
        print(text, end="")
    return 0
