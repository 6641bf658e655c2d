"""`spark update`: looks outside again, and pins what is there in the lock."""

from collections.abc import Iterator, Sequence

from spark_build.app import Project
from spark_build.app.graph_cache import hub_ids
from spark_build.core.errors import Unavailable, UsageError
from spark_build.pinning import LOCK_NAME, PINNED_REVISION


def update(project: Project, names: Sequence[str]) -> Iterator[tuple[str, str | None, str]]:
    """Hub ids with the revision before and now. Errors: Unavailable where the hub can't be asked."""
    known = hub_ids(project.request, project.lock, project.world)
    if project.offline:
        raise UsageError("--offline: an update asks the hub", fix="leave --offline out")
    if unknown := [n for n in names if n not in known]:
        raise UsageError(
            f"the Sparkfile names no '{unknown[0]}'", fix=f"it names {', '.join(known) or 'no hub id'}"
        )
    for hub_id in names or known:
        if PINNED_REVISION.fullmatch(hub_id.partition("@")[2]):
            continue  # a full hash pins itself
        old, new = project.lock.revision_of(hub_id), _revision(hub_id)
        project.lock.put("pins", f"hub:{hub_id}", {"revision": new})
        project.lock.save(project.root / LOCK_NAME)
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
