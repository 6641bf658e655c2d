"""Versions in a real DVC repository: one commit and one tag per content, and its very bytes from DVC."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from spark_build.contract import Context
from spark_build.core.errors import BadInput, SparkError, Unavailable
from spark_build.versioning import _dvc_repository
from spark_build.versioning._published import digest_of
from spark_build.versioning.dvc import Dvc, Params
from tests.golden import Heard
from tests.spark import Folder

needs_dvc = pytest.mark.skipif(
    shutil.which("dvc") is None, reason="no dvc on PATH (`pipx install dvc`; .ci/run has one)"
)
AUTHOR = "Ada <ada@example.org>"
QUIET = {"DVC_NO_ANALYTICS": "1", "CI": "1"}


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, **QUIET}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commits(repository: Path, path: str = "notes.dvc") -> list[str]:
    return run(repository, "git", "log", "--format=%s", "--", path).splitlines()


def dataset(folder: Path, text: str = "one") -> dict[str, Path]:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "train-00000.parquet").write_bytes(text.encode())
    (folder / "README.md").write_text(f"# {text}\n")
    return {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}


def publish(at: Path, files: dict[str, Path], repository: str = "registry", **params: Any) -> dict[str, Any]:
    """As the stage has it done; what was told for the Record."""
    own: dict[str, Any] = {
        "repository": repository,
        "path": "notes",
        "author": AUTHOR,
        "push": False,
        **params,
    }
    heard = Heard()
    facts = {"inputs": {"dataset": {"data/train-*": "ab" * 32}}, "splits": {"train": 1}}
    context = Context({}, at / "output", at / "scratch", heard, base_dir=at, facts=facts)
    Dvc(Params(**own)).publish(context, files)
    return dict(heard.notes["published"])


def committed(repository: Path, files: dict[str, Path], *tags: str) -> None:
    """A repository as the rule leaves it, made with git alone."""
    run(repository.parent, "git", "init", "-q", "-b", "main", str(repository))
    for name in ("user.name", "user.email"):
        run(repository, "git", "config", name, "ada@example.org")
    (repository / ".dvc").mkdir()
    (repository / ".dvc" / "config").touch()
    told = {"outs": [{"path": "notes"}], "meta": {"spark": {"artifact": digest_of(files)}}}
    (repository / "notes.dvc").write_text(json.dumps(told))
    run(repository, "git", "add", ".")
    run(repository, "git", "commit", "-qm", "notes")
    for tag in tags:
        run(repository, "git", "tag", tag)


def served(tmp_path: Path) -> tuple[Path, Path]:
    """A bare repository with a DVC remote, and a checkout of somebody else's."""
    bare, seed = tmp_path / "bare.git", tmp_path / "seed"
    run(tmp_path, "git", "init", "-q", "--bare", "-b", "main", str(bare))
    committed(seed, {})
    run(seed, "git", "rm", "-q", "notes.dvc")
    (seed / ".dvc" / "config").write_text(
        f"[core]\n    remote = store\n['remote \"store\"']\n    url = {tmp_path}/store\n"
    )
    run(seed, "git", "add", ".")
    run(seed, "git", "commit", "-qm", "store")
    run(seed, "git", "push", "-q", str(bare), "main")
    return bare, seed


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@needs_dvc
def test_a_build_commits_and_tags_a_version_that_dvc_gives_back_byte_for_byte(
    folder: Folder, tmp_path: Path
) -> None:
    folder.write("data/a.txt", "A note about the harbour.")
    run(tmp_path, "git", "init", "-q")  # around the new one: no matter
    version = {
        "repository": "../registry",
        "path": "sets/notes",
        "tag": "1.0",
        "author": AUTHOR,
        "push": False,
    }
    folder.sparkfile(
        f"datasets:\n  notes: {{source: data, version: {{use: dvc, with: {json.dumps(version)}}}}}\n"
    )
    built, registry = folder.build(), tmp_path / "registry"
    run(tmp_path, "dvc", "get", "-q", str(registry), "sets/notes", "--rev", "1.0", "-o", "got")
    folder.spark("get", "dataset:notes", "--to", "out")
    assert files_of(tmp_path / "got") == files_of(folder.path / "out")
    assert folder.build().outcomes["dataset:notes/version"] == "fresh"
    folder.build("-B", "dataset:notes/version")
    assert commits(registry, "sets/notes.dvc") == ["sets/notes 1.0"]
    assert run(registry, "git", "status", "--porcelain") == ""
    file = run(registry, "git", "show", "1.0:sets/notes.dvc")
    assert f"artifact: {built.outputs['dataset:notes/version']}" in file


