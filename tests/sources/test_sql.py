"""Rows of a query: asked by `spark update`, pinned by their content, read without the database."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from spark_build.core.errors import BadInput, Unavailable
from spark_build.sources.sql import Params, Sql
from tests.golden.data_cases import context
from tests.spark import Folder

SPARKFILE = """\
datasets:
  calls:
    source:
      use: sql
      with: {url: "sqlite:///calls.db", query: "SELECT id, text, score FROM calls"}
"""


def database(file: Path, rows: Iterable[tuple[int, str, float | None]]) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DROP TABLE IF EXISTS calls")
        connection.execute("CREATE TABLE calls (id INTEGER, text TEXT, score REAL)")
        connection.executemany("INSERT INTO calls VALUES (?, ?, ?)", rows)


ROWS = [(n, f"call {n}", n / 2 if n % 3 else None) for n in range(50)]


def test_the_whole_way_without_the_database_once_it_is_pinned(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE)
    database(folder.path / "calls.db", ROWS)
    refused = folder.spark("plan", code=2).err
    assert "Sparkfile.yaml:6:7: what 'sql' reads from outside is not pinned" in refused
    assert "spark update" in refused
    assert "dataset:calls" in folder.spark("update").out
    (folder.path / "calls.db").rename(folder.path / "gone.db")
    folder.build()
    assert "50 rows" in folder.spark("show", "dataset:calls").out
    assert set(folder.states().values()) == {"fresh"}
    folder.spark("plan", "--locked")
    # rows in another order, and one of them new: that one is handled
    database(folder.path / "calls.db", [*ROWS[::-1], (99, "a new call", 1.0)])
    assert set(folder.states().values()) == {"fresh"}
    folder.spark("update", "calls")
    assert folder.build().items["dataset:calls/ingest"] == {"handled": 1, "remembered": 50}


def test_a_lost_pin_is_asked_again_and_only_the_same_rows_will_do(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE)
    database(folder.path / "calls.db", ROWS)
    folder.spark("update")
    (folder.path / ".spark").rename(folder.path.parent / "away")
    assert "dataset:calls/ingest" in folder.build().ran
    (folder.path / ".spark").rename(folder.path.parent / "away2")
    database(folder.path / "calls.db", ROWS[1:])
    failed = folder.spark("build", code=1)
    assert "no more what Sparkfile.lock pins" in failed.err + failed.out
    assert "spark update dataset:calls" in failed.err + failed.out


def bring(folder: Path, **params: str | int) -> list[Path]:
    source = Sql(Params(**{"url": "sqlite:///calls.db", "query": "SELECT * FROM calls", **params}))
    source.bring(context(folder, {}), None)
    return sorted((folder / "output" / "rows").iterdir())


def test_the_same_rows_in_any_order_are_the_same_files(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    for place, rows in ((first, ROWS), (second, ROWS[::-1])):
        place.mkdir()
        database(place / "calls.db", rows)
    one, two = bring(first), bring(second)
    assert [(f.name, f.read_bytes()) for f in one] == [(f.name, f.read_bytes()) for f in two]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"query": "SELECT * FROM no_such"}, "no such table"),
        ({"query": "SELECT id, id FROM calls"}, "two columns 'id'"),
        ({"id": "number"}, "no column 'number'"),
        ({"max_rows": 3}, "more than 3 rows"),
        ({"query": "SELECT * FROM calls WHERE id < 0"}, "no row"),
        ({"query": "SELECT x'00' AS bytes"}, "column 'bytes' holds bytes"),
        ({"url": "sqlite:///none.db"}, "no such file"),
        ({"url": "nosuchdb://u:pa55@h/d"}, "nosuchdb"),
    ],
)
def test_what_cannot_be_asked_says_why(tmp_path: Path, params: dict[str, str | int], told: str) -> None:
    database(tmp_path / "calls.db", ROWS)
    with pytest.raises((BadInput, Unavailable), match=told) as raised:
        bring(tmp_path, **params)
    assert "pa55" not in str(raised.value)
    assert not (tmp_path / "none.db").exists()


def test_a_query_changes_nothing(tmp_path: Path) -> None:
    database(tmp_path / "calls.db", ROWS)
    bring(tmp_path, query="DELETE FROM calls WHERE id = 1 RETURNING *")
    with closing(sqlite3.connect(tmp_path / "calls.db")) as connection:
        assert connection.execute("SELECT count(*) FROM calls").fetchone() == (50,)


def test_a_secret_stands_in_neither_lock_nor_store_and_builds_do_without(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE.replace("calls.db", "${secret.PLACE}.db"))
    database(folder.path / "hush-hush.db", ROWS)
    assert "PLACE" in folder.spark("update", code=None).err
    Folder(folder.path, {"PLACE": "hush-hush"}).spark("update")
    folder.build()
    for file in (f for f in folder.path.rglob("*") if f.is_file() and f.name != "hush-hush.db"):
        assert b"hush-hush" not in file.read_bytes(), file
    Folder(folder.path, {"PLACE": "hush"}).spark("update", code=1)
    assert "hush" not in Folder(folder.path, {"PLACE": "hush"}).spark("update", code=1).err
