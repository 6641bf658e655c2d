"""What every source promises; finds the sources by itself, and asks for a case of each."""

import importlib
import inspect
import json
import os
import pkgutil
import shutil
import sqlite3
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import pytest
from pydantic import ValidationError

import spark_build.sources
from spark_build.contract import Bad, Context, OutsideSource, Raw, Source, SourceFile
from spark_build.core.digest import canonical_json, digest_file, digest_json

JSONL = '{"text": "one", "n": 1, "chat": [{"role": "user", "content": "hi"}]}\n{"text": "two", "n": 2.5}\n'
GOOD = {
    "plain.txt": b"Some plain text.\n\nAnother paragraph.\n",
    "page.html": b"<html><body><article><p>Words enough for a main text.</p></article></body></html>",
    "notes.md": "# Title\n\nÜmlauts and 漢字 and 🎈.\n".encode(),
    "rows.jsonl": JSONL.encode(),
    "table.csv": b"text,label\nhello,a\nworld,b\n",
    "folder/deep.txt": b"deeper",
}
BAD = {
    "binary.txt": bytes(range(256)) * 20,
    "empty.txt": b"",
    "zero.parquet": b"",
    "cut.parquet": b"PAR1 and no more",
    "broken.jsonl": b'{"text": "fine"}\nno json\n[1]\n',
    "uneven.csv": b"a,b\n1,2\n3\n",
    "broken.json": b"{",
    "odd.xyz": b"\x00\x01\x02",
}


@dataclass(frozen=True)
class Case:
    params: Callable[[Path], dict[str, Any]]  # from the folder that holds the files
    inputs: Callable[[Path], dict[str, Path]]
    reads_files: bool = True  # of any kind, as they lie; else records that somebody has made already


def as_dataset(folder: Path) -> Path:
    """The names of the files there as the rows of a dataset, beside them."""
    from spark_build.contract.shards import table_of, write_shard

    paths = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
    rows = [{"id": f"id-{n}", "source": path, "text": path, "meta": {}} for n, path in enumerate(paths)]
    data = folder.parent / "dataset" / "data"
    data.mkdir(parents=True, exist_ok=True)
    for split, part in (("test", rows[:2]), ("train", rows[2:])):
        write_shard(table_of(part, {"text": "text"}), data / f"{split}-00000.parquet")
    return data.parent


def packed(folder: Path) -> Path:
    """The files there as members of an archive, beside them."""
    to = folder.parent / "packed"
    to.mkdir(exist_ok=True)
    with zipfile.ZipFile(to / "all.zip", "w") as whole:
        for file in sorted(f for f in folder.rglob("*") if f.is_file()):
            whole.writestr(zipfile.ZipInfo(file.relative_to(folder).as_posix()), file.read_bytes())
    return to


def as_table(folder: Path) -> Path:
    """The names of the files there as rows of a table, beside them."""
    file = folder.parent / "files.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DROP TABLE IF EXISTS files")
        connection.execute("CREATE TABLE files (id INTEGER, text TEXT)")
        paths = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
        connection.executemany("INSERT INTO files VALUES (?, ?)", enumerate(paths))
    return file


def as_points(folder: Path) -> Path:
    """The names of the files there as points of a collection, beside them."""
    from qdrant_client import QdrantClient, models

    place = folder.parent / "points"
    if folder.exists() and not place.exists():
        client = QdrantClient(path=str(place))
        size = models.VectorParams(size=1, distance=models.Distance.DOT)
        client.create_collection("files", size)
        paths = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
        points = [models.PointStruct(id=n, payload={"text": p}, vector=[1.0]) for n, p in enumerate(paths)]
        if points:
            client.upsert("files", points)
        client.close()
    return place