@needs_dvc
def test_a_version_is_pushed_to_dvc_s_remote_and_git_s_and_history_goes_on_there(tmp_path: Path) -> None:
    bare, _ = served(tmp_path)
    url = f"file://{bare}"
    first = publish(tmp_path, dataset(tmp_path / "one"), url, push=True, tag="1")
    again = publish(tmp_path, dataset(tmp_path / "one"), url, push=True, tag="1")
    second = publish(tmp_path, dataset(tmp_path / "two", "two"), url, push=True, tag="2")
    assert again == first
    assert second["before"] == first["commit"]
    assert commits(bare)[:2] == ["notes 2", "notes 1"]
    run(tmp_path, "dvc", "get", "-q", url, "notes", "--rev", "2", "-o", "got")
    assert files_of(tmp_path / "got") == files_of(tmp_path / "two")
    assert not list((tmp_path / "scratch").iterdir())


@needs_dvc
def test_a_push_that_others_were_ahead_of_is_made_upon_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare, seed = served(tmp_path)
    push, others = _dvc_repository._push, ["theirs"]

    def late(*words: Any) -> None:
        if others:
            run(seed, "git", "commit", "-q", "--allow-empty", "-m", others.pop())
            run(seed, "git", "push", "-q", str(bare), "main")
        push(*words)

    monkeypatch.setattr(_dvc_repository, "_push", late)
    publish(tmp_path, dataset(tmp_path / "one"), f"file://{bare}", push=True, tag="1")
    assert run(bare, "git", "log", "-2", "--format=%s").splitlines() == ["notes 1", "theirs"]


@needs_dvc
def test_what_was_cut_off_while_it_was_laid_out_is_laid_out_again_and_edits_by_hand_are_not_lost(
    tmp_path: Path,
) -> None:
    publish(tmp_path, dataset(tmp_path / "one"))
    registry = tmp_path / "registry"
    (registry / "notes" / "README.md").write_text("mine")
    with pytest.raises(BadInput, match="would be overwritten"):
        publish(tmp_path, dataset(tmp_path / "two", "two"))
    assert (registry / "notes" / "README.md").read_text() == "mine"
    (registry / ".git" / "spark-laying").touch()
    publish(tmp_path, dataset(tmp_path / "two", "two"))
    assert files_of(registry / "notes") == files_of(tmp_path / "two")
    assert commits(registry) == ["notes", "notes"]


@needs_dvc
def test_a_commit_holds_the_version_alone_whatever_else_is_staged(tmp_path: Path) -> None:
    publish(tmp_path, dataset(tmp_path / "one"))
    registry = tmp_path / "registry"
    (registry / "mine.txt").write_text("not yet")
    run(registry, "git", "add", "mine.txt")
    publish(tmp_path, dataset(tmp_path / "two", "two"))
    assert run(registry, "git", "show", "--format=", "--name-only") == "notes.dvc"
    assert run(registry, "git", "status", "--porcelain") == "A  mine.txt"


def test_content_that_is_committed_already_starts_no_dvc_and_makes_no_commit(tmp_path: Path) -> None:
    files = dataset(tmp_path / "one")
    committed(tmp_path / "registry", files)
    told = publish(tmp_path, files, program="./no-such-program", tag="1.0")
    assert commits(tmp_path / "registry") == ["notes"]
    assert told["commit"] == run(tmp_path / "registry", "git", "rev-parse", "1.0^{commit}")
    assert told["artifact"] == digest_of(files)
    assert "before" not in told


