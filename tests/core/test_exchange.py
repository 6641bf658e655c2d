"""One request over HTTP or TLS: certificates, lengths, times, and what a server says about trying again."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import closing
from email.utils import formatdate
from pathlib import Path

import pytest

from spark_build.core.exchange import Exchange, Failed, Request, checked

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Once:
    """Answers each connection with these bytes, and closes it."""

    def __init__(
        self, answer: bytes, tls: ssl.SSLContext | None = None, *, wait_seconds: float = 0.0
    ) -> None:
        self.answer, self.wait_seconds = answer, wait_seconds
        plain = socket.create_server(("127.0.0.1", 0))
        self.listening = plain if tls is None else tls.wrap_socket(plain, server_side=True)
        self.port = plain.getsockname()[1] if tls is None else self.listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
                with closing(connection):
                    while not (heard := connection.recv(65536)).endswith(b"{}") and heard:
                        pass
                    time.sleep(self.wait_seconds)
                    connection.sendall(self.answer)
            except OSError:
                if self.listening.fileno() < 0:
                    return


def asked(server: Once, scheme: str = "http", host: str = "127.0.0.1", *, seconds: float = 5.0) -> bytes:
    request = Request(
        checked(f"{scheme}://{host}:{server.port}/x"),
        {},
        "POST",
        b"{}",
        timeout_seconds=seconds,
        allow_private=True,
    )
    with Exchange(request, time.monotonic() + seconds) as exchange:
        if exchange.answer.status != 200:
            raise exchange.refused()
        return exchange.content(1000)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


def test_a_trusted_certificate_is_taken_for_its_own_name_alone(
    certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, tls = certificate
    server = Once(WHOLE, tls)
    with pytest.raises(Failed, match="bad_certificate") as refused:
        asked(server, "https", "localhost")
    assert not refused.value.may_pass
    monkeypatch.setenv("SSL_CERT_FILE", str(place))
    assert asked(server, "https", "localhost") == b"hello"
    with pytest.raises(Failed, match="bad_certificate"):
        asked(server, "https", "127.0.0.1")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "cut_off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "cut_off"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000, "too_large"),
        (b"no HTTP at all\r\n\r\n", "bad_answer"),
        (b"", "no_connection"),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_whole_is_none(answer: bytes, reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        asked(Once(answer))


def test_what_takes_too_long_is_cut() -> None:
    began = time.monotonic()
    with pytest.raises(Failed, match="too_slow") as late:
        asked(Once(WHOLE, wait_seconds=3), seconds=0.2)
    assert late.value.may_pass
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("in", 90), ("before", 0), ("soon", 0), ("", 0)])
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float) -> None:
    """Dates within 30 seconds: the test takes some, and they have no fractions."""
    dates = {"in": time.time() + 90, "before": time.time() - 90}
    told = formatdate(dates[header], usegmt=True) if header in dates else header
    answer = f"HTTP/1.1 503 Busy\r\nRetry-After: {told}\r\nContent-Length: 0\r\n\r\n".encode()
    with pytest.raises(Failed, match="http_503: Busy") as failed:
        asked(Once(answer))
    assert failed.value.may_pass
    assert failed.value.wait_seconds == pytest.approx(seconds, abs=30 if header in dates else 0)
