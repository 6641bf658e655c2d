"""An endpoint with a certificate of the company's own authority."""

import datetime
import ipaddress
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.remote.conftest import Team
from tests.services.service import NAMES, Service, new_user


def write_certificates(folder: Path) -> None:
    """`authority.pem`, and what it has signed for this machine: `server.pem`, `server.key`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    now, own, server = (
        datetime.datetime.now(datetime.UTC),
        *(ec.generate_private_key(ec.SECP256R1()) for _ in range(2)),
    )

    def signed(name: str, key: ec.EllipticCurvePrivateKey, *, is_authority: bool) -> x509.Certificate:
        subject, issuer = (
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in (name, "authority")
        )
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(here, critical=False)
            .sign(own, hashes.SHA256())
        )

    pairs = {
        "authority": signed("authority", own, is_authority=True),
        "server": signed("server", server, is_authority=False),
    }
    for name, certificate in pairs.items():
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    key = server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.key").write_bytes(key)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    write_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def tls_server(certificates: Path) -> Iterator[Service]:
    port = free_port()
    command = [
        "-m",
        "moto.server",
        "-H",
        "127.0.0.1",
        "-p",
        f"{port}",
        "-s",
        "-c",
        "server.pem",
        "-k",
        "server.key",
    ]
    with (certificates / "log").open("w") as log:
        server = subprocess.Popen([sys.executable, *command], cwd=certificates, stdout=log, stderr=log)
    try:
        yield Service(f"https://127.0.0.1:{port}", {name: new_user(name) for name in NAMES})
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def team(tmp_path: Path, tls_server: Service, certificates: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates / "authority.pem"))  # boto3's, and spark's
    end = time.monotonic() + 60
    while True:
        try:
            return Team(tmp_path, tls_server)
        except Exception:  # it is starting
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def test_a_bundle_that_is_named_counts(team: Team) -> None:
    first = team.project()
    first.build("dataset:notes")
    assert not team.clone(first).build("dataset:notes").ran


def test_the_profile_names_one_too(team: Team, certificates: Path, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"[default]\nca_bundle = {certificates / 'authority.pem'}\n")
    first = team.project()
    first.env |= {"AWS_CA_BUNDLE": "", "REQUESTS_CA_BUNDLE": "", "AWS_CONFIG_FILE": str(tmp_path / "config")}
    first.build("dataset:notes")


def test_who_names_none_is_told_at_once_what_is_missing(team: Team) -> None:
    project = team.project()
    project.env |= {"AWS_CA_BUNDLE": "", "REQUESTS_CA_BUNDLE": "", "AWS_CONFIG_FILE": "/dev/null"}
    began = time.monotonic()
    told = project.spark("plan", code=1).err
    assert "the server's certificate is not trusted (UnknownIssuer)" in told
    assert "fix: AWS_CA_BUNDLE" in told
    assert time.monotonic() - began < 20  # and not after six tries


def test_a_bundle_that_is_not_there_is_named(team: Team) -> None:
    project = team.project()
    project.env["AWS_CA_BUNDLE"] = "/nowhere/authority.pem"
    told = project.spark("plan", code=1).err
    assert "there is no bundle of certificates at /nowhere/authority.pem (AWS_CA_BUNDLE, ca_bundle)" in told
