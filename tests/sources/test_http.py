"""Files behind URLs, of a real server that misbehaves in every way: fetched once, pinned, read without a network."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from spark_build.contract import Raw, SourceFile
from spark_build.core import exchange
from spark_build.core.errors import Unavailable
from spark_build.core.exchange import Failed, is_public
from spark_build.sources._download import Asking, download
from spark_build.sources._urls import names_of
from spark_build.sources.http import Http, Params
from tests.golden import files_of
from tests.golden.data_cases import context
from tests.spark import Folder


class Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: ClassVar[Counter[str]] = Counter()
    pages: ClassVar[dict[str, bytes]] = {}
    broken: ClassVar[str] = ""  # the path of which it says 503

    def do_GET(self) -> None:
        Site.asked[self.path] += 1
        if self.path == Site.broken:
            self._say(b"", status=503)
            return
        odd = getattr(self, f"_{self.path.strip('/').partition('/')[0].replace('-', '_')}", None)
        if odd is not None:
            odd()
        elif self.path in Site.pages:
            self._say(Site.pages[self.path], "text/html" if self.path.endswith("html") else "text/plain")
        else:
            self._say(b"nothing here", status=404)

    def _say(
        self, body: bytes, kind: str = "text/plain", status: int = 200, length: int | None = None, **more: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        self.close_connection = True

    def _flaky(self) -> None:
        is_up = Site.asked[self.path] > 2
        self._say(b"at last" if is_up else b"later", status=200 if is_up else 503, Retry_After="0")

    def _named(self) -> None:
        """With an ETag."""
        if self.headers.get("If-None-Match") == '"one"':
            Site.asked["unchanged"] += 1
            self._say(b"", status=304)
        else:
            self._say(b"named", ETag='"one"')

    def _slow(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(1000):
            time.sleep(0.05)
            self.wfile.write(b".")

    def _slow_head(self) -> None:
        for piece in b"HTTP/1.1 200 OK\r\n" + b"X-Word: " + b"x" * 1000:
            time.sleep(0.05)
            self.wfile.write(bytes([piece]))

    def _cut(self) -> None:
        self._say(b"0123456789", length=100)

    def _long(self) -> None:
        self._say(b"0123456789 and more", length=10)

    def _huge(self) -> None:
        self._say(b"", length=10 << 30)

    def _endless(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(10_000):
            self.wfile.write(b"400\r\n" + b"x" * 1024 + b"\r\n")

    def _torn(self) -> None:
        """A chunk that never comes."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nfirst\r\n400\r\nxx")
        self.close_connection = True

    def _rubbish(self) -> None:
        self.wfile.write(b"\x00\x01 not HTTP\r\n\r\n")
        self.close_connection = True

    def _to(self) -> None:
        """/to/PLACE: to that path; /to/other/PLACE: by another name of this machine."""
        place = self.path.removeprefix("/to")
        if place.startswith("/other/"):
            place = f"http://localhost:{self.server.server_port}{place.removeprefix('/other')}"  # type: ignore[attr-defined]
        self._say(b"", status=302, Location=place)

    def _loop(self) -> None:
        self._say(b"", status=302, Location="/loop")

    def _who(self) -> None:
        self._say(str(self.headers.get("Authorization")).encode())

    def log_message(self, *_: Any) -> None: ...

    def handle(self) -> None:
        with suppress(OSError):  # whoever asked went away
            super().handle()


@pytest.fixture
def site() -> Iterator[str]:
    Site.asked, Site.broken = Counter(), ""
    Site.pages = {
        "/a.md": b"# A\n\nFirst.",
        "/docs/": b"An index.",
        "/docs/page.html": b"<html><p>Words here.</p></html>",
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def asking(**changed: Any) -> Asking:
    usual = {
        "max_bytes": 1 << 16,
        "timeout_seconds": 5.0,
        "retries": 0,
        "wait_seconds": 0.0,
        "allow_private": True,
    }
    return Asking(**{**usual, **changed})


def why(url: str, to: Path, **changed: Any) -> str:
    with pytest.raises(Failed) as raised:
        download(url, to / "got", asking(**changed), {})
    return raised.value.reason


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/gone", "http_404"),
        ("/cut", "cut_off"),
        ("/torn", "cut_off"),
        ("/long", "wrong_length"),
        ("/huge", "too_large"),
        ("/endless", "too_large"),
        ("/rubbish", "bad_answer"),
        ("/loop", "too_many_redirects"),
        ("/to/gone", "http_404"),
    ],
)
def test_what_a_server_does_wrong_is_a_reason(site: str, path: str, reason: str, tmp_path: Path) -> None:
    assert why(f"{site}{path}", tmp_path) == reason


