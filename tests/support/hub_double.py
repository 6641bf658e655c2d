"""An HTTP server on loopback that plays the Hugging Face hub as its API is documented, for the real huggingface_hub.

No hub can be had where these tests run. It answers what a client asks for a dataset: a revision's commit, its tree in
pages, files by `resolve` with their ETag and commit, and large ones by a redirect to another host. The paths and
headers are those of "Hub API Endpoints" and of the client's own documentation.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 3  # files in a page of a tree: most datasets have more


@dataclass
class Dataset:
    """Commits by their 40 hex digits, branches and tags by name."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    is_gated: bool = False

    def commit(self, folder: Path, branch: str = "main") -> str:
        files = {
            f.relative_to(folder).as_posix(): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()
        }
        told = json.dumps({path: _blob(data) for path, data in files.items()}, sort_keys=True)
        digest = hashlib.sha1(told.encode()).hexdigest()
        self.commits[digest], self.names[branch] = files, digest
        return digest


@dataclass
class Hub:
    port: int
    datasets: dict[str, Dataset] = field(default_factory=dict)
    large: int = 1000  # bytes from which a file is kept outside of git
    asked: list[str] = field(default_factory=list)
    spoilt: set[str] = field(default_factory=set)  # files that come with other bytes

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def fetched(self) -> list[str]:
        """Paths of files that were asked for."""
        return [path.partition(" ")[2] for path in self.asked]


@contextmanager
def running() -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    hub = server.hub = Hub(server.server_port)  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        words = [unquote(word) for word in parts.path.strip("/").split("/")]
        if words[0] == "lfs":
            self._large(hub, words[1])
            return None
        words = words[1:] if words[0] == "api" else words
        if words[0] != "datasets" or len(words) < 3:
            self._refuse(404, "EntryNotFound")
            return None
        dataset = hub.datasets.get("/".join(words[1:3]))
        if dataset is None or not self._may_see(dataset):
            self._refuse(401, "RepoNotFound")
            return None
        if dataset.is_gated:
            self._refuse(403, "GatedRepo")
            return None
        verb, rest = (words[3], words[4:]) if len(words) > 3 else ("revision", ["main"])
        revision = rest[0] if rest else "main"
        commit = dataset.names.get(revision, revision if revision in dataset.commits else None)
        if commit is None:
            self._refuse(404, "RevisionNotFound")
            return None
        if verb == "revision":
            return self._json(
                {"id": "/".join(words[1:3]), "_id": "0" * 24, "sha": commit, "tags": [], "private": False}
            )
        files = dataset.commits[commit]
        if verb == "tree":
            self._tree(hub, files, parse_qs(parts.query))
            return None
        self._file(hub, files, "/".join(rest[1:]), commit)
        return None

    def _may_see(self, dataset: Dataset) -> bool:
        return dataset.token is None or self.headers.get("Authorization") == f"Bearer {dataset.token}"

    def _tree(self, hub: Hub, files: dict[str, bytes], query: dict[str, list[str]]) -> None:
        start = int(query.get("cursor", ["0"])[0])
        paths = sorted(files)
        entries = [_entry(path, files[path], hub.large) for path in paths[start : start + PAGE]]
        following = f"{hub.url}{urlsplit(self.path).path}?recursive=true&cursor={start + PAGE}"
        more = {"Link": f'<{following}>; rel="next"'} if start + PAGE < len(paths) else {}
        self._json(entries, more)

    def _file(self, hub: Hub, files: dict[str, bytes], path: str, commit: str) -> None:
        hub.asked.append(f"{self.command} {path}")
        if path not in files:
            self._refuse(404, "EntryNotFound", commit)
            return
        data = files[path]
        if len(data) >= hub.large:
            sha = hashlib.sha256(data).hexdigest()
            linked = {"X-Linked-Etag": f'"{sha}"', "X-Linked-Size": str(len(data)), "X-Repo-Commit": commit}
            self._send(302, b"", {**linked, "Location": f"http://localhost:{hub.port}/lfs/{sha}"})
            return
        sent = bytes(len(data)) if path in hub.spoilt else data
        self._send(200, sent, {"ETag": f'"{_blob(data)}"', "X-Repo-Commit": commit})

    def _large(self, hub: Hub, sha: str) -> None:
        every = (
            data for d in hub.datasets.values() for files in d.commits.values() for data in files.values()
        )
        data = next(one for one in every if hashlib.sha256(one).hexdigest() == sha)
        self._send(200, data, {"ETag": f'"{sha}"'})

    def _json(self, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _refuse(self, status: int, code: str, commit: str | None = None) -> None:
        told = {
            "X-Error-Code": code,
            "X-Error-Message": code,
            **({"X-Repo-Commit": commit} if commit else {}),
        }
        self._send(status, json.dumps({"error": code}).encode(), told)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def _entry(path: str, data: bytes, large: int) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(data), "oid": _blob(data)}
    if len(data) < large:
        return entry
    return {**entry, "lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}}


def _blob(data: bytes) -> str:
    """As git names a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
