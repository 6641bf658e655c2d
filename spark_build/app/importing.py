"""Results of other projects, as `imports:` and `--from` name them: looked up, pinned in the lock, brought in."""

from __future__ import annotations  # what they name need not be loaded

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.app import Project
from spark_build.app import published as publications
from spark_build.app.outside import bring_outside
from spark_build.core.address import Address, target_of
from spark_build.core.digest import Digest
from spark_build.core.errors import RequirementNotMet, SparkError, Unavailable, Untrusted, UsageError
from spark_build.core.values import replace
from spark_build.pinning import LOCK_NAME, Lock, pin_from
from spark_build.storage.elsewhere import FolderElsewhere, bring, lock_text, open_elsewhere
from spark_build.storage.local import LocalObjects, LocalStore
from sparkfile_schema.model import Import, ListedKey

if TYPE_CHECKING:
    from collections.abc import Mapping

Pin = dict[str, Any]


def look_up(source: Import, address: Address, folder: Path) -> Pin:
    """What another project has under an address: published in its remote store, or in the lock that lies there.

    Errors: UsageError where it knows no such result, and what it knows; Untrusted where keys are listed, and none of
    them vouches for it; Unavailable, TransientError.
    """
    if address.kind is None:
        raise UsageError(
            f"'{address}': of which kind?", fix=f"dataset:{address.name} or model:{address.name}"
        )
    name = str(address) if address.tag is not None else address.main_stage
    if source.url.startswith("s3://"):
        found = publications.look_up(source, name)
        if found is not None:
            return found
    if source.keys:
        raise Untrusted(
            f"{source.url} has no publication of '{address}', and nothing else there is signed",
            fix=f"there: spark store publish; {_published(source)}",
        )
    return _of_lock(source, address, name, folder)


def _of_lock(source: Import, address: Address, name: str, folder: Path) -> Pin:
    url = source.url
    try:
        text = lock_text(open_elsewhere(url, str(folder)), LOCK_NAME, url)
    except Unavailable:
        if not url.startswith("s3://"):
            raise
        raise UsageError(
            f"{url} has no '{address}': nothing is published there under that name",
            fix=f"there: spark store publish {address}; {_published(source)}",
        ) from None
    lock = Lock.parse(text, f"{url}/{LOCK_NAME}")
    block = lock.get("tags" if address.tag is not None else "stages", name)
    if block is None:
        raise UsageError(f"{url} has no '{address}'", fix=_known(lock))
    return {"url": url, "output": block["output"], "key": block["key"], "parts": block["parts"]}


def pin_again(project: Project, name: str, address: Address, source: Import) -> tuple[str | None, str]:
    """Pins under `name` what an address gives now; the digests before and after.

    Errors: Untrusted too where it is older than what is pinned.
    """
    pin, known = look_up(source, address, project.root), project.lock.get("pins", name)
    publications.refuse_older(name.partition(":")[2], known, pin)
    if known is not None and (keys := known.get("keys")):
        pin["keys"] = keys
    before = str(known["output"]) if known else None
    if before != pin["output"]:
        _say_who_vouches(source, address, pin)
    _keep(project, name, pin)
    return before, str(pin["output"])


def bring_pinned(project: Project, output: Digest, objects: LocalObjects) -> None:
    """Brings a pinned or tagged result into a store where it is not there yet. Errors: SparkError."""
    if not objects.missing(output):
        return
    if objects is not project.objects and not project.objects.missing(output):
        bring(FolderElsewhere(str(project.store)), output, objects, str(project.store))
        return
    for name in project.lock.names("pins"):
        pin = project.lock.get("pins", name) or {}
        if pin.get("output") == output and "url" in pin:
            if project.offline:
                raise UsageError(f"--offline: {name} is not in the store", fix="leave --offline out once")
            _bring(pin, objects, project.root)
            return
    if bring_outside(project, output):
        return
    raise SparkError(
        f"the result {output[:12]} that a tag names is not in the store",
        fix="build it again, or move the tag",
    )