@pytest.mark.parametrize("path", ["/slow", "/slow-head"])
def test_a_server_that_dribbles_is_cut_off_at_the_deadline(site: str, path: str, tmp_path: Path) -> None:
    began = time.monotonic()
    assert why(f"{site}{path}", tmp_path, timeout_seconds=0.4) == "too_slow"
    assert time.monotonic() - began < 3


def test_what_may_pass_is_tried_again_with_twice_the_wait_and_what_may_not_is_not(
    site: str, tmp_path: Path
) -> None:
    waits: list[float] = []
    download(f"{site}/flaky", tmp_path / "got", asking(retries=3, wait_seconds=0.5), {}, waits.append)
    assert (tmp_path / "got").read_bytes() == b"at last"
    assert waits == [0.5, 1.0]
    assert why(f"{site}/gone", tmp_path, retries=3) == "http_404"
    assert Site.asked["/gone"] == 1


def test_private_addresses_are_refused_also_behind_a_redirect(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert why(f"{site}/a.md", tmp_path, allow_private=False) == "private_address"
    assert why(site.replace("127.0.0.1", "localhost"), tmp_path, allow_private=False) == "private_address"
    assert not Site.asked
    # as if the first address were public, and the one that it leads to were not
    looks = iter([True, False])
    monkeypatch.setattr(exchange, "is_public", lambda address: next(looks))
    assert why(f"{site}/to/a.md", tmp_path, allow_private=False) == "private_address"
    assert Site.asked == {"/to/a.md": 1}


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "::", "nonsense"],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url", ["ftp://x/y", "file:///etc/passwd", "http://", "http://u:p@h/", "http://h:99999/"]
)
def test_urls_that_are_none(url: str, tmp_path: Path) -> None:
    assert why(url, tmp_path) == "bad_url"


def test_authorization_goes_to_the_host_that_was_named_and_to_no_other(site: str, tmp_path: Path) -> None:
    for path, told in (("/who", b"Bearer x"), ("/to/who", b"Bearer x"), ("/to/other/who", b"None")):
        download(f"{site}{path}", tmp_path / "got", asking(authorization="Bearer x"), {})
        assert (tmp_path / "got").read_bytes() == told


def test_a_path_in_any_letters_is_asked_for_as_urls_write_it(site: str, tmp_path: Path) -> None:
    Site.pages["/a%20b/%C3%A4.md?q=%C3%B6&r=a/b"] = b"found"
    for path in ("/a b/ä.md?q=ö&r=a/b", "/a%20b/%C3%A4.md?q=%C3%B6&r=a/b"):
        download(f"{site}{path}", tmp_path / "got", asking(), {})
        assert (tmp_path / "got").read_bytes() == b"found"


def test_names_are_those_of_host_and_path_and_never_two_the_same() -> None:
    urls = ["http://h/a.md", "https://h/a.md", "http://h/d", "http://h/d/x.md", "http://h/?q=1", "http://h/?q=2",
            "http://h/../.ssh/k~.txt", f"http://h/{'x' * 300}.txt", "http://H:8/A%20b/"]  # fmt: skip
    names = names_of(urls)
    assert names["http://h/d/x.md"] == "h/d/x.md"
    assert len({name.lower() for name in names.values()}) == len(urls)
    folders = {
        "/".join(name.split("/")[:n]) for name in names.values() for n in range(1, name.count("/") + 1)
    }
    assert not folders & set(names.values())
    assert all(len(part) <= 110 and part[0] != "." for name in names.values() for part in name.split("/"))


def brought(folder: Path, site: str, *paths: str, before: Path | None = None, **params: Any) -> Path:
    usual = {"allow_private": True, "wait": 0.0, "timeout": 5.0}
    source = Http(Params(urls=[f"{site}{path}" for path in paths], **{**usual, **params}))
    asked = context(folder, {})
    source.bring(asked, before)
    return asked.output


