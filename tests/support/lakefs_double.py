"""An HTTP server on loopback that plays a lakeFS repository as its API reference documents it, for our real client.

No lakeFS server can be had where these tests run. Branches with what is staged on them, commits with metadata and
parents, three-way merges that refuse a conflict, tags, and lists in pages.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

KEY, SECRET = "AKIA-DOUBLE", "hush-hush"
PAGE = 2  # results of a list, whatever is asked: there are always more

Objects = dict[str, bytes]


@dataclass
class Commit:
    id: str
    parents: list[str]
    message: str
    metadata: dict[str, str]
    objects: Objects


@dataclass
class Lake:
    port: int
    name: str = "data"
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    staged: dict[str, Objects] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    fails: dict[str, int] = field(default_factory=dict)  # method and part of a path -> status, once

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def commit(
        self, branch: str, message: str, metadata: dict[str, str], objects: Objects, *more: str
    ) -> Commit:
        parents = [self.branches[branch], *more] if branch in self.branches else []
        text = json.dumps([parents, message, metadata, sorted((p, _md5(d)) for p, d in objects.items())])
        made = Commit(hashlib.sha256(text.encode()).hexdigest(), parents, message, metadata, dict(objects))
        self.commits[made.id], self.branches[branch], self.staged[branch] = made, made.id, dict(objects)
        return made

    def resolved(self, ref: str) -> str | None:
        return self.branches.get(ref) or self.tags.get(ref) or (ref if ref in self.commits else None)

    def log(self, ref: str) -> list[Commit]:
        """The newest first: commits know their parents only after those were made."""
        seen, waiting = set[str](), [self.resolved(ref) or ""]
        while waiting:
            if (one := waiting.pop()) not in seen:
                seen.add(one)
                waiting += self.commits[one].parents
        return [commit for commit in reversed(self.commits.values()) if commit.id in seen]


@contextmanager
def running() -> Iterator[Lake]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    lake = server.lake = Lake(server.server_port)  # type: ignore[attr-defined]
    lake.commit("main", "Repository created", {}, {})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield lake
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        lake: Lake = self.server.lake  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        words = [unquote(word) for word in parts.path.removeprefix("/api/v1/").split("/")]
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        known = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
        for what in [
            what for what in lake.fails if what.split()[0] == method and what.split()[1] in self.path
        ]:
            return self._send(lake.fails.pop(what), {"message": "for now"})
        if self.headers.get("Authorization") != f"Basic {known}":
            return self._send(401, {"message": "error authenticating request"})
        if words[:2] != ["repositories", lake.name]:
            return self._send(404, {"message": "repository not found"})
        try:
            return self._send(*_done(lake, method, words[2:], query, body))
        except KeyError as missing:
            return self._send(404, {"message": f"not found: {missing}"})

    def _send(self, status: int, value: Any) -> None:
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def _done(lake: Lake, method: str, words: list[str], query: dict[str, str], body: bytes) -> tuple[int, Any]:
    match method, words:
        case "GET", []:
            return 200, {"id": lake.name, "default_branch": "main"}
        case "POST", ["branches"]:
            asked = json.loads(body)
            if asked["name"] in lake.branches:
                return 409, {"message": "branch already exists"}
            source = lake.commits[lake.resolved(asked["source"]) or asked["source"]]
            lake.branches[asked["name"]], lake.staged[asked["name"]] = source.id, dict(source.objects)
            return 201, source.id
        case "DELETE", ["branches", name]:
            del lake.branches[name]
            return 204, None
        case "POST", ["branches", name, "objects"]:
            lake.staged[name][query["path"]] = body
            lake.uploads.append(query["path"])
            return 201, _stats(query["path"], body)
        case "DELETE", ["branches", name, "objects"]:
            lake.staged[name].pop(query["path"])
            return 204, None
        case "POST", ["branches", name, "commits"]:
            asked = json.loads(body)
            return 201, _told(lake.commit(name, asked["message"], asked["metadata"], lake.staged[name]))
        case "POST", ["refs", source, "merge", into]:
            return _merged(lake, source, into, json.loads(body))
        case "GET", ["refs", ref, "objects", "ls"]:
            objects = lake.commits[lake.resolved(ref) or ref].objects
            found = {p: _stats(p, d) for p, d in sorted(objects.items()) if p.startswith(query["prefix"])}
            return 200, _page(found, query)
        case "GET", ["refs", ref, "commits"]:
            if lake.resolved(ref) is None:
                raise KeyError(ref)
            return 200, _page({c.id: _told(c) for c in lake.log(ref)}, query)
        case "GET", ["tags", name]:
            return 200, {"id": name, "commit_id": lake.tags[name]}
        case "POST", ["tags"]:
            asked = json.loads(body)
            if asked["id"] in lake.tags:
                return 409, {"message": "tag already exists"}
            lake.tags[asked["id"]] = lake.commits[lake.resolved(asked["ref"]) or ""].id
            return 201, {"id": asked["id"], "commit_id": asked["ref"]}
    return 404, {"message": "no such endpoint"}


def _merged(lake: Lake, source: str, into: str, asked: dict[str, Any]) -> tuple[int, Any]:
    theirs, ours = lake.commits[lake.branches[source]], lake.commits[lake.branches[into]]
    inside = {commit.id for commit in lake.log(source)}
    base = next(commit for commit in lake.log(into) if commit.id in inside).objects
    merged = dict(ours.objects)
    for path in {*base, *theirs.objects, *ours.objects}:
        old, new, here = base.get(path), theirs.objects.get(path), ours.objects.get(path)
        if old != new and old != here and new != here:
            return 409, {"message": "Conflict in objects", "reference": ""}
        if old != new:
            merged.pop(path, None)
            merged |= {path: new} if new is not None else {}
    made = lake.commit(into, asked["message"], asked["metadata"], merged, theirs.id)
    return 200, {"reference": made.id}


def _page(found: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
    names = list(found)
    start = names.index(query["after"]) + 1 if query.get("after") else 0
    taken = names[start : start + PAGE]
    more = start + PAGE < len(names)
    told = {
        "has_more": more,
        "next_offset": taken[-1] if more else "",
        "results": len(taken),
        "max_per_page": PAGE,
    }
    return {"pagination": told, "results": [found[name] for name in taken]}


def _stats(path: str, data: bytes) -> dict[str, Any]:
    return {"path": path, "path_type": "object", "checksum": _md5(data), "size_bytes": len(data)}


def _told(commit: Commit) -> dict[str, Any]:
    own = {"id": commit.id, "parents": commit.parents, "message": commit.message, "metadata": commit.metadata}
    return {**own, "committer": "double", "creation_date": 0, "meta_range_id": ""}


def _md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()
