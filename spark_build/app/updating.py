"""`spark update`: looks outside again, and pins what is there in the lock."""

from collections.abc import Iterator, Sequence

from spark_build.app import Project
from spark_build.app.graph_cache import outside
from spark_build.app.importing import import_of, pin_again
from spark_build.app.outside import drop_past_pins, outside_uses, pin_outside
from spark_build.core.address import Address
from spark_build.core.errors import Unavailable, UsageError
from spark_build.core.trust import TRUSTED
from spark_build.core.values import replace
from spark_build.pinning import LOCK_NAME, PINNED_REVISION, import_pin, pin_from
from spark_build.storage.local import LocalStore
from sparkfile_schema.model import Import, ListedKey


def update(project: Project, names: Sequence[str]) -> Iterator[tuple[str, str | None, str]]:
    """Hub ids with the revision before and now; results of other projects, and what sources bring, with their digests.

    Errors: Unavailable where the hub, another project or what a source asks can't be asked.
    """
    hub_ids, imports, graph = outside(project.request, project.lock, project.world)
    sources = outside_uses(graph)
    fetched = [name for name in project.lock.names("pins") if name.startswith("from:")]
    known = [*hub_ids, *imports, *(name.partition(":")[2] for name in fetched), *sources]
    names = [f"dataset:{name}" if f"dataset:{name}" in sources else name for name in names]
    if project.offline:
        raise UsageError("--offline: an update looks outside", fix="leave --offline out")
    if unknown := [n for n in names if n not in known]:
        raise UsageError(
            f"the Sparkfile names no '{unknown[0]}'",
            fix=f"it names {', '.join(known) or 'no hub id, no import and no source that looks outside'}",
        )
    done = set[str]()
    for name in names or known:
        if name in hub_ids:
            yield from _update_hub(project, name)
        elif name in sources:
            for use in sources[name]:
                if use.pin not in done:  # of two datasets that ask the same
                    yield name, *pin_outside(project, LocalStore(project.store_of(graph), project.state), use)
                    done.add(use.pin)
        elif name in imports:
            address = replace(Address.parse(name), folder="")
            yield name, *pin_again(project, import_pin(name), address, imports[name])
        else:
            url, _, text = name.partition(" ")
            pin = pin_from(url, text)
            yield name, *pin_again(project, pin, Address.parse(text), _source(project, url, pin))
    if not names and not project.request.is_override:
        drop_past_pins(project, sources)


def _source(project: Project, url: str, pin: str) -> Import:
    """With the keys that were said when it was pinned."""
    keys = (project.lock.get("pins", pin) or {}).get("keys", ())
    return import_of(project, url, tuple(ListedKey(str(key), (TRUSTED,), LOCK_NAME) for key in keys))


def _update_hub(project: Project, hub_id: str) -> Iterator[tuple[str, str | None, str]]:
    if PINNED_REVISION.fullmatch(hub_id.partition("@")[2]):
        return  # a full hash pins itself
    old, new = project.lock.revision_of(hub_id), _revision(hub_id)
    project.lock.put("pins", f"hub:{hub_id}", {"revision": new})
    project.save_lock()
    yield hub_id, old, new


def _revision(hub_id: str) -> str:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise Unavailable("hub ids need huggingface_hub", fix="pip install 'spark-build[train]'") from None
    name, _, revision = hub_id.partition("@")
    try:
        found = HfApi().model_info(name, revision=revision or None, timeout=30)
    except Exception as error:  # the client raises its own, requests' and the sockets' errors
        raise Unavailable(
            f"{hub_id}: the hub did not answer: {error}", fix="check the name and the network"
        ) from error
    return str(found.sha)