def test_what_is_brought_is_files_and_reasons_and_read_as_files_are(site: str, tmp_path: Path) -> None:
    output = brought(tmp_path, site, "/a.md", "/docs/", "/docs/page.html", "/gone")
    host = site.removeprefix("http://").replace(":", "+")
    source = Http(Params(urls=[site]))
    found = {
        path: next(iter(source.read(SourceFile(path, output / path, 1, "")))) for path in files_of(output)
    }
    assert {path: r.fields["text"] if isinstance(r, Raw) else r.reason for path, r in found.items()} == {
        f"failed/{host}/gone.reason.json": "http_404",
        f"files/{host}/a.md": "# A\n\nFirst.",
        f"files/{host}/docs/index.txt": "An index.",
        f"files/{host}/docs/page.html": "Words here.",
    }
    assert {record.source for record in found.values()} >= {f"{host}/a.md", f"{host}/gone"}


def test_where_nothing_can_be_fetched_nothing_is_pinned(site: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"none of 2 URLs could be fetched.*http_404"):
        brought(tmp_path, site, "/gone", "/gone-too")


def test_what_the_server_says_is_unchanged_is_taken_from_the_last_time(site: str, tmp_path: Path) -> None:
    first = brought(tmp_path, site, "/named", "/a.md").rename(tmp_path / "before")
    second = brought(tmp_path, site, "/named", "/a.md", before=first)
    assert Site.asked["unchanged"] == 1
    assert {p: (second / p).read_bytes() for p in files_of(second)} == {
        p: (first / p).read_bytes() for p in files_of(first)
    }
    # what lies there is not what the server named so: it is asked for as if for the first time
    (named,) = (first / path for path in files_of(first) if "named" in path)
    named.write_text("edited")
    (tmp_path / "output").rename(tmp_path / "past")
    again = brought(tmp_path, site, "/named", "/a.md", before=first)
    assert (again / named.relative_to(first)).read_bytes() == b"named"


def test_what_fails_for_now_stays_as_it_was_and_what_is_gone_goes(site: str, tmp_path: Path) -> None:
    first = brought(tmp_path, site, "/a.md", "/docs/", "/named").rename(tmp_path / "before")
    Site.pages = {"/a.md": b""}
    Site.broken = "/a.md"
    second = brought(tmp_path, site, "/a.md", "/docs/", "/named", before=first, retries=1)
    host = site.removeprefix("http://").replace(":", "+")
    assert files_of(second) == [
        f"failed/{host}/docs/index.reason.json",
        f"files/{host}/a.md",
        f"files/{host}/named.txt",
    ]
    assert (second / f"files/{host}/a.md").read_bytes() == b"# A\n\nFirst."


def test_the_whole_way_without_a_network_once_it_is_pinned(folder: Folder, site: str) -> None:
    folder.sparkfile(
        """\
datasets:
  web:
    source: {use: http, with: {file: urls.txt, allow_private: true, wait: 0.01, retries: 1}}
"""
    )
    folder.write("urls.txt", f"# pages\n{site}/a.md\n\n{site}/docs/page.html\n{site}/missing.md\n")
    refused = folder.spark("build", code=2)
    assert "what 'http' reads from outside is not pinned" in refused.err
    assert not Site.asked
    told = folder.spark("update", "web")
    assert "missing.md: http_404" in told.err
    assert (folder.path / ".spark/.gitignore").read_text() == "*\n"
    Site.pages = {}
    folder.build()
    shown = folder.spark("show", "dataset:web", "--rejected").out
    assert "http_404" in shown
    assert set(folder.states().values()) == {"fresh"}
    folder.spark("plan", "--locked")
    folder.write("urls.txt", f"{site}/a.md\n{site}/docs/page.html\n{site}/missing.md\n{site}/new.md\n")
    assert "is not pinned" in folder.spark("plan", code=2).err
    Site.pages = {
        "/a.md": b"# A\n\nFirst.",
        "/docs/page.html": b"<html><p>Other words.</p></html>",
        "/new.md": b"New.",
    }
    folder.spark("update")
    assert folder.build().items["dataset:web/ingest"] == {"handled": 2, "remembered": 2}
    assert (folder.path / "Sparkfile.lock").read_text().count("[pins.") == 1


def test_an_update_of_what_is_not_there_says_what_there_is(folder: Folder) -> None:
    folder.sparkfile(
        'datasets:\n  web: {source: {use: http, with: {urls: ["http://127.0.0.1:9/x"], retries: 0}}}\n'
    )
    assert "it names dataset:web" in folder.spark("update", "wab", code=2).err
    ran = folder.spark("update", "web", code=1)
    assert "private_address" in ran.err
    assert "--offline" in folder.spark("update", "--offline", code=2).err
    folder.edit("http://127", "htp://127")
    assert "'htp://127.0.0.1:9/x' is no http or https URL" in folder.spark("check", code=2).err
