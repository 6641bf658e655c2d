"""The project's files as keys see them: never stale, read once."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_build.app import Project
from spark_build.core.digest import digest_bytes
from spark_build.core.errors import BadInput, SparkError, Unavailable
from spark_build.core.tree import Entry, Tree
from spark_build.storage import stats, tools
from spark_build.storage import world as world_module
from spark_build.storage.folder_walk import walk
from spark_build.storage.state import FileStat, State
from spark_build.storage.world import FileWorld, KnownTree


def make(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def look(root: Path, path: str = "data", ignore: tuple[str, ...] = ()) -> Tree:
    """As one command would: a state of its own, written at the end."""
    state = State(root / ".spark" / "state.db")
    try:
        return FileWorld(root, state).tree(path, ignore)
    finally:
        state.close()


def settle() -> None:
    time.sleep(0.15)


def count_hashing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    hashed: list[str] = []
    real = world_module.digest_file
    monkeypatch.setattr(
        world_module, "digest_file", lambda path, size=None: hashed.append(str(path)) or real(path, size)
    )
    return hashed


def test_a_folder_is_its_files_sorted_with_size_digest_and_executable_bit(tmp_path: Path) -> None:
    make(tmp_path / "data", {"b.txt": "b", "a/x.sh": "run"})
    (tmp_path / "data/a/x.sh").chmod(0o755)
    (tmp_path / "data/empty").mkdir()
    assert look(tmp_path).entries == (
        Entry("a/x.sh", 3, digest_bytes(b"run"), True),
        Entry("b.txt", 1, digest_bytes(b"b"), False),
    )


@pytest.mark.parametrize("path", ["data", "data/a"])
@pytest.mark.parametrize(("age_seconds", "is_trusted"), [(1.9, False), (2.1, True)])
def test_where_the_clock_counts_whole_seconds_a_stat_is_trusted_after_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, age_seconds: float, is_trusted: bool
) -> None:
    make(tmp_path, {"data/a": "then"})
    changed_ns = 1_700_000_000_000_000_000

    monkeypatch.setattr(FileStat, "of", lambda _: FileStat(4, changed_ns, changed_ns, 7))
    monkeypatch.setattr(stats, "stat_line", lambda _: f"4 {changed_ns} {changed_ns} 7 0")
    monkeypatch.setattr(time, "time_ns", lambda: changed_ns + int(age_seconds * 1e9))
    look(tmp_path, path)
    hashed = count_hashing(monkeypatch)
    look(tmp_path, path)
    assert (hashed == []) == is_trusted


def test_a_file_is_a_tree_of_one_entry(tmp_path: Path) -> None:
    make(tmp_path, {"data/a.csv": "x"})
    assert look(tmp_path, "data/a.csv").entries == (Entry("a.csv", 1, digest_bytes(b"x")),)


def test_what_is_settled_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "data", {"a": "a", "b": "b"})
    settle()
    first, hashed = look(tmp_path), count_hashing(monkeypatch)
    again = look(tmp_path)
    assert isinstance(again, KnownTree)
    assert again == first
    assert again.entries == first.entries
    assert hashed == []


def test_only_the_changed_file_is_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "data", {"a": "a", "b": "b", "c/d": "d"})
    settle()
    look(tmp_path)
    hashed = count_hashing(monkeypatch)
    make(tmp_path / "data", {"b": "B"})
    assert {e.path: e.digest for e in look(tmp_path)}["b"] == digest_bytes(b"B")
    assert [Path(path).name for path in hashed] == ["b"]


NAMES = ["a", "b\n", "\nc", "d],[e", 'f"],["g', "h/i", "süß", "z"]


def test_a_change_beside_names_of_any_kind_gives_the_tree_of_a_fresh_look(tmp_path: Path) -> None:
    for count in range(1, len(NAMES) + 1):
        root, names = tmp_path / str(count), NAMES[:count]
        make(root / "data", {name: name for name in names})
        settle()
        look(root)
        make(root / "data", {names[-1]: "changed", "y": "new"})
        (root / "data" / names[0]).unlink()
        fresh = FileWorld(root, State(None)).tree("data").listing
        assert look(root).listing == fresh
        settle()
        assert look(root).listing == fresh


def test_a_file_that_may_change_again_costs_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "data", {"a": "a", "b": "b"})
    settle()
    make(tmp_path / "data", {"c": "c"})
    look(tmp_path)
    hashed = count_hashing(monkeypatch)
    assert [entry.path for entry in look(tmp_path)] == ["a", "b", "c"]
    assert [Path(path).name for path in hashed] == ["c"]


def test_a_folder_that_was_just_walked_is_not_walked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "data", {"a": "a", "b/c": "c"})
    fresh, lines = look(tmp_path).listing, walk(str(tmp_path / "data"), "data")
    monkeypatch.setattr(world_module, "walk", None)
    assert FileWorld(tmp_path, State(None), walked={"data": lines}).tree("./data").listing == fresh


def test_whoever_looks_again_walks_again(tmp_path: Path) -> None:
    make(tmp_path, {"Sparkfile.yaml": "", "data/a": "a"})
    project = Project(tmp_path, walked={"data": []})
    assert project.world.tree("data").entries == ()
    project.look_again()
    assert [entry.path for entry in project.world.tree("data")] == ["a"]


def test_touch_changes_no_digest(tmp_path: Path) -> None:
    make(tmp_path / "data", {"a": "a"})
    settle()
    before = look(tmp_path).digest
    os.utime(tmp_path / "data/a")
    assert look(tmp_path).digest == before


def test_an_edit_that_keeps_size_and_mtime_is_noticed(tmp_path: Path) -> None:
    make(tmp_path / "data", {"a": "one"})
    settle()
    before, stat = look(tmp_path).digest, os.stat(tmp_path / "data/a")
    make(tmp_path / "data", {"a": "two"})
    os.utime(tmp_path / "data/a", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert look(tmp_path).digest != before


def test_a_file_put_in_place_of_another_is_noticed(tmp_path: Path) -> None:
    make(tmp_path / "data", {"a": "one"})
    make(tmp_path, {"other": "two"})
    stat = os.stat(tmp_path / "data/a")
    os.utime(tmp_path / "other", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    settle()
    before = look(tmp_path).digest
    os.rename(tmp_path / "other", tmp_path / "data/a")
    assert look(tmp_path).digest != before


def test_a_file_that_has_just_changed_is_not_trusted_next_time(tmp_path: Path) -> None:
    make(tmp_path / "data", {"a": "one"})
    look(tmp_path)
    state = State(tmp_path / ".spark/state.db")
    assert state.file("data/a") is None
    assert state.folder("data") is None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(
        st.tuples(
            st.sampled_from(["write", "same size", "restore mtime", "remove", "rename", "chmod", "touch"]),
            st.sampled_from(["a", "b", "c/d"]),
        ),
        max_size=8,
    )
)
def test_the_cache_never_tells_another_tree_than_a_fresh_look(
    tmp_path: Path, edits: list[tuple[str, str]]
) -> None:
    root = tmp_path / str(time.monotonic_ns())
    make(root / "data", {"a": "1", "b": "2", "c/d": "3"})
    look(root)
    for number, (edit, name) in enumerate(edits):
        apply(edit, root / "data" / name, number)
        fresh = FileWorld(root, State(None)).tree("data")
        assert look(root).entries == fresh.entries


def apply(edit: str, path: Path, number: int) -> None:
    if not path.exists() or edit == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text("x" * number)
    elif edit == "same size":
        path.write_text(str(number % 10) * path.stat().st_size)
    elif edit == "restore mtime":
        stat = path.stat()
        path.write_text(chr(97 + number) * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif edit == "remove":
        path.unlink()
    elif edit == "rename":
        path.rename(path.with_name(f"{path.name}{number}"))
    elif edit == "chmod":
        path.chmod(0o755 if number % 2 else 0o644)
    else:
        os.utime(path)


def test_moving_the_project_hashes_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "one/data", {"a": "a"})
    settle()
    before = look(tmp_path / "one").digest
    (tmp_path / "one").rename(tmp_path / "two")
    hashed = count_hashing(monkeypatch)
    assert look(tmp_path / "two").digest == before
    assert hashed == []


def test_the_state_can_be_deleted(tmp_path: Path) -> None:
    make(tmp_path / "data", {"a": "a"})
    settle()
    before = look(tmp_path)
    (tmp_path / ".spark/state.db").unlink()
    assert look(tmp_path) == before


def test_what_tools_leave_behind_does_not_count(tmp_path: Path) -> None:
    make(tmp_path / "data", {"a.py": "a"})
    before = look(tmp_path).digest
    make(
        tmp_path / "data",
        {".git/HEAD": "x", "__pycache__/a.pyc": "x", "b.pyc": "x", ".spark/s": "x", ".DS_Store": "x"},
    )
    assert look(tmp_path).digest == before
    make(tmp_path / "data", {".env": "a dot file counts"})
    assert look(tmp_path).digest != before


def test_ignore_matches_names_and_paths(tmp_path: Path) -> None:
    make(tmp_path / "data", {"a.md": "", "b.tmp": "", "sub/b.tmp": "", "sub/c.md": "", "deep/d/e.md": ""})
    assert [e.path for e in look(tmp_path, ignore=("*.tmp", "deep/d"))] == ["a.md", "sub/c.md"]


def test_a_link_inside_is_followed(tmp_path: Path) -> None:
    make(tmp_path / "data", {"2026/a.md": "a"})
    (tmp_path / "data/first.md").symlink_to("2026/a.md")
    (tmp_path / "data/latest").symlink_to("2026")
    assert [e.path for e in look(tmp_path)] == ["2026/a.md", "first.md", "latest/a.md"]


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    make(tmp_path / "disk", {"a.md": "a"})
    (tmp_path / "project").mkdir()
    (tmp_path / "project/data").symlink_to(tmp_path / "disk")
    assert [e.path for e in look(tmp_path / "project")] == ["a.md"]


def refusal(root: Path, path: str = "data") -> str:
    with pytest.raises(BadInput) as raised:
        look(root, path)
    return str(raised.value)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    make(tmp_path, {"data/a": "a", "secret": "s"})
    (tmp_path / "data/b").symlink_to("../secret")
    assert refusal(tmp_path) == (
        "data/b: a link to ../secret, outside of the folder\n  fix: put a copy in its place"
    )


def test_a_link_to_a_sibling_with_the_same_beginning_is_refused(tmp_path: Path) -> None:
    make(tmp_path, {"data/a": "a", "data-private/s": "s"})
    (tmp_path / "data/b").symlink_to("../data-private/s")
    assert "outside of the folder" in refusal(tmp_path)


def test_a_broken_link_is_refused(tmp_path: Path) -> None:
    make(tmp_path, {"data/a": "a"})
    (tmp_path / "data/b").symlink_to("gone")
    assert refusal(tmp_path) == "data/b: a link to gone, which is not there\n  fix: mend or remove the link"


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    make(tmp_path, {"data/sub/a": "a"})
    (tmp_path / "data/sub/up").symlink_to("..")
    assert "data/sub/up: a link to .., which holds the link itself" in refusal(tmp_path)


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, {"data/a": "a"})
    monkeypatch.chdir(tmp_path / "data")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("talk")
        assert "data/talk: neither a file nor a folder" in refusal(tmp_path)


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "data") + b"/caf\xe9")).write_text("x")
    assert refusal(tmp_path) == "data/caf\ufffd: the name is not UTF-8\n  fix: rename the file"


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, "data/tickets").startswith("data/tickets: not there\n  fix: ")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
@pytest.mark.parametrize("name", ["data/a", "data/sub"])
def test_what_may_not_be_read_is_named(tmp_path: Path, name: str) -> None:
    make(tmp_path, {"data/a": "a", "data/sub/b": "b"})
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    (tmp_path / name).chmod(0)
    code = (
        "import os, sys; from spark_build.storage.state import State\n"
        "from spark_build.storage.world import FileWorld\n"
        "os.setuid(65534)\n"
        "try: FileWorld(sys.argv[1], State(None)).tree('data')\n"
        "except Exception as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert told.stdout.startswith(f"{name}: can't be read (permission denied)\n  fix: chmod u+r")


def test_a_read_only_project_can_be_looked_at(tmp_path: Path) -> None:
    make(tmp_path / "data", {"a": "a"})
    state = State("/proc/no-such-place/state.db")
    assert [e.path for e in FileWorld(tmp_path, state).tree("data")] == ["a"]
    state.close()


def test_a_file_alone_has_a_digest_or_none(tmp_path: Path) -> None:
    make(tmp_path, {"gate.py": "x"})
    world = FileWorld(tmp_path, State(None))
    assert world.file("gate.py") == digest_bytes(b"x")
    assert world.file("other.py") is None


def test_env_is_the_one_that_was_given(tmp_path: Path) -> None:
    world = FileWorld(tmp_path, State(None), {"LANG": "C"})
    assert world.env("LANG") == "C"
    assert world.env("HOME") is None


def tool(root: Path, script: str) -> Path:
    """A script; it notes each run."""
    path = root / "bin" / "brew"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho run >> {root}/runs\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_binary_is_asked_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env, asked = {"PATH": f"{tmp_path}/bin"}, list[str]()
    real = tools._ask
    monkeypatch.setattr(tools, "_ask", lambda found, *rest: asked.append(found) or real(found, *rest))
    brew = tmp_path / "bin/brew"
    make(tmp_path, {"bin/brew": ""})
    shutil.copy(shutil.which("ls") or "", brew)
    for _ in range(2):
        state = State(tmp_path / "state.db")
        assert FileWorld(tmp_path, state, env).tool("brew").startswith("ls ")
        state.close()
    assert asked == [str(brew)]
    brew.unlink()
    shutil.copy(shutil.which("cat") or "", brew)
    assert FileWorld(tmp_path, State(tmp_path / "state.db"), env).tool("brew").startswith("cat ")


def test_a_script_is_asked_each_time_but_once_by_one_look(tmp_path: Path) -> None:
    env = {"PATH": f"{tmp_path}/bin:/bin:/usr/bin", "HOME": str(tmp_path)}
    tool(tmp_path, f"cat {tmp_path}/version")  # as a shim: what it says lies elsewhere
    for version in ("brew 1.2\nmore\n", "brew 1.3"):
        make(tmp_path, {"version": version})
        state = State(tmp_path / "state.db")
        world = FileWorld(tmp_path, state, env)
        assert {world.tool("brew"), world.tool("brew")} == {version.splitlines()[0]}
        state.close()
    assert (tmp_path / "runs").read_text() == "run\n" * 2


def test_a_tool_is_asked_where_and_as_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, "echo brew $HOME in $PWD")
    make(tmp_path, {"elsewhere/x": ""})
    monkeypatch.chdir(tmp_path / "elsewhere")
    env = {"PATH": f"{tmp_path}/bin:/bin:/usr/bin", "HOME": "/home/me"}
    assert FileWorld(tmp_path, State(None), env).tool("brew") == f"brew /home/me in {tmp_path}"


def test_a_tool_without_a_version_counts_by_its_content(tmp_path: Path) -> None:
    env = {"PATH": f"{tmp_path}/bin"}
    tool(tmp_path, "exit 2")
    first = FileWorld(tmp_path, State(None), env).tool("brew")
    tool(tmp_path, "exit 3")
    assert first.startswith("digest ")
    assert FileWorld(tmp_path, State(None), env).tool("brew") != first


def test_a_tool_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="tool 'no-such-tool': not found on PATH"):
        FileWorld(tmp_path, State(None)).tool("no-such-tool")


def test_library_versions_come_from_names_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib/Some_Thing-1.2.3+cpu.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    world = FileWorld(tmp_path, State(None))
    assert world.library("some.thing") == "1.2.3+cpu"
    assert world.library("not-installed") is None


def test_every_refusal_has_a_fix(tmp_path: Path) -> None:
    with pytest.raises(SparkError) as raised:
        look(tmp_path, "gone")
    assert raised.value.fix
