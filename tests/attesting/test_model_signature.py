"""`model.sig` as the package model_signing itself sees it, on what `spark get` gives."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spark_build.app.attestations import check_attestation
from spark_build.app.model_signature import _ecdsa, _private_pem, _public_pem
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


def told(attested: Attested, *words: str, code: int = 0) -> dict[str, Any]:
    where = ("verify", "--attestation", str(attested.provenance), "--key", str(attested.key.public))
    found: dict[str, Any] = json.loads(attested.folder.spark(*where, *words, "--json", code=code).out)
    return found


def test_verify_looks_at_it_in_the_store_and_in_a_folder(attested: Attested, got: Path) -> None:
    assert told(attested)["model_signature"] == "verified"
    assert told(attested, "--folder", str(got))["model_signature"] == "verified"
    text = attested.folder.spark(
        "verify", "--attestation", str(attested.provenance), "--key", str(attested.key.public)
    )
    assert text.out.rstrip().endswith("; model.sig verified")
    (attested.to / "model.sig").unlink()
    assert told(attested)["model_signature"] is None


@pytest.mark.parametrize("damage", ["of another key", "of other files", "cut off", "empty"])
def test_verify_refuses_one_that_does_not_hold(
    attested: Attested, got: Path, tmp_path: Path, damage: str
) -> None:
    from model_signing import signing

    signature = attested.to / "model.sig"
    key = _ecdsa(attested.key) if damage == "of other files" else _other()
    if damage.startswith("of "):
        (tmp_path / "secret").write_bytes(_private_pem(key))
        (got / "model/weights.bin").write_text("others")
        signing.Config().use_elliptic_key_signer(private_key=tmp_path / "secret").sign(got, signature)
    else:
        signature.write_bytes(signature.read_bytes()[:100] if damage == "cut off" else b"")
    found = told(attested, code=4)
    assert (found["verdict"], found["model_signature"]) == ("differs", "differs")
    ((kind, file),) = [(d["kind"], d["file"]) for d in found["differences"]]
    assert (kind, file) == ("signature", "model.sig")


def test_without_its_package_it_is_said_that_it_was_not_looked_at(
    attested: Attested, got: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "model_signing"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    checked = check_attestation(attested.provenance, None, keys=[attested.key.public], folder=got)
    assert checked.verdict == "equal"
    assert str(checked.model_signature).startswith("not checked: it needs pip install")


def _other() -> object:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())
