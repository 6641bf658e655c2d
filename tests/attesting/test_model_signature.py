"""`model.sig` as the package model_signing itself sees it, on what `spark get` gives."""

import subprocess
import sys
from pathlib import Path

import pytest

from spark_build.app.model_signature import _ecdsa, _public_pem
from spark_build.core.signing import PrivateKey
from tests.attesting.conftest import Attested


@pytest.fixture
def got(attested: Attested, tmp_path: Path) -> Path:
    attested.folder.spark("get", "model:tiny", "--to", str(tmp_path / "got"))
    return tmp_path / "got"


def verified(attested: Attested, folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    named = [
        "--signature",
        str(attested.to / "model.sig"),
        "--public_key",
        str(attested.to / "model.pub"),
    ]
    done = subprocess.run([*command, *named], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_model_signing_verifies_the_files_that_a_user_gets(attested: Attested, got: Path) -> None:
    code, said = verified(attested, got)
    assert (code, "Verification succeeded" in said) == (0, True)


def test_model_signing_refuses_a_changed_file_and_another_key(attested: Attested, got: Path) -> None:
    from model_signing import verifying

    own, other = attested.to / "model.pub", attested.to / "other.pub"
    other.write_bytes(_public_pem(_other()))
    with pytest.raises(ValueError, match="Key mismatch"):
        verifying.Config().use_elliptic_key_verifier(public_key=other).verify(got, attested.to / "model.sig")
    (got / "model/weights.bin").write_text("others")
    with pytest.raises(ValueError, match=r"model/weights\.bin"):
        verifying.Config().use_elliptic_key_verifier(public_key=own).verify(got, attested.to / "model.sig")


def test_its_key_follows_from_the_signing_key_alone(attested: Attested) -> None:
    key = PrivateKey.from_pem(attested.key.to_pem(), "here")
    assert _public_pem(_ecdsa(key)) == (attested.to / "model.pub").read_bytes()


def _other() -> object:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())
