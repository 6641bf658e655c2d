"""Points of a collection: a real one in the client's local mode, and a server whose documented API is played.

No Qdrant server can be had where these tests run: `POST /collections/NAME/points/scroll` is answered as its API
reference has it, and the client that asks is the real one.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from spark_build.core.errors import BadInput, Unavailable
from spark_build.sources.qdrant import Params, Qdrant
from tests.golden.data_cases import context
from tests.spark import Folder

SPARKFILE = """\
datasets:
  calls:
    source:
      use: qdrant
      with: {path: vectors, collection: calls, fields: {text: body, language: meta.lang}, vector: embedding}
"""
POINTS = [
    *(
        (n, {"body": f"call {n}", "meta": {"lang": "en" if n % 2 else "de"}, "split": "test"})
        for n in range(40)
    ),
    (str(UUID(int=7)), {"body": "by uuid", "meta": {}}),
]


def collection(folder: Path, points: list[Any], names: tuple[str, ...] = ()) -> None:
    from qdrant_client import QdrantClient, models

    size = models.VectorParams(size=4, distance=models.Distance.DOT)
    client = QdrantClient(path=str(folder))
    if client.collection_exists("calls"):
        client.delete_collection("calls")
    client.create_collection("calls", dict.fromkeys(names, size) if names else size)
    structs = []
    for point_id, payload in points:
        vector: Any = [1.0, 0.5, 0.25, 2.0]
        structs.append(
            models.PointStruct(id=point_id, payload=payload, vector=dict.fromkeys(names, vector) or vector)
        )
    client.upsert("calls", structs)
    client.close()


def bring(folder: Path, **params: Any) -> list[dict[str, Any]]:
    source = Qdrant(
        Params(**{"collection": "calls", **({} if "url" in params else {"path": "vectors"}), **params})
    )
    source.bring(context(folder, {}), None)
    files = sorted((folder / "output" / "rows").iterdir())
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def test_the_whole_way_and_a_new_point_alone_is_handled(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE)
    collection(folder.path / "vectors", POINTS)
    assert "not pinned" in folder.spark("plan", code=2).err
    assert "41 points" in folder.spark("update").err
    (folder.path / "vectors").rename(folder.path / "away")
    folder.build()
    folder.spark("get", "dataset:calls", "--to", "got")
    from spark_build.contract.rows import DatasetFolder

    data = DatasetFolder(folder.path / "got")
    rows = {row["id"]: row for split in data.splits for row in data.rows(split)}
    assert len(rows) == 41
    assert (rows["3"]["text"], rows["3"]["language"], rows["3"]["embedding"]) == (
        "call 3",
        "en",
        [1.0, 0.5, 0.25, 2.0],
    )
    assert rows[str(UUID(int=7))]["language"] is None
    collection(folder.path / "vectors", [*POINTS[::-1], (9999, {"body": "new"})])
    folder.spark("update", "calls")
    assert folder.build().items["dataset:calls/ingest"] == {"handled": 1, "remembered": 41}
    # another mapping is another reading of what is pinned: nothing is asked
    folder.edit("text: body", "words: body")
    folder.build()


def test_the_order_in_which_points_came_and_the_size_of_pages_do_not_count(tmp_path: Path) -> None:
    for name, points, page in (("one", POINTS, 1000), ("two", POINTS[::-1], 7)):
        (tmp_path / name).mkdir()
        collection(tmp_path / name / "vectors", points)
        bring(tmp_path / name, page=page)
    one, two = (
        {f.name: f.read_bytes() for f in (tmp_path / name / "output" / "rows").iterdir()}
        for name in ("one", "two")
    )
    assert one == two


def test_a_filter_chooses_and_a_key_may_say_the_split(tmp_path: Path) -> None:
    collection(tmp_path / "vectors", POINTS)
    german = {"must": [{"key": "meta.lang", "match": {"value": "de"}}]}
    assert {row["id"] % 2 for row in bring(tmp_path, filter=german)} == {0}
    source = Qdrant(Params(path="vectors", collection="calls", split="split"))
    found: Any = source._record({"id": 1, "payload": POINTS[1][1]})
    assert (found.split, sorted(found.fields), found.id) == ("test", ["body", "meta"], "1")
    assert source._record({"id": 1, "payload": {"split": "test"}}).reason == "empty"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"collection": "none"}, "none"),
        ({"path": "nowhere"}, "no folder of Qdrant's"),
        ({"filter": {"must": [{"key": "a", "matches": 1}]}}, "none of Qdrant's"),
        ({"filter": {"must": [{"key": "body", "match": {"value": "?"}}]}}, "gives no point"),
        ({"max_points": 9}, "more than 9 points"),
        ({"vector": "v"}, "vector_name: one of a, b"),
    ],
)
def test_what_cannot_be_asked_says_why(tmp_path: Path, params: dict[str, Any], told: str) -> None:
    collection(tmp_path / "vectors", POINTS[:20], ("a", "b"))
    with pytest.raises((BadInput, Unavailable)) as raised:
        bring(tmp_path, **params)
    assert told in str(raised.value)
    assert not (tmp_path / "nowhere").exists()


def test_one_of_several_vectors_is_taken_by_name(tmp_path: Path) -> None:
    collection(tmp_path / "vectors", POINTS[:2], ("a", "b"))
    assert bring(tmp_path, vector="v", vector_name="b")[0]["vector"] == [1.0, 0.5, 0.25, 2.0]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({}, "name one"),
        ({"url": "http://x", "path": "y"}, "name one"),
        ({"path": "y", "vector_name": "a"}, "vector_name without"),
        ({"path": "y", "fields": {"id": "a"}}, "can't be called 'id'"),
        ({"path": "y", "fields": {"a": "a"}, "vector": "a"}, "two values"),
    ],
)
def test_params_that_make_no_sense_are_refused(params: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Params(collection="calls", **params)


# a server


class _Server(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)  # type: ignore[attr-defined]
        if self.headers.get("api-key") != "hush-hush":
            return self._send(403, {"status": {"error": f"Forbidden: {self.headers.get('api-key')}"}})
        if self.path != "/collections/calls/points/scroll":
            return self._send(404, {"status": {"error": "Not found: Collection doesn't exist!"}})
        start = asked.get("offset") or 0
        page = [{"id": n, "payload": {"body": f"call {n}"}, "vector": [0.5]} for n in range(10)][start:][
            : asked["limit"]
        ]
        following = start + len(page)
        result = {"points": page, "next_page_offset": following if following < 10 else None}
        return self._send(200, {"status": "ok", "time": 0.1, "result": result})

    def _send(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def served() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_server_is_scrolled_in_pages_with_its_key(tmp_path: Path) -> None:
    with served() as server:
        url = f"http://127.0.0.1:{server.server_port}"
        chosen = {"must": [{"key": "lang", "match": {"value": "en"}}]}
        rows = bring(tmp_path, url=url, api_key="hush-hush", page=4, vector="v", filter=chosen)
        assert sorted(row["id"] for row in rows) == list(range(10))
        assert [asked.get("offset") for asked in server.asked] == [None, 4, 8]
        assert server.asked[0]["filter"]["must"][0]["key"] == "lang"


def test_a_servers_refusal_is_told_without_the_key(tmp_path: Path) -> None:
    with served() as server:
        url = f"http://127.0.0.1:{server.server_port}"
        for params in ({"api_key": "wrong-key"}, {"api_key": "hush-hush", "collection": "none"}):
            with pytest.raises(Unavailable) as raised:
                bring(tmp_path, url=url, **params)
            assert "wrong-key" not in str(raised.value)
    with pytest.raises(Unavailable):
        bring(tmp_path, url="http://127.0.0.1:9")
