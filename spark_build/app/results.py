"""Results as files: laid out for people (`spark get`), and as views that servers and readers open."""

import os
from collections.abc import Sequence
from pathlib import Path

from spark_build.app import Project
from spark_build.core.address import Address, typed
from spark_build.core.digest import Digest
from spark_build.core.errors import RequirementNotMet, SparkError, StageFailed, UsageError
from spark_build.core.tree import Tree
from spark_build.core.values import replace
from spark_build.pinning import LOCK_NAME


def get(
    project: Project,
    text: str,
    to: Path,
    *,
    link: bool,
    is_locked: bool,
    source: str | None = None,
    keys: Sequence[str] = (),
) -> Path:
    """A target's Artifact as files under `to`. Errors: UsageError where `to` holds something already."""
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(
            f"{to} is there already and not empty", fix="name a folder that is empty or not there"
        )
    if source is not None:
        from spark_build.app.importing import get_from

        return get_from(project, source, text, to, link=link, is_locked=is_locked, keys=keys)
    output = output_of(project, text, is_locked=is_locked)
    try:
        brought(project, output)
        tree = project.objects.tree(output)
        project.objects.check_out(tree, to, link=link)
    except KeyError:
        raise SparkError(
            f"{text}: {output[:12]} is not in the store", fix=f"spark build {typed(text)}"
        ) from None
    return to


def output_of(project: Project, text: str, *, is_locked: bool = False) -> Digest:
    """The digest of what an address stands for: a tag's, the lock's, or today's, which is built where it has to be."""
    address = Address.parse(text)
    if address.tag is not None:
        return _named(project, address)
    if is_locked:
        return _locked(project, text)
    return _built(project, text)


def checked_out(project: Project, text: str) -> Path:
    """A read-only view of an Artifact, at a path that stays."""
    return view(project, output_of(project, text))


def view(project: Project, output: Digest) -> Path:
    """The Artifact's files as links under `views/`; laid out once."""
    folder = _view_folder(project, output)
    if folder.exists():
        return folder
    brought(project, output)
    return laid_out(project, project.objects.tree(output))


def laid_out(project: Project, tree: Tree) -> Path:
    """The same of a part of an Artifact."""
    folder = _view_folder(project, tree.digest)
    if not folder.exists():
        beside = folder.with_name(f"{folder.name}.{os.getpid()}")
        project.objects.check_out(tree, beside, link=True)
        try:
            beside.rename(folder)
        except OSError:  # somebody else was quicker
            _remove(beside)
    return folder


def brought(project: Project, output: Digest) -> None:
    """Fetches what is not here, where there is a remote store that has it."""
    if project.remote is not None and project.objects.missing(output):
        from spark_build.app.transferring import bring

        bring(project, output)


def _view_folder(project: Project, digest: Digest) -> Path:
    return project.store / "views" / digest[:32]


def _named(project: Project, address: Address) -> Digest:
    """A tag's result, or a run's, as it was built; a profile's as the Sparkfile stands."""
    from spark_build.app.overrides import meant, record_named, with_profile

    found = meant(project, address)
    if isinstance(found, str):
        return _built(with_profile(project, found), str(replace(address, tag=None)))
    return str(found["output"]) if isinstance(found, dict) else record_named(project, address).output


def _locked(project: Project, text: str) -> Digest:
    """What the lock says, whatever today's Sparkfile and data are."""
    from spark_build.app.overrides import kinds_of

    for named in kinds_of(Address.parse(text)):
        block = project.lock.get("stages", named.main_stage)
        if block is not None:
            return str(block["output"])
    raise RequirementNotMet(
        f"{LOCK_NAME} knows no '{text}'", fix=f"spark build {typed(text)}, and commit the lock"
    )


def _built(project: Project, text: str) -> Digest:
    stage = project.main_stage(text)
    result = project.build(stage).uninterrupted()
    told = result.results[stage]
    if told.record is None:
        failed = next((r for r in result.results.values() if r.outcome == "failed"), told)
        raise StageFailed(
            f"{failed.stage} failed: {failed.error or 'skipped'}", fix=f"spark build {typed(text)}"
        )
    if result.unmet:
        raise RequirementNotMet("\n".join(map(str, result.unmet)))
    return told.record.output


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
