"""The local store: what goes in is whole, what comes out is verified."""

import errno
import gc
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from spark_build.core.digest import Buffer, digest_bytes
from spark_build.core.errors import BadInput, SparkError, StoreDamaged, Unavailable
from spark_build.core.tree import Entry, Tree
from spark_build.storage.durable import Disk
from spark_build.storage.local import LocalObjects
from spark_build.storage.state import State


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "store", State(tmp_path / "store/state.db"))


def attempt(tmp_path: Path, files: dict[str, str]) -> Path:
    folder = tmp_path / "attempt"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def object_file(objects: LocalObjects, text: str) -> Path:
    return Path(objects.path(digest_bytes(text.encode())))


def spoil(path: Path, text: str, *, keep_stat: bool = False) -> None:
    stat = path.stat()
    path.chmod(0o644)
    path.write_text(text)
    path.chmod(0o444)
    if keep_stat:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def leftovers(objects: LocalObjects) -> list[Path]:
    return list(Path(objects.folder, "tmp").iterdir())


def test_a_folder_becomes_objects_and_a_listing(objects: LocalObjects, tmp_path: Path) -> None:
    folder = attempt(tmp_path, {"model/a.bin": "one", "card.md": "two"})
    tree = objects.add_folder(folder)
    assert [e.path for e in tree] == ["card.md", "model/a.bin"]
    assert objects.tree(tree.digest) == tree
    assert objects.missing(tree.digest) == []
    assert not folder.exists()
    assert not leftovers(objects)


def test_objects_are_read_only_and_their_time_tells_nothing(objects: LocalObjects, tmp_path: Path) -> None:
    objects.add_folder(attempt(tmp_path, {"a": "one"}))
    stat = object_file(objects, "one").stat()
    assert stat.st_mode & 0o777 == 0o444
    assert stat.st_mtime == 946684800


def test_the_same_content_is_one_object(objects: LocalObjects, tmp_path: Path) -> None:
    tree = objects.add_folder(attempt(tmp_path, {"a": "one", "b": "one"}))
    again = objects.add_folder(attempt(tmp_path, {"c": "one"}))
    assert {e.digest for e in (*tree, *again)} == {digest_bytes(b"one")}
    assert object_file(objects, "one").stat().st_nlink == 1


def test_many_files_are_all_taken_in(objects: LocalObjects, tmp_path: Path) -> None:
    tree = objects.add_folder(attempt(tmp_path, {f"{n % 7}/{n}": str(n) for n in range(300)}))
    assert len(tree.entries) == 300
    assert objects.missing(tree.digest) == []


def test_a_good_object_is_never_replaced(objects: LocalObjects, tmp_path: Path) -> None:
    objects.add_folder(attempt(tmp_path, {"a": "one"}))
    inode = object_file(objects, "one").stat().st_ino
    objects.add_folder(attempt(tmp_path, {"a": "one"}))
    objects.write(b"one")
    assert object_file(objects, "one").stat().st_ino == inode


def test_a_damaged_object_is_replaced_by_a_good_one(objects: LocalObjects, tmp_path: Path) -> None:
    tree = objects.add_folder(attempt(tmp_path, {"a": "one"}))
    spoil(object_file(objects, "one"), "two")
    assert objects.missing(tree.digest) == [digest_bytes(b"one")]
    assert objects.add_folder(attempt(tmp_path, {"a": "one"})) == tree
    assert objects.read(digest_bytes(b"one")) == b"one"
    assert [p.read_text() for p in Path(objects.folder, "damaged").iterdir()] == ["two"]


def test_a_users_own_file_is_copied_and_left_as_it_is(objects: LocalObjects, tmp_path: Path) -> None:
    folder = attempt(tmp_path, {"a": "mine"})
    os.link(folder / "a", tmp_path / "my file")
    (tmp_path / "my file").chmod(0o640)
    before = (tmp_path / "my file").stat()
    objects.add_folder(folder)
    after = (tmp_path / "my file").stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    assert not object_file(objects, "mine").samefile(tmp_path / "my file")


def test_an_executable_stays_one(objects: LocalObjects, tmp_path: Path) -> None:
    folder = attempt(tmp_path, {"run.sh": "#!/bin/sh\n", "same.txt": "#!/bin/sh\n"})
    (folder / "run.sh").chmod(0o755)
    tree = objects.add_folder(folder)
    assert [e.executable for e in tree] == [True, False]
    for link, modes in ((True, [0o555, 0o444]), (False, [0o755, 0o644])):
        objects.check_out(tree, tmp_path / f"out{link}", link=link)
        assert [os.stat(tmp_path / f"out{link}" / e.path).st_mode & 0o777 for e in tree] == modes


