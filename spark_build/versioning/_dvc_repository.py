"""A DVC repository: a version is added, committed, tagged and pushed there, and what it says of one is read back."""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any

from spark_build.core.errors import BadInput, StageFailed
from spark_build.core.ports import Reporter
from spark_build.core.values import Struct
from spark_build.versioning._programs import Programs
from spark_build.versioning._published import Version, another_tag

_ATTEMPTS = 3  # at a branch that others push to
_OVERTAKEN = ("fetch first", "non-fast-forward", "already exists", "cannot lock ref")  # as git says it
_NO_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|^[-/.]|[/.]$|^@$")


class Place(Struct, frozen=True):
    """Where a version goes, and how."""

    base: Path  # what a relative folder is relative to
    repository: str
    path: str
    branch: str | None
    push: bool
    remote: str | None
    message: str | None
    author: str | None
    program: str


def publish(place: Place, version: Version, scratch: Path, report: Reporter) -> dict[str, Any]:
    """What was found there or done: artifact, commit, tag, and where it was pushed to. Errors: SparkError."""
    folder = place.base / place.repository
    if folder.is_dir() and not _is_bare(folder):
        return _in_folder(place, version, folder, report)
    if not _is_url(place.repository) and not folder.exists():
        return _in_folder(place, version, folder, report)
    url = place.repository if _is_url(place.repository) else str(folder)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _in_clone(place, version, url, scratch / "clone", report)
        except _Overtaken:
            report.log(f"others pushed to {place.repository} meanwhile: looking again ({attempt})")
    raise StageFailed(
        f"{place.repository}: others push to its branch all the time",
        fix="build again, or give it a `branch:`",
    )


def is_ref_name(name: str) -> bool:
    """As `git check-ref-format` sees it."""
    return _NO_REF.search(name) is None


def history(programs: Programs, path: str, newest: int = 20) -> list[dict[str, Any]]:
    """Versions that the checked-out branch has had, the newest first: commit, time, tags, what its .dvc file says."""
    log = programs.git(
        "log", f"-{newest}", "--format=%H%x09%D%x09%cI", "--decorate-refs=refs/tags/", "--", f"./{path}.dvc"
    )
    found = []
    for line in log.splitlines():
        commit, names, when = line.split("\t")
        tags = [name.removeprefix("tag: ") for name in names.split(", ") if name]
        found.append(
            {"commit": commit, "committed": when, "tags": tags, **(_told(programs, commit, path) or {})}
        )
    return found


def _in_folder(place: Place, version: Version, folder: Path, report: Reporter) -> dict[str, Any]:
    programs = Programs(folder, place.program, place.author)
    folder.mkdir(parents=True, exist_ok=True)
    with _turn(folder, report):
        is_empty = not any(folder.iterdir())  # whatever repository it lies in
        if is_empty or programs.asks("rev-parse", "--git-dir") is None:
            _make_git(place, programs)
        _begin(place, programs)
        git_remote = _git_remote(programs) if place.push else None
        if git_remote is not None:
            programs.git("fetch", "--quiet", "--tags", git_remote)
        return _published(place, version, programs, git_remote)


def _in_clone(place: Place, version: Version, url: str, clone: Path, report: Reporter) -> dict[str, Any]:
    if not place.push:
        raise BadInput(
            f"{place.repository}: `push: false` would leave nothing of the version",
            fix="take `push: false` out, or name a folder that is checked out",
        )
    shutil.rmtree(clone, ignore_errors=True)
    clone.parent.mkdir(parents=True, exist_ok=True)
    branch = [f"--branch={place.branch}"] if place.branch else []
    Programs(clone.parent, place.program, None).git("clone", "--quiet", *branch, "--", url, str(clone))
    try:
        programs = Programs(clone, place.program, place.author)
        _begin(place, programs)
        return _published(place, version, programs, "origin")
    finally:
        shutil.rmtree(clone, ignore_errors=True)


def _published(place: Place, version: Version, programs: Programs, git_remote: str | None) -> dict[str, Any]:
    _check_tag(place, version, programs)
    if place.push:
        _check_has_remote(place, programs)
    is_there = (_told(programs, "HEAD", place.path) or {}).get("artifact") == version.digest
    if place.push or not is_there:
        _add(place, version, programs)
    if is_there:
        programs.git("checkout", "--quiet", "HEAD", "--", f"./{place.path}.dvc")
    else:
        _commit(place, version, programs)
    commit = programs.git("log", "-1", "--format=%H", "--", f"./{place.path}.dvc")
    _tag(version, programs, commit)
    if place.push:
        _push(place, version, programs, git_remote)
    return _read_back(place, version, programs, git_remote)


