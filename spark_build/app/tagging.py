"""Tags: names for results, kept in the lock."""

from spark_build.app import Project
from spark_build.app.lineage import unlike_by_age
from spark_build.app.overrides import refuse_as_tag
from spark_build.core.address import Address, typed
from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError, UsageError
from spark_build.pinning import tag_block


def put_tag(project: Project, address: Address) -> tuple[str, Digest]:
    """Names what is built now: the tag and its result.

    Errors: SparkError where it is not built; UsageError where the tag is taken.
    """
    target = project.resolve(address.target)
    refuse_as_tag(project, str(address.tag))
    if target.kind == "deployment":
        raise UsageError("a deployment has no result to tag", fix="tag the model that it serves")
    record = project.record_of(target.target)
    if project.local_store.hold([record]):
        raise SparkError(
            f"the result of {target} has just left the store", fix=f"spark build {typed(str(target))}"
        )
    name = f"{target.target}@{address.tag}"
    known = project.lock.tag(name)
    if known is not None and known["output"] != record.output:
        raise UsageError(
            f"'{name}' names another result already ({known['output'][:12]})",
            fix=f"spark tag --delete {typed(name)}",
        )
    before = unlike_by_age(project, target.main_stage, record)
    project.lock.put("tags", name, tag_block(target.main_stage, record, before))
    project.save_lock()
    return name, record.output


def delete_tag(project: Project, address: Address) -> tuple[str, Digest]:
    """The tag, and what it named. Errors: UsageError where there is none."""
    target = project.resolve(address.target)
    name = f"{target.target}@{address.tag}"
    known = project.lock.tag(name)
    if known is None:
        raise UsageError(
            f"no tag '{name}'", fix=f"there are {', '.join(project.lock.names('tags')) or 'none'}"
        )
    project.lock.drop("tags", name)
    project.save_lock()
    return name, str(known["output"])