@pytest.mark.parametrize("kind", ["link", "folder link", "pipe", "socket", "name"])
def test_what_is_no_file_is_refused_by_name(objects: LocalObjects, tmp_path: Path, kind: str) -> None:
    folder = attempt(tmp_path, {"model/good": "x"})
    strange = folder / "model" / "strange"
    if kind == "link":
        strange.symlink_to("good")
    elif kind == "folder link":
        strange.symlink_to(".")
    elif kind == "pipe":
        os.mkfifo(strange)
    elif kind == "socket":
        os.mknod(strange, 0o140644)
    else:
        Path(os.fsdecode(os.fsencode(folder) + b"/model/strange\xff")).write_text("x")
    with pytest.raises(BadInput, match=r"the result holds .*model/strange") as raised:
        objects.add_folder(folder)
    assert raised.value.fix
    assert (folder / "model/good").read_text() == "x"
    assert not object_file(objects, "x").exists()


def test_reading_verifies_sets_aside_and_names(objects: LocalObjects) -> None:
    digest = objects.write(b"one")
    spoil(object_file(objects, "one"), "0ne", keep_stat=True)
    with pytest.raises(StoreDamaged, match=f"object {digest[:12]} in the store does not match its digest"):
        objects.read(digest)
    assert not objects.has(digest)
    with pytest.raises(KeyError):
        objects.read(digest)


def test_a_changed_stat_is_noticed_without_reading_all(objects: LocalObjects) -> None:
    digest = objects.write(b"one")
    assert objects.has(digest)
    spoil(object_file(objects, "one"), "0ne")
    assert not objects.has(digest)


def test_looking_sets_nothing_aside(objects: LocalObjects, tmp_path: Path) -> None:
    tree = objects.add_folder(attempt(tmp_path, {"a": "one"}))
    spoil(object_file(objects, "one"), "0ne")
    spoil(Path(objects.path(tree.digest)), "[]")
    assert objects.missing(tree.digest) == [tree.digest]
    assert not objects.has(tree.digest)
    assert not Path(objects.folder, "damaged").exists()


def test_without_the_state_an_object_is_hashed_once_and_noted(objects: LocalObjects, tmp_path: Path) -> None:
    digest = objects.write(b"one")
    objects.state.close()
    (tmp_path / "store/state.db").unlink(missing_ok=True)
    again = LocalObjects(objects.folder, State(tmp_path / "store/state.db"))
    assert again.has(digest)
    assert digest in again.state.object_stats([digest])


def test_a_hardlink_more_does_not_look_like_damage(objects: LocalObjects, tmp_path: Path) -> None:
    digest = objects.write(b"one")
    os.link(objects.path(digest), tmp_path / "link")
    stat = os.stat(objects.path(digest))
    assert objects.state.object_stats([digest])[digest] == (stat.st_size, stat.st_mtime_ns)


@pytest.mark.parametrize("name", ["../../etc/passwd", "zz" * 32, "AB" * 32, ""])
def test_a_name_that_is_no_digest_reaches_no_file(objects: LocalObjects, name: str) -> None:
    with pytest.raises(StoreDamaged, match="is no digest"):
        objects.read(name)


def test_links_share_their_content_and_copies_do_not(objects: LocalObjects, tmp_path: Path) -> None:
    tree = objects.add_folder(attempt(tmp_path, {"m/a": "one"}))
    objects.check_out(tree, tmp_path / "links", link=True)
    objects.check_out(tree, tmp_path / "copies", link=False)
    stored = object_file(objects, "one")
    assert stored.samefile(tmp_path / "links/m/a")
    assert not stored.samefile(tmp_path / "copies/m/a")
    (tmp_path / "copies/m/a").write_text("mine now")
    assert objects.read(digest_bytes(b"one")) == b"one"


@pytest.mark.parametrize("link", [True, False])
def test_a_damaged_object_is_not_laid_out(objects: LocalObjects, tmp_path: Path, link: bool) -> None:
    tree = objects.add_folder(attempt(tmp_path, {"good": "1", "m/a": "one"}))
    spoil(object_file(objects, "one"), "0ne")
    with pytest.raises(StoreDamaged, match="m/a does not match its digest"):
        objects.check_out(tree, tmp_path / "out", link=link)
    assert [p.name for p in tmp_path.iterdir()] == ["store"]
    assert not object_file(objects, "one").exists()