@cache
def bucket() -> Any:
    """Of a server on this machine, which the environment names from then on."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    names = {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_REGION": "us-east-1",
    }
    os.environ.update(names, AWS_DEFAULT_REGION="us-east-1", AWS_ACCESS_KEY_ID="k", AWS_SECRET_ACCESS_KEY="s")
    client = boto3.client("s3")
    client.create_bucket(Bucket="team")
    return client


def in_bucket(folder: Path) -> str:
    """The files there as objects, below a prefix that hangs on their content."""
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    prefix = digest_json([[f.relative_to(folder).as_posix(), digest_file(f)] for f in files])[:12]
    for file in files:
        key = f"{prefix}/{file.relative_to(folder).as_posix()}"
        bucket().put_object(Bucket="team", Key=key, Body=file.read_bytes())
    return f"s3://team/{prefix}"


class Site(SimpleHTTPRequestHandler):
    """Folders by number."""

    folders: ClassVar[list[Path]] = []

    def translate_path(self, path: str) -> str:
        _, number, *rest = unquote(path).split("/")
        return str(self.folders[int(number)].joinpath(*rest))

    def log_message(self, *_: Any) -> None: ...


@cache
def port_of_site() -> int:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def served(folder: Path) -> list[str]:
    """URLs of the files there; the same for folders of the same name that hold the same."""
    content = {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    known = [
        {f.relative_to(k).as_posix(): f.read_bytes() for f in k.rglob("*") if f.is_file()}
        for k in Site.folders
    ]
    if content not in known:
        Site.folders.append(folder)
        known.append(content)
    return [
        f"http://127.0.0.1:{port_of_site()}/{known.index(content)}/{path}" for path in sorted(content)
    ] or ["http://x"]


CASES = {
    "files": Case(lambda folder: {"path": "data"}, lambda folder: {"path": folder}),
    "command": Case(
        lambda folder: {
            "run": ["cp", "-r", "{inputs.raw}/.", "{output}"],
            "inputs": {"raw": "data"},
            "code": "none",
        },
        lambda folder: {"raw": folder},
    ),
    "dataset": Case(
        lambda folder: {"dataset": "dataset:other"},
        lambda folder: {"dataset": as_dataset(folder)},
        reads_files=False,
    ),
    "archive": Case(
        lambda folder: {"path": "packed"},
        lambda folder: {"path": packed(folder)},
        reads_files=False,
    ),
    "http": Case(
        lambda folder: {"urls": served(folder), "allow_private": True}, lambda folder: {}, reads_files=False
    ),
    "sql": Case(
        lambda folder: {"url": f"sqlite:///{as_table(folder)}", "query": "SELECT id, text FROM files"},
        lambda folder: {},
        reads_files=False,
    ),
    "huggingface": Case(lambda folder: {"path": "data"}, lambda folder: {"path": folder}, reads_files=False),
    "s3": Case(lambda folder: {"url": in_bucket(folder)}, lambda folder: {}, reads_files=False),
    "qdrant": Case(
        lambda folder: {"path": str(as_points(folder)), "collection": "files"},
        lambda folder: {},
        reads_files=False,
    ),
    "manifest": Case(
        lambda folder: {"path": "data/rows.jsonl"},
        lambda folder: {"path": folder},
        reads_files=False,
    ),
    "mix": Case(
        lambda folder: {"datasets": {"other": 1.0}},
        lambda folder: {"datasets.other": as_dataset(folder)},
        reads_files=False,
    ),
}


class Silent:
    def progress(self, done: int, total: int | None, unit: str = "items") -> None: ...
    def metric(self, name: str, value: float, step: int | None = None) -> None: ...
    def log(self, text: str) -> None: ...
    def checkpoint(self, step: int) -> None: ...
    def note(self, name: str, value: Any) -> None: ...


def sources() -> Iterator[Any]:
    for module in pkgutil.iter_modules(spark_build.sources.__path__):
        if module.name.startswith("_"):
            continue
        loaded = importlib.import_module(f"spark_build.sources.{module.name}")
        for value in vars(loaded).values():
            if inspect.isclass(value) and issubclass(value, Source) and value.__module__ == loaded.__name__:
                yield pytest.param(module.name, value, id=module.name)


every_source = pytest.mark.parametrize(("name", "source"), list(sources()))
every_reader_of_files = pytest.mark.parametrize(
    ("name", "source"), [found for found in sources() if CASES[str(found.id)].reads_files]
)


def laid_out(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def read(
    name: str, source: type[Source], folder: Path, work: Path, *, by_another: bool = False
) -> dict[str, list[Raw | Bad]]:
    """Every record, by the path of its file. `by_another`: as another process does, whose rule fetched nothing."""
    case = CASES[name]
    rule = source(source.Params(**case.params(folder)), case.inputs(folder))
    (work / "output").mkdir(parents=True)
    (work / "scratch").mkdir()
    context = Context(
        case.inputs(folder), work / "output", work / "scratch", Silent(), base_dir=folder.parent
    )
    if isinstance(rule, OutsideSource) and "path" not in case.inputs(folder):
        rule.bring(context, None)
        context.inputs = {"path": context.output}
    place = rule.fetch(context)
    if by_another:
        rule = source(source.Params(**case.params(folder)), case.inputs(folder))
    found = {}
    for file in sorted(f for f in place.rglob("*") if f.is_file()):
        path = file.relative_to(place).as_posix()
        found[path] = list(rule.read(SourceFile(path, file, file.stat().st_size, digest_file(file))))
    return found


@every_source
def test_every_source_has_a_case_here(name: str, source: type[Source]) -> None:
    assert name in CASES


@every_reader_of_files
def test_good_files_give_records_and_nothing_bad(name: str, source: type[Source], tmp_path: Path) -> None:
    found = read(name, source, laid_out(tmp_path / "data", GOOD), tmp_path / "work")
    assert set(found) == set(GOOD)
    assert not [record for records in found.values() for record in records if isinstance(record, Bad)]
    assert all(records for records in found.values())


@every_reader_of_files
@pytest.mark.parametrize("path", sorted(BAD))
def test_a_bad_file_gives_bad_records_and_no_exception(
    name: str, source: type[Source], path: str, tmp_path: Path
) -> None:
    folder = laid_out(tmp_path / "data", {path: BAD[path], "good.txt": b"a good one"})
    found = read(name, source, folder, tmp_path / "work")
    bad = [record for record in found[path] if isinstance(record, Bad)]
    assert bad
    assert all(record.reason and " " not in record.reason for record in bad)
    assert [type(record) for record in found["good.txt"]] == [Raw]


@every_source
def test_reading_twice_and_elsewhere_gives_the_same(name: str, source: type[Source], tmp_path: Path) -> None:
    files = GOOD | BAD
    first = read(name, source, laid_out(tmp_path / "data", files), tmp_path / "one")
    again = read(name, source, tmp_path / "data", tmp_path / "two", by_another=True)
    moved = read(name, source, laid_out(tmp_path / "elsewhere" / "data", files), tmp_path / "three")
    assert first == again == moved


@every_source
def test_records_survive_json_and_name_no_place_of_this_machine(
    name: str, source: type[Source], tmp_path: Path
) -> None:
    found = read(name, source, laid_out(tmp_path / "data", GOOD | BAD), tmp_path / "work")
    for record in (record for records in found.values() for record in records):
        if isinstance(record, Raw):
            whole = [dict(record.fields), record.key, record.id, record.split, dict(record.meta)]
            assert json.loads(canonical_json(whole)) == whole
            assert str(tmp_path) not in canonical_json(whole).decode()
        else:
            assert str(tmp_path) not in record.detail


@every_reader_of_files
def test_a_documents_key_is_its_file_and_a_rows_is_its_content(
    name: str, source: type[Source], tmp_path: Path
) -> None:
    found = read(name, source, laid_out(tmp_path / "data", GOOD), tmp_path / "work")
    (document,) = found["plain.txt"]
    assert isinstance(document, Raw)
    assert document.key == "plain.txt"
    rows = {record.key for record in found["rows.jsonl"] if isinstance(record, Raw)}
    assert len(rows) == 2
    shutil.copy(tmp_path / "data" / "rows.jsonl", tmp_path / "data" / "copy.jsonl")
    copied = read(name, source, tmp_path / "data", tmp_path / "again")
    assert {record.key for record in copied["copy.jsonl"] if isinstance(record, Raw)} == rows


@every_source
def test_reading_writes_nothing_beside_the_files(name: str, source: type[Source], tmp_path: Path) -> None:
    folder = laid_out(tmp_path / "data", GOOD | BAD)
    before = {f: (f.stat().st_mtime_ns, f.stat().st_size) for f in folder.rglob("*") if f.is_file()}
    read(name, source, folder, tmp_path / "work")
    assert {f: (f.stat().st_mtime_ns, f.stat().st_size) for f in folder.rglob("*") if f.is_file()} == before


@every_source
def test_every_param_is_described_and_unknown_ones_are_refused(
    name: str, source: type[Source], tmp_path: Path
) -> None:
    properties = source.Params.model_json_schema()["properties"]
    assert [field for field, schema in properties.items() if not schema.get("description")] == []
    with pytest.raises(ValidationError, match="not_a_param"):
        source.Params(**CASES[name].params(tmp_path), not_a_param=1)
