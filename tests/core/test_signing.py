"""Who vouches for what: envelopes, keys, and the files that private keys lie in."""

import base64
import json
import os
import pickle
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from spark_build.core.errors import Untrusted, UsageError
from spark_build.core.signing import (
    KEY_VARIABLE,
    Envelope,
    PrivateKey,
    PublicKey,
    Signature,
    default_path,
    encoded,
)

TYPE = "application/vnd.in-toto+json"
PAYLOAD = b'{"what":"a text with every letter of interest, \xc3\xa9 too","n":[1,2,3]}'


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return PrivateKey.new()


@pytest.fixture(scope="module")
def other() -> PrivateKey:
    return PrivateKey.new()


def test_what_is_signed_is_encoded_as_the_specification_of_dsse_says() -> None:
    hello = encoded("http://example.com/HelloWorld", b"hello world")
    assert hello == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert encoded("", b"") == b"DSSEv1 0  0 "
    assert encoded("é", b"\x00\xff") == b"DSSEv1 2 \xc3\xa9 2 \x00\xff"  # lengths are those of bytes


def test_a_signature_is_that_of_the_test_vector_of_rfc_8032() -> None:
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    made = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )
    pem = b"-----BEGIN PRIVATE KEY-----\n%b\n-----END PRIVATE KEY-----\n" % base64.b64encode(
        bytes.fromhex("302e020100300506032b657004220420") + secret
    )
    assert PrivateKey.from_pem(pem, "the vector").public.raw == public
    assert PublicKey(public).has_signed(b"", base64.b64encode(made).decode())


def test_an_envelope_is_read_as_it_was_written(key: PrivateKey) -> None:
    text = key.sign(TYPE, PAYLOAD).to_json()
    assert Envelope.parse(text).opened(TYPE, [key.public]) == PAYLOAD
    assert Envelope.parse(text).to_json() == text
    told = json.loads(text)
    assert set(told) == {"payload", "payloadType", "signatures"}
    assert base64.b64decode(told["payload"]) == PAYLOAD
    assert told["signatures"][0]["keyid"] == key.public.id


def test_an_envelope_of_another_tool_may_be_laid_out_otherwise_and_hold_more(key: PrivateKey) -> None:
    told = json.loads(key.sign(TYPE, PAYLOAD).to_json())
    text = json.dumps({"mediaType": "x", **dict(reversed(told.items()))}, indent=2).encode()
    assert Envelope.parse(text).opened(TYPE, [key.public]) == PAYLOAD


def test_an_envelope_with_any_byte_changed_is_refused(key: PrivateKey) -> None:
    text = key.sign(TYPE, PAYLOAD).to_json()
    accepted = []
    for at in range(len(text)):
        for value in {text[at] ^ (1 << bit) for bit in range(8)} | {0, 32, 34, 92}:
            if value != text[at]:
                changed = text[:at] + bytes([value]) + text[at + 1 :]
                accepted += [changed] if _opens(changed, key.public) else []
    assert accepted == []


def test_an_envelope_cut_at_any_byte_is_refused(key: PrivateKey) -> None:
    text = key.sign(TYPE, PAYLOAD).to_json()
    assert not [at for at in range(len(text)) if _opens(text[:at], key.public)]


def _opens(text: bytes, public: PublicKey) -> bool:
    try:
        Envelope.parse(text).opened(TYPE, [public])
    except Untrusted:
        return False
    return True


def test_an_envelope_signed_as_something_else_is_refused(key: PrivateKey) -> None:
    envelope = key.sign("text/plain", PAYLOAD)
    with pytest.raises(Untrusted, match="holds 'text/plain', not 'application"):
        envelope.opened(TYPE, [key.public])
    renamed = Envelope(TYPE, envelope.payload, envelope.signatures)
    with pytest.raises(Untrusted, match="changed, or signed by somebody else"):
        renamed.opened(TYPE, [key.public])


def test_nobody_listed_signed_it(key: PrivateKey, other: PrivateKey) -> None:
    with pytest.raises(Untrusted, match=f"signed by key '{key.public.id}', which is not listed"):
        key.sign(TYPE, PAYLOAD).opened(TYPE, [other.public], "records/ab.json")
    with pytest.raises(Untrusted, match=r"^records/ab\.json is not signed"):
        Envelope.bare(TYPE, PAYLOAD).opened(TYPE, [other.public], "records/ab.json")


def test_a_signer_under_another_ones_name_is_refused(key: PrivateKey, other: PrivateKey) -> None:
    made = key.sign(TYPE, PAYLOAD)
    forged = Envelope(TYPE, made.payload, (Signature(other.public.id, made.signatures[0].sig),))
    with pytest.raises(Untrusted, match="signed by somebody else"):
        forged.opened(TYPE, [other.public])