def test_a_copy_is_verified_although_the_stat_is_right(objects: LocalObjects, tmp_path: Path) -> None:
    tree = objects.add_folder(attempt(tmp_path, {"a": "one"}))
    spoil(object_file(objects, "one"), "0ne", keep_stat=True)
    with pytest.raises(StoreDamaged, match="a does not match its digest"):
        objects.check_out(tree, tmp_path / "out", link=False)


def test_an_absent_object_is_named(objects: LocalObjects, tmp_path: Path) -> None:
    tree = objects.add_folder(attempt(tmp_path, {"m/a": "one"}))
    object_file(objects, "one").unlink()
    with pytest.raises(StoreDamaged, match=r"m/a \(.*\) is not in the store"):
        objects.check_out(tree, tmp_path / "out", link=False)


def test_a_folder_with_something_in_it_is_not_overwritten(objects: LocalObjects, tmp_path: Path) -> None:
    tree = objects.add_folder(attempt(tmp_path, {"a": "one"}))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    with pytest.raises(BadInput, match="is not empty"):
        objects.check_out(tree, tmp_path / "out", link=False)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize("path", ["../out", "/etc/x", "a/../../b", "a//b", "./a"])
def test_a_listing_cannot_reach_out_of_its_folder(objects: LocalObjects, tmp_path: Path, path: str) -> None:
    tree = Tree((Entry(path, 3, objects.write(b"one")),))
    with pytest.raises(StoreDamaged, match="a tree's listing names"):
        objects.check_out(tree, tmp_path / "out", link=False)


def test_a_stage_that_writes_through_its_links_is_found_out(objects: LocalObjects, tmp_path: Path) -> None:
    tree = objects.add_folder(attempt(tmp_path, {"a": "one", "b": "two"}))
    objects.check_out(tree, tmp_path / "in", link=True)
    (tmp_path / "in/a").chmod(0o644)
    (tmp_path / "in/a").write_text("0ne")  # same size; no tick of the clock may have passed
    assert objects.changed_links(tree) == ["a"]
    assert not objects.has(digest_bytes(b"one"))
    assert objects.has(digest_bytes(b"two"))


def test_a_stage_that_only_reads_or_replaces_its_links_is_not_blamed(
    objects: LocalObjects, tmp_path: Path
) -> None:
    tree = objects.add_folder(attempt(tmp_path, {"a": "one", "b": "two"}))
    objects.check_out(tree, tmp_path / "in", link=True)
    (tmp_path / "in/a").read_text()
    (tmp_path / "in/b").unlink()
    (tmp_path / "in/b").write_text("other")
    (tmp_path / "in/a").chmod(0o644)
    assert objects.changed_links(tree) == []
    assert object_file(objects, "one").stat().st_mode & 0o222 == 0