def test_a_tag_of_other_content_is_refused_and_nothing_is_done(tmp_path: Path) -> None:
    committed(tmp_path / "registry", dataset(tmp_path / "one"), "1.9")
    before = run(tmp_path / "registry", "git", "log", "--all", "--oneline")
    with pytest.raises(BadInput, match="names notes with other content") as refused:
        publish(tmp_path, dataset(tmp_path / "two", "two"), tag="1.9")
    assert "'1.10'" in str(refused.value.fix)
    with pytest.raises(BadInput, match="a commit without other") as refused:
        publish(tmp_path, dataset(tmp_path / "two", "two"), tag="1.9", path="other")
    assert "'other-1.9'" in str(refused.value.fix)
    assert run(tmp_path / "registry", "git", "log", "--all", "--oneline") == before
    assert run(tmp_path / "registry", "git", "status", "--porcelain") == ""


def test_a_folder_that_is_no_repository_of_dvc_s_is_left_alone(tmp_path: Path) -> None:
    files = dataset(tmp_path / "one")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a").touch()
    with pytest.raises(BadInput, match="no git repository"):
        publish(tmp_path, files, "plain")
    committed(tmp_path / "registry", files)
    shutil.rmtree(tmp_path / "registry" / ".dvc")
    with pytest.raises(BadInput, match=r"none of DVC's"):
        publish(tmp_path, files)
    assert os.listdir(tmp_path / "plain") == ["a"]


def test_the_first_commit_of_a_repository_holds_dvc_s_files_alone(tmp_path: Path) -> None:
    committed(tmp_path / "registry", dataset(tmp_path / "one"))
    registry = tmp_path / "registry"
    run(registry, "git", "update-ref", "-d", "HEAD")
    with pytest.raises(Unavailable):
        publish(tmp_path, dataset(tmp_path / "two", "two"), program="./no-such-program")
    assert run(registry, "git", "show", "--format=%s", "--name-only").split() == ["DVC", ".dvc/config"]
    assert run(registry, "git", "status", "--porcelain", "--untracked-files=no") == "A  notes.dvc"


def test_another_branch_than_asked_for_is_refused(tmp_path: Path) -> None:
    files = dataset(tmp_path / "one")
    committed(tmp_path / "registry", files)
    with pytest.raises(BadInput, match="main is checked out, not data"):
        publish(tmp_path, files, branch="data")


def test_a_dvc_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    committed(tmp_path / "registry", dataset(tmp_path / "one"))
    with pytest.raises(Unavailable, match="can't be run here") as failed:
        publish(tmp_path, dataset(tmp_path / "two", "two"), program="./no-such-program")
    assert "pipx install dvc" in str(failed.value.fix)


def test_a_url_that_leads_nowhere_is_an_error_of_git_s_own_words(tmp_path: Path) -> None:
    with pytest.raises(SparkError, match="git clone"):
        publish(tmp_path, dataset(tmp_path / "one"), f"file://{tmp_path}/none.git", push=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("repository", "--upload-pack=sh"),
        ("repository", "https://ada:secret@example.org/a.git"),
        ("path", "../out"),
        ("path", "/abs"),
        ("path", ".git/hooks"),
        ("tag", "1..0"),
        ("tag", "-d"),
        ("author", "Ada"),
        ("branch", "--orphan"),
    ],
)
def test_params_that_git_would_take_for_something_else_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        Params(**{"repository": "registry", "path": "notes", name: value})


def test_who_commits_with_which_program_and_words_is_in_no_key() -> None:
    plain = Params(repository="registry", path="notes")
    other = Params(
        repository="registry",
        path="notes",
        author=AUTHOR,
        program="/opt/dvc",
        message="x",
        secrets=["SSH_AUTH_SOCK"],
    )
    assert Dvc.keyed(plain) == Dvc.keyed(other)
    assert Dvc.keyed(plain) != Dvc.keyed(Params(repository="elsewhere", path="notes"))
