"""Every store holds to the same promises. Implementations are found by what they can do, not by a list."""

import inspect
import pkgutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import spark_build.storage
from spark_build.core.digest import digest_bytes
from spark_build.core.errors import BadInput
from spark_build.core.ports import Objects, Records
from spark_build.core.record import Record
from spark_build.core.tree import Tree
from spark_build.storage.state import State


def methods_of(port: type) -> set[str]:
    return {name for name in vars(port) if not name.startswith("_")}


def implementations(port: type) -> list[type]:
    found = set()
    for module in pkgutil.iter_modules(spark_build.storage.__path__, "spark_build.storage."):
        for _, one in inspect.getmembers(import_module(module.name), inspect.isclass):
            if one.__module__.startswith("spark_build.storage.") and methods_of(port) <= set(dir(one)):
                found.add(one)
    return sorted(found, key=lambda one: one.__name__)


# How each is made in an empty folder; a store without a line here fails by name.
MADE: dict[str, Callable[[type, Path], Any]] = {
    "LocalObjects": lambda one, folder: one(folder, State(folder / "state.db")),
    "LocalRecords": lambda one, folder: one(folder),
}


def make(one: type, folder: Path) -> Any:
    assert one.__name__ in MADE, f"say in MADE how {one.__name__} is made"
    return MADE[one.__name__](one, folder)


@pytest.fixture(params=implementations(Objects), ids=lambda one: one.__name__)
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    made: Objects = make(request.param, tmp_path / "store")
    return made


@pytest.fixture(params=implementations(Records), ids=lambda one: one.__name__)
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Records:
    made: Records = make(request.param, tmp_path / "store")
    return made


def attempt(tmp_path: Path, files: dict[str, bytes]) -> Path:
    folder = tmp_path / "attempt"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_there_is_a_store_of_each_kind() -> None:
    assert {one.__name__ for one in implementations(Objects)} >= {"LocalObjects"}
    assert {one.__name__ for one in implementations(Records)} >= {"LocalRecords"}


def test_what_is_written_is_read(objects: Objects) -> None:
    for data in (b"", b"one", bytes(range(256)) * 10_000):
        digest = objects.write(data)
        assert digest == digest_bytes(data)
        assert objects.has(digest)
        assert objects.read(digest) == data


def test_what_is_absent_is_a_key_error(objects: Objects) -> None:
    absent = digest_bytes(b"absent")
    assert not objects.has(absent)
    assert objects.missing(absent) == [absent]
    with pytest.raises(KeyError):
        objects.read(absent)
    with pytest.raises(KeyError):
        objects.tree(absent)


def test_a_folder_goes_in_and_comes_out_the_same(objects: Objects, tmp_path: Path) -> None:
    files = {"a": b"one", "m/b": b"", "m/n/c": b"one", "é ü.txt": "ö".encode()}
    tree = objects.add_folder(attempt(tmp_path, files))
    assert not (tmp_path / "attempt").exists()
    for link in (True, False):
        out = tmp_path / f"out-{link}"
        objects.check_out(objects.tree(tree.digest), out, link=link)
        assert {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()} == files


def test_the_digest_of_a_folder_is_that_of_its_files_alone(objects: Objects, tmp_path: Path) -> None:
    first = objects.add_folder(attempt(tmp_path, {"a": b"1", "m/b": b"2"}))
    folder = attempt(tmp_path, {"m/b": b"2", "a": b"1"})
    (folder / "empty").mkdir()
    assert objects.add_folder(folder).digest == first.digest


def test_a_part_can_be_laid_out_alone(objects: Objects, tmp_path: Path) -> None:
    tree = objects.add_folder(attempt(tmp_path, {"model/a": b"1", "card/b": b"2"}))
    objects.check_out(tree.select("model/"), tmp_path / "out", link=True)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["model"]


def test_missing_names_each_absent_object_once(objects: Objects, tmp_path: Path) -> None:
    from spark_build.core.tree import Entry

    here = objects.write(b"here")
    gone = digest_bytes(b"gone")
    listing = Tree.of([Entry("a", 4, here), Entry("b", 4, gone), Entry("c", 4, gone)]).listing
    assert objects.missing(objects.write(listing)) == [gone]


def test_a_link_in_a_result_is_refused_and_nothing_is_lost(objects: Objects, tmp_path: Path) -> None:
    folder = attempt(tmp_path, {"a": b"1"})
    (folder / "link").symlink_to("a")
    with pytest.raises(BadInput, match="link") as raised:
        objects.add_folder(folder)
    assert raised.value.fix
    assert (folder / "a").read_bytes() == b"1"


def test_links_that_nobody_changed_are_unchanged(objects: Objects, tmp_path: Path) -> None:
    tree = objects.add_folder(attempt(tmp_path, {"a": b"1"}))
    objects.check_out(tree, tmp_path / "out", link=True)
    assert objects.changed_links(tree) == []


def record(key: str, output: str = "o", loose: str = "l", started: str = "2026") -> Record:
    digest = digest_bytes
    return Record(
        digest(key.encode()), digest(loose.encode()), "model:m/train", {"steps": []}, digest(output.encode()),
        {}, 1, 0.5, started, {"loss": 0.25}, {"handled": 1}, {"note": ["ä"]},
    )  # fmt: skip


def test_a_record_is_found_by_its_key(records: Records) -> None:
    one = record("one")
    assert records.get(one.key) is None
    assert records.put(one) is None
    assert records.get(one.key) == one
    assert list(records.all()) == [one]


def test_a_second_result_counts_and_the_first_is_kept(records: Records) -> None:
    first, second = record("one", "a"), record("one", "b")
    assert records.put(first) is None
    assert records.put(second) == first
    assert records.get(first.key) == second
    assert sorted(r.output for r in records.all()) == sorted([first.output, second.output])


def test_records_that_are_alike_come_newest_first(records: Records) -> None:
    for key, started in (("a", "2024"), ("b", "2026"), ("c", "2025")):
        records.put(record(key, started=started))
    records.put(record("d", loose="another"))
    assert [r.started for r in records.like(record("a").loose_key)] == ["2026", "2025", "2024"]
