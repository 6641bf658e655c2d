"""A lakeFS repository through the server's REST API: branches, objects, commits, merges, tags.

Source: lakeFS API reference, `api/v1`. Written here because the generated client reads each file into memory.
"""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from spark_build.core.errors import TransientError, Unavailable
from spark_build.core.exchange import Exchange, Failed, Request, checked
from spark_build.core.values import Struct

_TIMEOUT_SECONDS = 60.0
_UPLOAD_BYTES_PER_SECOND = 1 << 20  # the slowest that an upload may be
_MOST_ANSWER_BYTES = 64 << 20
_PAGE = 1000


class Refused(Exception):
    """The server says no: its status, and its words."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status}: {said}")
        self.status, self.said = status, said


class Repository(Struct, frozen=True):
    """Errors of all that is asked: Refused; TransientError where the server does not answer, Unavailable."""

    endpoint: str
    name: str
    access_key_id: str
    secret_access_key: str

    def default_branch(self) -> str:
        return str(self._json("GET", "")["default_branch"])

    def commits(self, ref: str) -> Iterator[dict[str, Any]]:
        """The newest first, merges among them."""
        return self._pages(f"/refs/{_quoted(ref)}/commits")

    def objects(self, ref: str, prefix: str) -> Iterator[dict[str, Any]]:
        return self._pages(f"/refs/{_quoted(ref)}/objects/ls", prefix=prefix)

    def tag(self, name: str) -> str | None:
        """The commit that it names."""
        try:
            return str(self._json("GET", f"/tags/{_quoted(name)}")["commit_id"])
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def make_tag(self, name: str, commit: str) -> None:
        self._json("POST", "/tags", {"id": name, "ref": commit})

    def make_branch(self, name: str, source: str) -> None:
        self._ask("POST", "/branches", json.dumps({"name": name, "source": source}).encode())

    def drop_branch(self, name: str) -> None:
        """Nothing where there is none."""
        try:
            self._ask("DELETE", f"/branches/{_quoted(name)}")
        except Refused as refused:
            if refused.status != 404:
                raise

    def upload(self, branch: str, path: str, file: Path) -> None:
        size = file.stat().st_size
        with open(file, "rb") as opened:
            where = f"/branches/{_quoted(branch)}/objects?{urlencode({'path': path})}"
            self._ask("POST", where, opened, "application/octet-stream", size)

    def delete(self, branch: str, path: str) -> None:
        self._ask("DELETE", f"/branches/{_quoted(branch)}/objects?{urlencode({'path': path})}")

    def commit(self, branch: str, message: str, metadata: Mapping[str, str]) -> str:
        told = {"message": message, "metadata": metadata, "allow_empty": True}
        return str(self._json("POST", f"/branches/{_quoted(branch)}/commits", told)["id"])

    def merge(self, source: str, into: str, message: str, metadata: Mapping[str, str]) -> str:
        """The commit of the merge."""
        told = {"message": message, "metadata": metadata, "allow_empty": True}
        where = f"/refs/{_quoted(source)}/merge/{_quoted(into)}"
        return str(self._json("POST", where, told)["reference"])

    def _pages(self, where: str, **query: str) -> Iterator[dict[str, Any]]:
        after = ""
        while True:
            asked = urlencode({**query, "amount": _PAGE, "after": after})
            page = self._json("GET", f"{where}?{asked}")
            yield from page["results"]
            if not page["pagination"]["has_more"]:
                return
            after = page["pagination"]["next_offset"]

    def _json(self, method: str, where: str, told: Any = None) -> Any:
        answer = self._ask(method, where, None if told is None else json.dumps(told).encode())
        try:
            return json.loads(answer)
        except ValueError:
            raise Unavailable(f"{self.endpoint}: no lakeFS answers there", fix="check `endpoint`") from None

    def _ask(
        self,
        method: str,
        where: str,
        body: bytes | BinaryIO | None = None,
        kind: str = "application/json",
        size: int | None = None,
    ) -> bytes:
        key = base64.b64encode(f"{self.access_key_id}:{self.secret_access_key}".encode()).decode()
        headers = {"Authorization": f"Basic {key}", "Accept": "application/json", "Connection": "close"}
        if body is not None:
            headers |= {"Content-Type": kind} | ({"Content-Length": str(size)} if size is not None else {})
        seconds = _TIMEOUT_SECONDS + (size or 0) / _UPLOAD_BYTES_PER_SECOND
        url = f"{self.endpoint.rstrip('/')}/api/v1/repositories/{_quoted(self.name)}{where}"
        try:
            request = Request(checked(url), headers, method, body, seconds, allow_private=True)
            with Exchange(request, time.monotonic() + seconds) as exchange:
                content, status = exchange.content(_MOST_ANSWER_BYTES), exchange.answer.status
        except Failed as failed:
            kind_of = TransientError if failed.may_pass else Unavailable
            raise kind_of(
                f"{self.endpoint}: {failed.reason} ({failed.detail})", fix="check `endpoint`"
            ) from None
        if status // 100 != 2:
            raise _refusal(self, status, content)
        return content


def _refusal(repository: Repository, status: int, content: bytes) -> Exception:
    try:
        said = str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        said = content[:200].decode(errors="replace").strip()
    where = f"{repository.endpoint}, repository '{repository.name}'"
    if status in (401, 403):
        return Unavailable(
            f"{where}: {said}", fix="check access_key_id, secret_access_key and what they may do"
        )
    if status in (429, 500, 502, 503, 504):
        return TransientError(f"{where}: {status} {said}", fix="build again")
    return Refused(status, said)


def _quoted(name: str) -> str:
    return quote(name, safe="")
