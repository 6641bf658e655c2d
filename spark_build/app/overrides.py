"""Results that an address names behind its `@`: a tag's, a profile's, or those of a build with overrides."""

import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from spark_build.app import Project
from spark_build.core.address import Address, kind_of, typed
from spark_build.core.digest import Digest, digest_json
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.record import Record
from spark_build.core.values import replace
from spark_build.engine.results import BuildResult
from spark_build.storage.runs import PREFIX, Run, Runs

_RUN = re.compile(r"run-[0-9a-f]{4,64}")
Tag = dict[str, Any]  # its block in the lock


def runs_of(project: Project) -> Runs:
    return Runs(project.store / "runs" / project.place.inside)


def file_of_run(project: Project) -> Path:
    """Where the run of this project's overrides lies, once one of its stages was built."""
    request = project.request
    return runs_of(project).file(run_id(request.profile, request.sets, request.limit))


def run_id(profile: str | None, sets: Sequence[str], limit: int | None) -> Digest:
    """Of the overrides alone: the same for the same changes, however they are spelled."""
    from sparkfile_schema.overlay import canonical_overrides

    return digest_json([profile, canonical_overrides(sets), limit])


def note_run(project: Project, result: BuildResult) -> None:
    """Keeps what a build with overrides gave, so that its address holds when the Sparkfile is another one."""
    request = project.request
    stages = {stage: told.record.key for stage, told in result.results.items() if told.record is not None}
    if not stages:
        return
    run = Run(
        run_id(request.profile, request.sets, request.limit),
        request.profile,
        request.sets,
        request.limit,
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        stages,
    )
    runs_of(project).put(run)


def names_of_results(project: Project, targets: Iterable[str]) -> list[str]:
    """How what a build with overrides gave is addressed from now on."""
    request = project.request
    is_profile = request.profile and not request.sets and request.limit is None
    tag = request.profile if is_profile else run_name(project, request.profile, request.sets, request.limit)
    named = [address.target for text in targets for address in project.names.all(text)]
    asked = dict.fromkeys(named or project.graph.targets())
    return [f"{target}@{tag}" for target in asked if kind_of(target) != "deployment"]


def run_name(project: Project, profile: str | None, sets: Sequence[str], limit: int | None) -> str:
    return runs_of(project).name(run_id(profile, sets, limit))


def name_of_options(project: Project, options: Sequence[str]) -> str | None:
    """`run-3f2a` of a build's overrides as the journal keeps them; None where it had none."""
    given = [option.partition(" ")[::2] for option in options]
    if not given:
        return None
    profile = next((value for name, value in given if name == "--profile"), None)
    limit = next((int(value) for name, value in given if name == "--limit"), None)
    return run_name(project, profile, [value for name, value in given if name == "--set"], limit)


def refuse_as_tag(project: Project, tag: str) -> None:
    """Errors: UsageError for a name that means something else already."""
    if tag.startswith(PREFIX) and _RUN.fullmatch(tag):
        raise UsageError(f"'{tag}' is how a build with overrides is named", fix="take another name")
    if tag in project.graph.profiles:
        raise UsageError(
            f"'{tag}' is a profile of this Sparkfile, and …@{tag} its results", fix="take another name"
        )


def meant(project: Project, address: Address) -> Tag | Run | str:
    """What stands behind the `@`: a tag's block, a run, or a profile's name.

    Errors: UsageError where it is nothing, or two things.
    """
    assert address.tag is not None
    blocks = (project.lock.tag(f"{named.target}@{named.tag}") for named in kinds_of(address))
    block = next((block for block in blocks if block is not None), None)
    is_profile = address.tag in project.graph.profiles
    if block is not None and is_profile:
        raise UsageError(
            f"'{address}': '{address.tag}' is a tag, and a profile since then",
            fix=f"rename the profile, or spark tag --delete {typed(str(address))}",
        )
    if block is not None:
        return block
    if is_profile:
        return address.tag
    if _RUN.fullmatch(address.tag):
        return _run(project, address)
    known = ", ".join(map(typed, project.lock.names("tags"))) or "none"
    profiles = f"; profiles {', '.join(project.graph.profiles)}" if project.graph.profiles else ""
    raise UsageError(f"no tag '{address}'", fix=f"there are {known}{profiles}; spark tag makes one")


def record_named(project: Project, address: Address) -> Record:
    """The Record of a stage as a tag, a profile or a run has it. Errors: SparkError."""
    found = meant(project, address)
    if isinstance(found, str):
        return with_profile(project, found).record_of(str(bare(address)))
    key = str(found["key"]) if isinstance(found, dict) else _key(project, found, address)
    record = project.records.get(key)
    if record is None:
        raise SparkError(f"the record of '{address}' is no longer in the store", fix=_again(found, address))
    if isinstance(found, dict) and address.stage is not None and found["stage"] != address.main_stage:
        raise UsageError(f"the tag names {found['stage']} alone", fix=f"leave /{address.stage} out")
    return record


def records_named(project: Project, address: Address) -> list[Record]:
    """All that a tag, a profile or a run has of a target."""
    found = meant(project, address)
    if isinstance(found, Run) and address.stage is None:
        own = [stage for stage in found.stages if stage.startswith(f"{address.target}/")]
        return [record for stage in own if (record := project.records.get(found.stages[stage])) is not None]
    if isinstance(found, str) and address.stage is None:
        from spark_build.app.inspecting import records_of

        return records_of(with_profile(project, found), bare(address))
    return [record_named(project, address)]


def with_profile(project: Project, profile: str) -> Project:
    """The same project as `--profile` has it."""
    other = replace(project, profile=profile, sets=(), limit=None, _planners={})
    other.__dict__["state"] = project.state  # one connection for both
    return other


def bare(address: Address) -> Address:
    """The target or stage without what stands behind its `@`."""
    return replace(address, tag=None)


def kinds_of(address: Address) -> list[Address]:
    """What an address may mean where today's Sparkfile is not asked."""
    return [address] if address.kind else [replace(address, kind=kind) for kind in ("dataset", "model")]


def _run(project: Project, address: Address) -> Run:
    runs = runs_of(project)
    found = runs.find(str(address.tag))
    if len(found) == 1:
        return found[0]
    names = [f"{runs.name(run.id)} ({' '.join(run.options)})" for run in found or runs.all()]
    listed = ", ".join(names[-6:])
    if found:
        raise UsageError(f"'{address.tag}' may be {len(found)} runs", fix=f"write more of it: {listed}")
    raise UsageError(f"no run '{address.tag}'", fix=f"there are {listed}" if names else "spark runs")


def _key(project: Project, run: Run, address: Address) -> Digest:
    named = [one for one in kinds_of(address) if one.main_stage in run.stages]
    if not named and address.matrix:  # some of its values, which may be enough
        named = [one for one in [project.names.one(str(bare(address)))] if one.main_stage in run.stages]
    if not named:
        raise UsageError(f"{address.tag} has no '{bare(address)}'", fix=f"it has {', '.join(run.stages)}")
    return run.stages[named[0].main_stage]


def rerun_command(run: Run, address: Address) -> str:
    """The command that builds a run again."""
    words = (word for option in run.options for word in option.split(" ", 1))
    return " ".join(["spark build", *map(typed, words), typed(str(bare(address)))])


def _again(found: Tag | Run, address: Address) -> str:
    if isinstance(found, Run):
        return rerun_command(found, address)
    return f"spark build {typed(str(bare(address)))}"