def _read_back(place: Place, version: Version, programs: Programs, git_remote: str | None) -> dict[str, Any]:
    """What git says of the version now."""
    newest, *earlier = history(programs, place.path, 2)
    if newest.get("artifact") != version.digest:
        raise StageFailed(
            f"{place.repository}: {place.path}.dvc was changed by somebody else meanwhile", fix="build again"
        )
    told = {"path": place.path, "artifact": version.digest, "commit": newest["commit"]}
    told |= {"tag": version.tag} if version.tag else {}
    told |= {"before": earlier[0]["commit"]} if earlier else {}
    told |= (
        {"pushed": [n for n in (place.remote or "the default remote", git_remote) if n]} if place.push else {}
    )
    return told


def _begin(place: Place, programs: Programs) -> None:
    """A repository that holds nothing is made one of DVC's; any other has to be one."""
    has_commits = programs.asks("rev-parse", "--verify", "--quiet", "HEAD") is not None
    if not has_commits:
        if not (programs.folder / ".dvc" / "config").exists():
            programs.dvc("init", "--quiet", "--force")
        programs.check_author()
        files = [name for name in (".dvc", ".dvcignore") if (programs.folder / name).exists()]
        programs.git("add", "--", *files)
        programs.git("commit", "--quiet", "--message=DVC", "--only", "--", *files)
    if not (programs.folder / ".dvc").is_dir():
        raise BadInput(
            f"{place.repository} is a git repository, and none of DVC's",
            fix="run `dvc init` in it and commit what that adds",
        )
    branch = programs.asks("symbolic-ref", "--quiet", "--short", "HEAD")
    if branch is None or (place.branch and branch != place.branch):
        raise BadInput(
            f"{place.repository}: {branch or 'no branch'} is checked out, not {place.branch or 'a branch'}",
            fix=f"git -C {place.repository} switch {place.branch or 'main'}",
        )


def _make_git(place: Place, programs: Programs) -> None:
    """Of a folder that holds nothing, or what is left where this was cut off."""
    if any(inside.name != ".git" for inside in programs.folder.iterdir()):
        raise BadInput(
            f"{place.repository} holds files, and is no git repository",
            fix="run `git init && dvc init` in it and commit, or name a folder that is empty or not there yet",
        )
    programs.git("init", "--quiet", f"--initial-branch={place.branch or 'main'}")


def _check_tag(place: Place, version: Version, programs: Programs) -> None:
    """Errors: BadInput where it names other content already."""
    if (
        version.tag is None
        or programs.asks("rev-parse", "--verify", "--quiet", f"refs/tags/{version.tag}") is None
    ):
        return
    tagged = _told(programs, f"refs/tags/{version.tag}", place.path)
    if tagged is None or tagged.get("artifact") != version.digest:
        what = f"{place.path} with other content" if tagged else f"a commit without {place.path}"
        other = another_tag(place.path, version.tag, is_ours=tagged is not None)
        raise BadInput(
            f"{place.repository}: the tag '{version.tag}' names {what}",
            fix=f"give this version a tag of its own, like '{other}'",
        )


def _check_has_remote(place: Place, programs: Programs) -> None:
    """Before anything is committed; DVC is asked where the repository's own file does not say."""
    config = programs.asks("show", "HEAD:./.dvc/config") or ""
    if f'remote "{place.remote or ""}' in config:
        return
    names = [line.split()[0] for line in programs.dvc("remote", "list").splitlines() if line.strip()]
    if place.remote is not None and place.remote not in names:
        raise BadInput(
            f"{place.repository} has no DVC remote '{place.remote}'",
            fix=f"one of {', '.join(names)}"
            if names
            else f"dvc remote add {place.remote} URL there, and commit",
        )
    if not names:
        raise BadInput(
            f"{place.repository} has no DVC remote to push to",
            fix="run `dvc remote add -d NAME URL` there and commit, or say `push: false`",
        )


def _add(place: Place, version: Version, programs: Programs) -> None:
    """Lays the version out in the work tree and has DVC track it; its .dvc file says what it is."""
    target, file = programs.folder / place.path, programs.folder / f"{place.path}.dvc"
    laying = programs.git_folder / "spark-laying"  # a run that was cut off here left half of a version
    if target.exists() and not laying.exists():
        _check_is_untouched(place, programs, target, file)
    if not target.resolve().is_relative_to(programs.folder.resolve()):
        raise BadInput(f"{place.path} leads out of {place.repository}", fix="a folder that is no link")
    laying.touch()
    if target.exists():
        shutil.rmtree(target)
    for path, source in version.files.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / path)
    programs.dvc("add", "--quiet", "--", place.path)
    _tell(place, version, programs)
    laying.unlink()


