"""`spark update`: looks outside again, and pins what is there in the lock."""

from collections.abc import Iterator, Sequence

from spark_build.app import Project
from spark_build.app.graph_cache import outside
from spark_build.app.importing import pin_again
from spark_build.core.address import Address
from spark_build.core.errors import Unavailable, UsageError
from spark_build.core.values import replace
from spark_build.pinning import PINNED_REVISION, import_pin, pin_from


def update(project: Project, names: Sequence[str]) -> Iterator[tuple[str, str | None, str]]:
    """Hub ids with the revision before and now; results of other projects with their digests.

    Errors: Unavailable where the hub, or another project, can't be asked.
    """
    hub_ids, imports = outside(project.request, project.lock, project.world)
    fetched = [name for name in project.lock.names("pins") if name.startswith("from:")]
    known = [*hub_ids, *imports, *(name.partition(":")[2] for name in fetched)]
    if project.offline:
        raise UsageError("--offline: an update asks the hub and other projects", fix="leave --offline out")
    if unknown := [n for n in names if n not in known]:
        raise UsageError(
            f"the Sparkfile names no '{unknown[0]}'",
            fix=f"it names {', '.join(known) or 'no hub id and no import'}",
        )
    for name in names or known:
        if name in hub_ids:
            yield from _update_hub(project, name)
        elif name in imports:
            address = replace(Address.parse(name), folder="")
            yield name, *pin_again(project, import_pin(name), address, imports[name])
        else:
            url, _, text = name.partition(" ")
            yield name, *pin_again(project, pin_from(url, text), Address.parse(text), url)


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
