"""The state: an index that is quick, shared by processes, and never missed when it is gone."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from spark_build.storage.state import FileStat, ObjectStat, State

DIGEST = "ab" * 32
SEEN = FileStat(1, 2, 3, 4)


def test_what_was_noted_is_there_for_the_next_process(tmp_path: Path) -> None:
    state = State(tmp_path / "state.db")
    state.note_file("data/a.md", SEEN, DIGEST)
    state.note_object(DIGEST, ObjectStat(5, 6))
    state.put("graph", b"{}")
    state.close()
    again = State(tmp_path / "state.db")
    assert again.file("data/a.md") == (SEEN, DIGEST)
    assert again.files_under("data") == {"data/a.md": (SEEN, DIGEST)}
    assert again.object_stats([DIGEST, "cd" * 32]) == {DIGEST: ObjectStat(5, 6)}
    assert again.get("graph") == b"{}"


def test_what_was_noted_counts_before_it_is_written() -> None:
    state = State(None)
    state.note_file("a", SEEN, DIGEST)
    state.note_folder("data", "fold", DIGEST, b"[]", b"lines")
    state.note_object(DIGEST, ObjectStat(5, 6))
    state.forget_object(DIGEST)
    assert state.file("a") == (SEEN, DIGEST)
    assert state.folder("data") == ("fold", DIGEST)
    assert state.folder_content("data") == (b"[]", b"lines")
    assert state.object_stats([DIGEST]) == {}


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    state = State(tmp_path / "state.db")
    assert state.get("graph") is None
    assert state.flush()
    assert not (tmp_path / "state.db").exists()
    state.put("graph", b"1")
    state.flush()
    before = os.stat(tmp_path / "state.db").st_mtime_ns
    state.put("graph", b"1")
    state.close()
    assert os.stat(tmp_path / "state.db").st_mtime_ns == before


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"no database at all" * 100)
    state = State(path)
    assert state.get("graph") is None
    state.put("graph", b"1")
    assert state.flush()
    assert State(path).get("graph") == b"1"


def test_a_file_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE files (other TEXT)")
        connection.execute("PRAGMA user_version = 999")
    state = State(path)
    assert state.file("a") is None
    state.note_file("a", SEEN, DIGEST)
    assert state.flush()
    assert State(path).file("a") == (SEEN, DIGEST)


def test_a_folder_that_cannot_be_made_costs_the_index_alone() -> None:
    state = State("/proc/not-writable/state.db")
    state.put("graph", b"1")
    assert not state.flush()
    assert state.get("graph") == b"1"


def test_names_with_signs_of_a_uri_are_paths(tmp_path: Path) -> None:
    state = State(tmp_path / "50%?mode=x#y" / "state.db")
    state.put("graph", b"1")
    assert state.flush()
    assert (tmp_path / "50%?mode=x#y" / "state.db").exists()


def test_processes_that_begin_at_once_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from spark_build.storage.state import State\n"
        "for i in range(10):\n"
        "    s = State(sys.argv[1]); s.put(f'{sys.argv[2]}-{i}', b'x'); assert s.flush(); s.close()\n"
    )
    path = tmp_path / "state.db"
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)]) for n in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    state = State(path)
    assert len([n for n in range(4) for i in range(10) if state.get(f"{n}-{i}") == b"x"]) == 40
    assert len(state.named("3-")) == 10


def test_an_inode_of_64_bits_can_be_kept(tmp_path: Path) -> None:
    real = os.stat(tmp_path)
    wide = os.stat_result((*real[:1], 2**64 - 1, *real[2:]))
    state = State(tmp_path / "state.db")
    state.note_file("a", FileStat.of(wide), DIGEST)
    assert state.flush()