def _check_is_untouched(place: Place, programs: Programs, target: Path, file: Path) -> None:
    if not file.exists():
        raise BadInput(
            f"{place.repository}: {place.path} is there, and DVC does not track it",
            fix="another `path:`, or move it",
        )
    if programs.dvc("status", "--json", "--", f"{place.path}.dvc").strip() != "{}":
        raise BadInput(
            f"{place.repository}: {place.path} is not what {place.path}.dvc says, and would be overwritten",
            fix=f"`dvc checkout --force {place.path}.dvc` there drops what was edited, if you don't keep it elsewhere",
        )


def _tell(place: Place, version: Version, programs: Programs) -> None:
    """Read through git, as all of the repository: where it lies in the project, none of it is the stage's input."""
    from ruamel.yaml import YAML

    yaml = YAML()
    programs.git("add", "--", f"./{place.path}.dvc")
    content = yaml.load(programs.git("show", f":./{place.path}.dvc"))
    told = {"artifact": version.digest, **({"tag": version.tag} if version.tag else {}), **version.lineage}
    content["meta"] = {**(content.get("meta") or {}), "spark": told}
    text = StringIO()
    yaml.dump(content, text)
    (programs.folder / f"{place.path}.dvc").write_text(text.getvalue(), encoding="utf-8")


def _told(programs: Programs, commit: str, path: str) -> dict[str, Any] | None:
    """What the .dvc file of a commit says of its version; None where it has none of ours."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    text = programs.asks("show", f"{commit}:./{path}.dvc")
    with suppress(YAMLError, AttributeError, TypeError):
        told = YAML(typ="safe").load(text or "")["meta"]["spark"]
        return dict(told)
    return None


def _commit(place: Place, version: Version, programs: Programs) -> None:
    """These files alone, whatever else is staged."""
    programs.check_author()
    ignore = (Path(place.path).parent / ".gitignore").as_posix()
    files = [f"./{f}" for f in (f"{place.path}.dvc", ignore) if (programs.folder / f).exists()]
    subject = place.message or " ".join(filter(None, (place.path, version.tag)))
    programs.git("add", "--", *files)
    programs.git(
        "commit", "--quiet", "--message", f"{subject}\n\nArtifact: {version.digest}", "--only", "--", *files
    )


def _tag(version: Version, programs: Programs, commit: str) -> None:
    if (
        version.tag is None
        or programs.asks("rev-parse", "--verify", "--quiet", f"refs/tags/{version.tag}") is not None
    ):
        return
    programs.check_author()
    programs.git("tag", "--annotate", "--message", f"Artifact: {version.digest}", "--", version.tag, commit)


def _push(place: Place, version: Version, programs: Programs, git_remote: str | None) -> None:
    """Data first: a commit that others see has its data."""
    remote = ["--remote", place.remote] if place.remote else []
    programs.dvc("push", "--quiet", *remote, "--", f"{place.path}.dvc")
    if git_remote is None:
        return
    branch = programs.git("symbolic-ref", "--short", "HEAD")
    merge = programs.asks("config", f"branch.{branch}.merge") or f"refs/heads/{branch}"
    tags = [f"refs/tags/{version.tag}"] if version.tag else []
    try:
        programs.git("push", "--quiet", "--atomic", git_remote, f"HEAD:{merge}", *tags)
    except StageFailed as error:
        if any(said in error.message for said in _OVERTAKEN):
            raise _Overtaken(
                error.message, fix=f"git pull --rebase in {place.repository}, and build again"
            ) from None
        raise


class _Overtaken(StageFailed):
    """Others pushed to the branch first."""


def _git_remote(programs: Programs) -> str | None:
    branch = programs.asks("symbolic-ref", "--quiet", "--short", "HEAD")
    tracked = programs.asks("config", f"branch.{branch}.remote")
    names = programs.git("remote").splitlines()
    return tracked or ("origin" if "origin" in names else None)


@contextmanager
def _turn(folder: Path, report: Reporter) -> Iterator[None]:
    """Versions of one build that go to the same folder go one after the other."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report.log(f"waits for another version that goes to {folder.name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_url(name: str) -> bool:
    return "://" in name or re.match(r"[\w.-]+@[\w.-]+:", name) is not None


def _is_bare(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and not (folder / ".git").exists()