def get_from(
    project: Project,
    url: str,
    text: str,
    to: Path,
    *,
    link: bool,
    is_locked: bool = False,
    keys: Sequence[str] = (),
) -> Path:
    """Another project's result as files; in a project it is pinned, and comes out the same the next time.

    `keys`: whose publications count, besides those that the Sparkfile lists for an import of that URL.
    """
    address = Address.parse(text)
    listed = tuple(ListedKey(key, ("trusted",), "--key") for key in keys)
    if not project.request.file.exists():
        _refuse_offline(project, url)
        source = Import(url, listed)
        with tempfile.TemporaryDirectory(prefix="spark-get-") as folder:
            pin = look_up(source, address, project.root)
            _say_who_vouches(source, address, pin)
            return _lay_out(LocalStore(folder), pin, to, project.root, link=False)
    source, store = import_of(project, url, listed), _store(project)
    name = pin_from(url, str(address))
    pinned = project.lock.get("pins", name)
    if pinned is None and is_locked:
        raise RequirementNotMet(
            f"{LOCK_NAME} has no pin of '{address}' from {url}", fix="leave --locked out once"
        )
    if pinned is None:
        _refuse_offline(project, url)
        pinned = look_up(source, address, project.root)
        _say_who_vouches(source, address, pinned)
        _keep(project, name, {**pinned, "keys": list(keys)} if keys else pinned)
    elif store.objects.missing(str(pinned["output"])):
        _refuse_offline(project, url)
    return _lay_out(store, pinned, to, project.root, link=link)


def _store(project: Project) -> LocalStore:
    """Of this machine, whatever else the Sparkfile names that is not pinned."""
    from spark_build.app.graph_cache import outside

    graph = outside(project.request, project.lock, project.world)[2]
    return LocalStore(project.store_of(graph), project.state)


def import_of(project: Project, url: str, keys: tuple[ListedKey, ...] = ()) -> Import:
    """What the Sparkfile says of another project, as `imports:` name it by its URL, and these keys."""
    from sparkfile_schema import parse

    text = project.request.file.read_bytes()
    imports = parse(text, file=project.request.file.name, env=project.environment).sparkfile.imports
    found = next((one for one in imports.values() if one.url == url), Import(url))
    return replace(found, keys=(*found.keys, *keys))


def _refuse_offline(project: Project, url: str) -> None:
    if project.offline and "://" in url:
        raise UsageError(f"--offline: {url} lies outside", fix="leave --offline out")


def _say_who_vouches(source: Import, address: Address, pin: Mapping[str, Any]) -> None:
    """Pinned on first use is not verified: that is said."""
    if publications.SERIAL in pin and not source.keys:
        print(
            f"note: {address} of {source.url} is pinned by its digest, whoever published it: no keys are listed for it",
            file=sys.stderr,
        )


def _keep(project: Project, name: str, pin: Pin) -> None:
    project.lock.put("pins", name, pin)
    project.save_lock()


def _lay_out(store: LocalStore, pin: Pin, to: Path, folder: Path, *, link: bool) -> Path:
    _bring(pin, store.objects, folder)
    store.objects.check_out(store.objects.tree(str(pin["output"])), to, link=link)
    return to


def _bring(pin: Pin, objects: LocalObjects, folder: Path) -> None:
    output, url = str(pin["output"]), str(pin["url"])
    if publications.SERIAL not in pin:
        bring(open_elsewhere(url, str(folder)), output, objects, url)
    elif objects.missing(output):
        publications.bring(pin, objects)


def _published(source: Import) -> str:
    names = publications.names(source) if source.url.startswith("s3://") else []
    return f"it has {', '.join(names) or 'nothing'}"


def _known(lock: Lock) -> str:
    stages = {target_of(stage) for stage in lock.names("stages")}
    return f"it has {', '.join(sorted({*lock.names('tags'), *stages})) or 'nothing'}"
