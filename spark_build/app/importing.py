"""Results of other projects, as `imports:` and `--from` name them: looked up, pinned in the lock, brought in."""

import tempfile
from pathlib import Path

from spark_build.app import Project
from spark_build.app.outside import bring_outside
from spark_build.core.address import Address, target_of
from spark_build.core.digest import Digest
from spark_build.core.errors import RequirementNotMet, SparkError, UsageError
from spark_build.pinning import LOCK_NAME, Lock, pin_from
from spark_build.storage.elsewhere import Elsewhere, FolderElsewhere, bring, lock_text, open_elsewhere
from spark_build.storage.local import LocalObjects, LocalStore

Pin = dict[str, object]


def look_up(url: str, address: Address, folder: Path) -> tuple[Elsewhere, Pin]:
    """What another project's lock says of an address: its tag, or its newest build.

    Errors: UsageError where it knows no such result, and what it knows; Unavailable, TransientError.
    """
    elsewhere = open_elsewhere(url, str(folder))
    lock = Lock.parse(lock_text(elsewhere, LOCK_NAME, url), f"{url}/{LOCK_NAME}")
    if address.kind is None:
        raise UsageError(
            f"'{address}': of which kind?", fix=f"dataset:{address.name} or model:{address.name}"
        )
    name = str(address) if address.tag is not None else address.main_stage
    block = lock.get("tags" if address.tag is not None else "stages", name)
    if block is None:
        raise UsageError(f"{url} has no '{address}'", fix=_known(lock))
    return elsewhere, {"url": url, "output": block["output"], "key": block["key"], "parts": block["parts"]}


def pin_again(project: Project, name: str, address: Address, url: str) -> tuple[str | None, str]:
    """Pins under `name` what an address gives now; the digests before and after."""
    _, pin = look_up(url, address, project.root)
    known = project.lock.get("pins", name)
    _keep(project, name, pin)
    return (str(known["output"]) if known else None), str(pin["output"])


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
            bring(open_elsewhere(pin["url"], str(project.root)), output, objects, pin["url"])
            return
    if bring_outside(project, output):
        return
    raise SparkError(
        f"the result {output[:12]} that a tag names is not in the store",
        fix="build it again, or move the tag",
    )


def get_from(project: Project, url: str, text: str, to: Path, *, link: bool, is_locked: bool = False) -> Path:
    """Another project's result as files; in a project it is pinned, and comes out the same the next time."""
    address = Address.parse(text)
    if project.offline and "://" in url:
        raise UsageError(f"--offline: {url} lies outside", fix="leave --offline out")
    if not project.request.file.exists():
        with tempfile.TemporaryDirectory(prefix="spark-get-") as folder:
            elsewhere, pin = look_up(url, address, project.root)
            return _lay_out(LocalStore(folder), elsewhere, pin, to, link=False)
    name = pin_from(url, str(address))
    pinned = project.lock.get("pins", name)
    if pinned is None and is_locked:
        raise RequirementNotMet(
            f"{LOCK_NAME} has no pin of '{address}' from {url}", fix="leave --locked out once"
        )
    if pinned is None:
        elsewhere, pinned = look_up(url, address, project.root)
        _keep(project, name, pinned)
    else:
        elsewhere = open_elsewhere(url, str(project.root))
    return _lay_out(project.local_store, elsewhere, pinned, to, link=link)


def _keep(project: Project, name: str, pin: Pin) -> None:
    project.lock.put("pins", name, pin)
    project.save_lock()


def _lay_out(store: LocalStore, elsewhere: Elsewhere, pin: Pin, to: Path, *, link: bool) -> Path:
    output = str(pin["output"])
    bring(elsewhere, output, store.objects, str(pin["url"]))
    store.objects.check_out(store.objects.tree(output), to, link=link)
    return to


def _known(lock: Lock) -> str:
    stages = {target_of(stage) for stage in lock.names("stages")}
    return f"it has {', '.join(sorted({*lock.names('tags'), *stages})) or 'nothing'}"
