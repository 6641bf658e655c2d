"""`spark store gc`: the store without what nobody needs."""

from spark_build.app import Project
from spark_build.app.needs import Found, needs_of
from spark_build.core.values import replace
from spark_build.storage.gc import Collected, collect
from spark_build.storage.turns import turn


def collect_garbage(
    project: Project,
    *,
    builds: int,
    days: float,
    most_bytes: int | None = None,
    with_history: bool = False,
    is_dry: bool = False,
) -> tuple[Collected, Found]:
    """What went and what stays, and what it is needed by. `builds`: the newest of each Sparkfile, whose results stay;
    `days`: for which what is left over is young.

    Errors: SparkError, and then nothing went.
    """
    project = _alone(project)
    with turn(f"{project.local_store.folder}/gc-turn"):
        found = needs_of(project, builds=builds, days=days, with_history=with_history)
        told = collect(project.local_store, found.needs, most_bytes=most_bytes, is_dry=is_dry)
    return told, found


def _alone(project: Project) -> Project:
    """The same project without its remote tier: what is there makes nothing here less needed."""
    other = replace(project, offline=True, _planners={})
    other.__dict__["state"] = project.state  # one connection for both
    return other