def test_one_listed_signer_of_several_is_enough(key: PrivateKey, other: PrivateKey) -> None:
    ours, theirs = key.sign(TYPE, PAYLOAD), other.sign(TYPE, PAYLOAD)
    both = Envelope(TYPE, ours.payload, (*theirs.signatures, *ours.signatures))
    for listed in ([key.public], [other.public], [other.public, key.public]):
        assert Envelope.parse(both.to_json()).opened(TYPE, listed) == PAYLOAD
    with pytest.raises(Untrusted):
        both.opened(TYPE, [])


def test_the_other_spelling_of_a_signature_is_refused(key: PrivateKey) -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    made = key.sign(TYPE, PAYLOAD)
    raw = base64.b64decode(made.signatures[0].sig)
    moved = raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    other = Envelope(TYPE, made.payload, (Signature(key.public.id, base64.b64encode(moved).decode()),))
    with pytest.raises(Untrusted):
        other.opened(TYPE, [key.public])


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{}", b"\xff", b'{"payload":' * 5000, b"[" * 100_000])
def test_what_is_no_envelope_is_refused_by_name(text: bytes) -> None:
    with pytest.raises(Untrusted, match=r"^trusted/records/a\.json is no DSSE envelope"):
        Envelope.parse(text, "trusted/records/a.json")


def test_a_public_key_is_its_text(key: PrivateKey) -> None:
    assert PublicKey.parse(str(key.public)) == key.public
    assert len({key.public.id, PrivateKey.new().public.id}) == 2


@pytest.mark.parametrize(
    "text", ["", "ed25519:", "ed25519:AAAA", "rsa:" + "A" * 44, "ed25519:" + "A" * 42 + "B=", "A" * 43 + "="]
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no public key"):
        PublicKey.parse(text)


def test_a_private_key_comes_back_from_its_file(tmp_path: Path, key: PrivateKey) -> None:
    assert PrivateKey.load(_kept(key, tmp_path)).public == key.public


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path, key: PrivateKey, mode: int) -> None:
    path = _kept(key, tmp_path)
    path.chmod(mode)
    with pytest.raises(UsageError, match=f"can be read by others .mode {mode:04o}") as refused:
        PrivateKey.load(path)
    assert refused.value.fix is not None
    assert f"chmod 600 {path}" in refused.value.fix


def test_a_private_key_is_told_by_nothing_that_prints_or_stores_it(key: PrivateKey) -> None:
    assert "PRIVATE" not in f"{key!r} {key} {vars(key)}"
    with pytest.raises(TypeError):
        pickle.dumps(key)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "no PEM"), (b"hello", "no PEM"), (b"-----BEGIN PRIVATE KEY-----\nAAAA\n", "no PEM")],
)
def test_what_is_no_private_key_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        PrivateKey.load(path)
    with pytest.raises(UsageError, match="No such file"):
        PrivateKey.load(tmp_path / "none")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_keys_of_openssl_are_taken_unless_they_are_of_another_kind_or_have_a_passphrase(
    tmp_path: Path, key: PrivateKey
) -> None:
    def made(*arguments: str) -> bytes:
        return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout

    public = PrivateKey.from_pem(made("genpkey", "-algorithm", "ed25519"), "of openssl").public
    assert PublicKey.parse(str(public)) == public
    with pytest.raises(UsageError, match="is not Ed25519 but X25519"):
        PrivateKey.from_pem(made("genpkey", "-algorithm", "x25519"), "k")
    secret = made("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:secret")
    with pytest.raises(UsageError, match="has a passphrase"):
        PrivateKey.from_pem(secret, "k")


def test_the_key_in_force_is_the_variable_s_then_the_user_s_own(
    tmp_path: Path, key: PrivateKey, other: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert PrivateKey.in_force() is None
    os.makedirs(os.path.dirname(default_path()))
    _kept(key, Path(default_path()).parent, "signing.key")
    assert _public_in_force() == key.public
    monkeypatch.setenv(KEY_VARIABLE, other.to_pem().decode())
    assert _public_in_force() == other.public
    monkeypatch.setenv(KEY_VARIABLE, str(_kept(other, tmp_path)))
    assert _public_in_force() == other.public
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(UsageError, match="No such file"):  # never the other one in its place
        PrivateKey.in_force()


def _public_in_force() -> PublicKey:
    found = PrivateKey.in_force()
    assert found is not None
    return found.public


def _kept(key: PrivateKey, folder: Path, name: str = "key") -> Path:
    path = folder / name
    path.touch(0o600)
    path.write_bytes(key.to_pem())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path
