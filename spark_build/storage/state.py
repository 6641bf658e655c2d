"""State: what was seen of files and objects, in one SQLite file that can always be deleted."""

import os
import sqlite3
import time
from _thread import RLock
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from spark_build.core.digest import Digest
from spark_build.core.places import settled_beside
from spark_build.storage.stats import MOST_INODE

_SCHEMA_VERSION = 3
_SCHEMA = """
CREATE TABLE files (path TEXT PRIMARY KEY, size INT, mtime INT, ctime INT, inode INT, digest TEXT)
    WITHOUT ROWID;
CREATE TABLE folders (name TEXT PRIMARY KEY, fold TEXT, digest TEXT, listing BLOB, lines BLOB);
CREATE TABLE objects (digest TEXT PRIMARY KEY, size INT, mtime INT) WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
"""
_TIMEOUT_SECONDS = 10.0
_FLUSH_EVERY_SECONDS = 10.0  # what a killed build had noted since is looked at anew


class FileStat(NamedTuple):
    """What tells that a file may have changed. No device: its number moves when a disk is mounted again."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, stat: os.stat_result) -> "FileStat":
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino & MOST_INODE)


class ObjectStat(NamedTuple):
    size: int
    mtime_ns: int


class State:
    """Looked up at once, written in one transaction by `flush`; nothing is written where nothing is new.

    Only an index: a damaged file is begun anew, a folder that can't be written costs the index alone.
    """

    def __init__(self, path: str | Path | None) -> None:
        """`path` None keeps everything in memory."""
        self._path = None if path is None else os.fspath(path)
        self._lock = RLock()
        self._connection: sqlite3.Connection | None = None
        self._new: dict[str, dict[tuple[str, ...], tuple[Any, ...]]] = {}
        self._forgotten: list[tuple[str, tuple[Any, ...]]] = []
        self._unnamed: list[str] = []  # prefixes of facts that are forgotten, and not flushed yet
        self._objects: dict[Digest, ObjectStat] = {}  # noted by this process
        self._flushed_at = time.monotonic()

    # files of the project

    def files_under(self, folder: str) -> dict[str, tuple[FileStat, Digest]]:
        """What is known of the files below `folder` ('' is the project), by their path from the project."""
        sql = "SELECT path, size, mtime, ctime, inode, digest FROM files"
        if folder:
            rows = self._rows(f"{sql} WHERE path >= ? AND path < ?", (f"{folder}/", f"{folder}0"))
        else:
            rows = self._rows(sql, ())
        return {row[0]: (FileStat(*row[1:5]), row[5]) for row in rows}

    def file(self, path: str) -> tuple[FileStat, Digest] | None:
        row = self._pending("files", path) or self._row(
            "SELECT path, size, mtime, ctime, inode, digest FROM files WHERE path = ?", (path,)
        )
        return None if row is None else (FileStat(*row[1:5]), row[5])

    def files(self, paths: Iterable[str]) -> dict[str, tuple[FileStat, Digest]]:
        """What is known of these files; one query for all, without what is not written yet."""
        import json

        sql = "SELECT path, size, mtime, ctime, inode, digest FROM files WHERE path IN (SELECT value FROM json_each(?))"
        return {row[0]: (FileStat(*row[1:5]), row[5]) for row in self._rows(sql, (json.dumps(list(paths)),))}

    def note_file(self, path: str, stat: FileStat, digest: Digest) -> None:
        self._put("files", (path,), (path, *stat, digest))

    def folder(self, name: str) -> tuple[str, Digest] | None:
        """Fold over the stats of all entries, and the tree's digest, as they were last seen."""
        row = self._pending("folders", name) or self._row(
            "SELECT name, fold, digest FROM folders WHERE name = ?", (name,)
        )
        return None if row is None else (row[1], row[2])

    def folder_content(self, name: str) -> tuple[bytes, bytes] | None:
        """Its listing, and the lines with the stats of its files, as they were last seen."""
        pending = self._pending("folders", name)
        sql = "SELECT listing, lines FROM folders WHERE name = ?"
        row = pending[3:] if pending else self._row(sql, (name,))
        return None if row is None else (bytes(row[0]), bytes(row[1]))

    def note_folder(self, name: str, fold: str, digest: Digest, listing: bytes, lines: bytes) -> None:
        self._put("folders", (name,), (name, fold, digest, listing, lines))

    # objects of the store

    def object_stats(self, digests: Iterable[Digest]) -> dict[Digest, ObjectStat]:
        """The stats noted when these objects were last known to be good; one query for all that others noted."""
        wanted = list(digests)
        stats = {digest: stat for digest in wanted if (stat := self._objects.get(digest)) is not None}
        if len(stats) < len(wanted):
            import json

            others = json.dumps([digest for digest in wanted if digest not in stats])
            sql = "SELECT digest, size, mtime FROM objects WHERE digest IN (SELECT value FROM json_each(?))"
            stats |= {row[0]: ObjectStat(row[1], row[2]) for row in self._rows(sql, (others,))}
        return stats

    def note_object(self, digest: Digest, stat: ObjectStat) -> None:
        self._objects[digest] = stat
        self._put("objects", (digest,), (digest, *stat))

    def forget_object(self, digest: Digest) -> None:
        with self._lock:
            self._objects.pop(digest, None)
            self._new.get("objects", {}).pop((digest,), None)
            self._forgotten.append(("DELETE FROM objects WHERE digest = ?", (digest,)))

    # facts of others: a tool's version, the resolved graph, the last key of a stage

    def get(self, name: str) -> bytes | None:
        row = self._pending("facts", name)
        if row is None and not self._is_forgotten(name):
            row = self._row("SELECT name, value FROM facts WHERE name = ?", (name,))
        return None if row is None else bytes(row[1])

    def named(self, prefix: str) -> dict[str, bytes]:
        """All facts whose names begin so."""
        rows = self._rows("SELECT name, value FROM facts WHERE substr(name, 1, ?) = ?", (len(prefix), prefix))
        rows = [row for row in rows if not self._is_forgotten(row[0])]
        with self._lock:
            rows += [row for row in self._new.get("facts", {}).values() if str(row[0]).startswith(prefix)]
        return {row[0]: bytes(row[1]) for row in rows}

    def forget(self, prefix: str) -> None:
        """All facts whose names begin so."""
        with self._lock:
            pending = self._new.get("facts", {})
            for key in [key for key in pending if key[0].startswith(prefix)]:
                del pending[key]
            self._forgotten.append(("DELETE FROM facts WHERE substr(name, 1, ?) = ?", (len(prefix), prefix)))
            self._unnamed.append(prefix)

    def _is_forgotten(self, name: str) -> bool:
        return any(name.startswith(prefix) for prefix in self._unnamed)

    def put(self, name: str, value: bytes) -> None:
        if self.get(name) != value:
            self._put("facts", (name,), (name, value))

    def change(self, name: str, changed: Callable[[bytes | None], bytes]) -> None:
        """Writes a fact at once, made of what stands in the file by then, which others may have written."""
        with self._lock:
            self._new.get("facts", {}).pop((name,), None)
            if self._path is None or not (self._rewrite(name, changed) or self._rewrite(name, changed)):
                self.put(name, changed(self.get(name)))

    # the file

    def flush(self) -> bool:
        """Writes what is new in one transaction; False where it could not be kept (it is only an index)."""
        with self._lock:
            self._flushed_at = time.monotonic()
            if not self._new and not self._forgotten:
                return True
            if self._path is None or not (self._write() or self._write()):  # again where the file was damaged
                return False
            self._new, self._forgotten, self._unnamed = {}, [], []
            return True

    def flush_now_and_then(self) -> None:
        """Where the last time is some seconds ago: many small results share a transaction."""
        if time.monotonic() - self._flushed_at > _FLUSH_EVERY_SECONDS:
            self.flush()

    def close(self) -> None:
        self.flush()
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _rewrite(self, name: str, changed: Callable[[bytes | None], bytes]) -> bool:
        def write(connection: sqlite3.Connection) -> None:
            row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
            value = changed(None if row is None else bytes(row[0]))
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

        return self._transact(write)

    def _write(self) -> bool:
        return self._transact(self._write_new)

    def _write_new(self, connection: sqlite3.Connection) -> None:
        for sql, values in self._forgotten:
            connection.execute(sql, values)
        for table, rows in self._new.items():
            if not rows:  # they were forgotten before they were written
                continue
            marks = ",".join("?" * len(next(iter(rows.values()))))
            connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows.values())

    def _transact(self, write: Callable[[sqlite3.Connection], None]) -> bool:
        """False where it could not be kept; of a damaged file the next try begins anew."""
        try:
            connection = self._open(create=True)
            if connection is None:
                return False
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                write(connection)
        except (sqlite3.OperationalError, OSError):  # read-only, no space, locked for long
            return False
        except sqlite3.DatabaseError:
            self._begin_anew()
            return False
        return True

    def _open(self, *, create: bool = False) -> sqlite3.Connection | None:
        if self._connection is not None or self._path is None:
            return self._connection
        if not create and not os.path.exists(self._path):
            return None
        if create:
            os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
        connection = self._connect("rwc" if create else "rw")
        if create and _version_of(connection) == 0:
            self._forget_settled()
            _make_tables(connection)
        if (version := _version_of(connection)) == _SCHEMA_VERSION:
            self._connection = connection
            return connection
        connection.close()
        if version != 0:  # of another version of this tool; 0 is one that another process makes just now
            self._begin_anew()
        return self._open(create=True) if create and version != 0 else None

    def _connect(self, mode: str) -> sqlite3.Connection:
        """`rw` falls back to reading where the file can't be written."""
        assert self._path is not None
        quoted = os.path.abspath(self._path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        return sqlite3.connect(
            f"file:{quoted}?mode={mode}",
            uri=True,
            timeout=_TIMEOUT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )

    def _begin_anew(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        assert self._path is not None
        for name in (self._path, f"{self._path}-journal"):
            try:
                os.unlink(name)
            except OSError:
                continue  # not there, or a folder that can't be written: then it is only not used

    def _forget_settled(self) -> None:
        """A state that is begun anew knows of none: whoever deletes it wants everything to be looked at."""
        assert self._path is not None
        try:
            for entry in os.scandir(settled_beside(self._path)):
                os.unlink(entry.path)
        except OSError:
            return  # there is none

    # rows

    def _rows(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                connection = self._open()
                return [] if connection is None else connection.execute(sql, values).fetchall()
            except sqlite3.OperationalError:  # locked for long, or not readable
                return []
            except sqlite3.DatabaseError:  # damaged
                self._begin_anew()
                return []

    def _row(self, sql: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        rows = self._rows(sql, values)
        return rows[0] if rows else None

    def _pending(self, table: str, *key: str) -> tuple[Any, ...] | None:
        return self._new.get(table, {}).get(key)

    def _put(self, table: str, key: tuple[str, ...], row: tuple[Any, ...]) -> None:
        with self._lock:
            self._new.setdefault(table, {})[key] = row


def _version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _make_tables(connection: sqlite3.Connection) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")  # two first builds at once: one makes the tables
        if _version_of(connection) == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