class KilledDisk(Disk):
    """Ends the process at the `at`-th thing that it is asked to do."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __getattribute__(self, name: str) -> object:
        if name in (
            "place",
            "link",
            "write_object",
            "seal",
            "flush_folder",
            "make_folder",
            "remove",
            "rename",
        ):
            self.left -= 1
            if self.left == 0:
                os._exit(9)
        return super().__getattribute__(name)


def test_a_kill_at_any_point_leaves_no_half_object(tmp_path: Path) -> None:
    for at in range(1, 200):
        store = tmp_path / str(at)
        folder = attempt(store, {"a": "one" * 1000, "b": "two", "m/c": "three"})
        child = os.fork()
        if child == 0:
            LocalObjects(store / "s", State(store / "s/state.db"), KilledDisk(at)).add_folder(folder)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for path in (store / "s/objects").glob("*/*"):
            assert digest_bytes(path.read_bytes()) == path.parent.name + path.name
        if status == 0:
            return
        assert folder.exists()
        again = LocalObjects(store / "s", State(store / "s/state.db")).add_folder(folder)
        assert [e.path for e in again] == ["a", "b", "m/c"]
    pytest.fail("the walk through all points did not come to an end")


class ToldDisk(Disk):
    """Keeps what it was asked for: which files were flushed, and which were named."""

    def __init__(self, room: int = 1000) -> None:
        self.told: list[tuple[str, set[str]]] = []
        self.room = room  # for so many files

    def write_object(self, path: str, data: Buffer, *, flush: bool = True) -> None:
        self.room -= 1
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device", path)
        super().write_object(path, data, flush=flush)

    def flush_together(self, files: Collection[str]) -> None:
        super().flush_together(files)
        self.told.append(("flushed", set(files)))

    def place(self, temporary: str, final: str) -> bool:
        self.told.append(("named", {temporary}))
        return super().place(temporary, final)


@pytest.mark.parametrize("has_syncfs", [True, False])
@pytest.mark.parametrize("many", [3, 100])
def test_what_comes_from_elsewhere_has_its_name_only_once_it_is_flushed(
    tmp_path: Path, many: int, has_syncfs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (flushed.append(os.fstat(fd).st_ino), fsync(fd)))
    if not has_syncfs:
        monkeypatch.setattr("spark_build.storage.durable._flush_file_system", lambda path: False)
    disk = ToldDisk()
    objects = LocalObjects(tmp_path / "store", State(None), disk)
    content = {digest_bytes(data): memoryview(data) for data in (b"%d" % n for n in range(many))}
    objects.write_many(content)
    (first, temporaries), *named, (last, folders) = disk.told
    assert (first, last) == ("flushed", "flushed")
    assert {step for step, _ in named} == {"named"}
    assert set().union(*(files for _, files in named)) == temporaries
    assert folders == {os.path.dirname(objects.path(digest)) for digest in content}
    assert not objects.unsound(content)
    each = {os.stat(objects.path(digest)).st_ino for digest in content}
    one_by_one = not has_syncfs or many == 3
    assert each <= set(flushed) if one_by_one else each.isdisjoint(flushed)


def test_of_what_finds_no_room_nothing_is_left(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "store", State(None), ToldDisk(room=40))
    content = {digest_bytes(data): data for data in (b"%d" % n for n in range(60))}
    with pytest.raises(Unavailable, match="no space left on the disk"):
        objects.write_many(content)
    assert not [
        path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.parent.name == "tmp"
    ]
    assert objects.unsound(content) == list(content)


class FullDisk(Disk):
    def write_object(self, path: str, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", path)


def test_an_attempt_survives_a_disk_that_is_full(tmp_path: Path) -> None:
    folder = attempt(tmp_path, {"a": "one"})
    with pytest.raises(Unavailable, match="no space left on the disk"):
        LocalObjects(tmp_path / "store", State(None), FullDisk()).add_folder(folder)
    assert (folder / "a").read_text() == "one"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    gc.collect()  # the error that was caught keeps the store, and with it a file open there
    subprocess.run(["umount", folder], check=True)


def test_a_really_full_disk_is_told_and_keeps_nothing_half(small_disk: Path) -> None:
    objects = LocalObjects(small_disk / "store", State(small_disk / "store/state.db"))
    kept = objects.write(b"before")
    with pytest.raises(SparkError) as raised:
        objects.write(b"x" * 1_000_000)
    assert "no space left on the disk\n  fix: make room" in str(raised.value)
    assert not leftovers(objects)
    assert objects.read(kept) == b"before"


def test_a_full_disk_lays_nothing_half_out(small_disk: Path, tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "store", State(None))
    tree = objects.add_folder(attempt(tmp_path, {"a": "x" * 100_000, "b": "y" * 300_000}))
    with pytest.raises(SparkError, match="no space left"):
        objects.check_out(tree, small_disk / "out", link=False)
    assert list(small_disk.iterdir()) == []


def test_links_to_another_disk_are_read_only_copies(small_disk: Path, tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "store", State(None))
    tree = objects.add_folder(attempt(tmp_path, {"a": "one"}))
    objects.check_out(tree, small_disk / "out", link=True)
    assert (small_disk / "out/a").read_text() == "one"
    assert (small_disk / "out/a").stat().st_mode & 0o777 == 0o444


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_a_store_that_may_only_be_read_is_read(objects: LocalObjects, tmp_path: Path) -> None:
    tree = objects.add_folder(attempt(tmp_path, {"a": "one"}))
    objects.state.close()
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    code = (
        "import json, os, sys, time; from spark_build.storage.local import LocalStore\n"
        "os.setuid(65534); store = LocalStore(sys.argv[1])\n"
        "assert store.objects.missing(sys.argv[2]) == []\n"
        "assert store.records.get('ab' * 32) is None and store.records.like('ab' * 32) == []\n"
        "print(len(store.objects.tree(sys.argv[2]).entries)); store.close()\n"
        "try: store.objects.write(b'new')\n"
        "except Exception as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, objects.folder, tree.digest]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.startswith("1\n")
    assert "permission denied\n  fix: check owner and mode" in told


def test_leftovers_of_long_ago_are_swept(objects: LocalObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    Path(objects.folder, "tmp").mkdir(parents=True)
    Path(objects.folder, "tmp/1-1-left").write_text("half")
    later = time.time() + 90_000
    monkeypatch.setattr(time, "time", lambda: later)
    objects.write(b"one")
    assert not leftovers(objects)
