"""Whose signature counts for which scope, and what of a store is refused."""

from pathlib import Path

import pytest

from spark_build.core.errors import Untrusted, UsageError
from spark_build.core.signing import KEY_VARIABLE, Envelope, PrivateKey
from spark_build.core.trust import Trust, TrustedKey, seal

TYPE = "application/vnd.spark-build.record+json"
RECORD = b'{"key":"ab"}'
MAIN, PULL, OTHER = PrivateKey.new(), PrivateKey.new(), PrivateKey.new()


def listed(**scopes: tuple[PrivateKey, tuple[str, ...]]) -> Trust:
    return Trust(tuple(TrustedKey(str(k.public), s, name) for name, (k, s) in scopes.items()))


TRUST = listed(main=(MAIN, ("trusted",)), pull=(PULL, ("scopes/pr",)))


def test_what_a_listed_key_signed_for_the_scope_is_opened() -> None:
    for key, scope in ((MAIN, "trusted"), (MAIN, "scopes/pr"), (PULL, "scopes/pr")):
        assert TRUST.open(seal(RECORD, TYPE, scope, key), TYPE, scope) == RECORD


@pytest.mark.parametrize("scope", ["trusted", "scopes/other", "scopes/pr2", "scopes", ""])
def test_a_key_for_one_scope_signs_for_no_other(scope: str) -> None:
    with pytest.raises(Untrusted, match=f"signed by key '{PULL.public.id}', which is not listed for it"):
        TRUST.open(seal(RECORD, TYPE, scope, PULL), TYPE, scope)


def test_a_key_for_all_other_scopes_does_not_sign_for_trusted() -> None:
    trust = listed(pull=(PULL, ("scopes/*",)))
    assert trust.open(seal(RECORD, TYPE, "scopes/any", PULL), TYPE, "scopes/any") == RECORD
    assert trust.keys_for("trusted") == []


def test_what_was_sealed_in_one_scope_is_refused_in_another_though_its_key_is_good_in_both() -> None:
    sealed = seal(RECORD, TYPE, "scopes/pr", MAIN)
    with pytest.raises(Untrusted, match=r"holds '.*scopes/pr.*', not '.*trusted"):
        TRUST.open(sealed, TYPE, "trusted")


def test_what_was_sealed_as_something_else_is_refused() -> None:
    with pytest.raises(Untrusted, match="holds 'application/other"):
        TRUST.open(seal(RECORD, "application/other", "trusted", MAIN), TYPE, "trusted")


def test_unsigned_content_is_refused_as_soon_as_a_key_is_listed() -> None:
    bare = seal(RECORD, TYPE, "trusted", None)
    assert Trust().open(bare, TYPE, "trusted") == RECORD
    with pytest.raises(Untrusted, match=r"^trusted/records/ab\.json is not signed") as refused:
        TRUST.open(bare, TYPE, "trusted", "trusted/records/ab.json")
    assert refused.value.fix is not None
    assert "store.keys" in refused.value.fix
    nobody = listed(pull=(PULL, ("scopes/pr",)))  # a key is listed, though none for this scope
    with pytest.raises(Untrusted, match="is not signed"):
        nobody.open(bare, TYPE, "trusted")


def test_a_signature_that_was_taken_off_or_moved_to_other_content_is_refused() -> None:
    signed = Envelope.parse(seal(RECORD, TYPE, "trusted", MAIN))
    other = Envelope.parse(seal(b'{"key":"cd"}', TYPE, "trusted", OTHER))
    without = Envelope(signed.payload_type, signed.payload, ())
    moved = Envelope(other.payload_type, other.payload, signed.signatures)
    for forged in (without, moved, other):
        with pytest.raises(Untrusted):
            TRUST.open(forged.to_json(), TYPE, "trusted")


def test_the_bare_content_of_an_older_store_is_no_envelope() -> None:
    for trust in (Trust(), TRUST):
        with pytest.raises(Untrusted, match="is no DSSE envelope"):
            trust.open(RECORD, TYPE, "trusted")


def test_who_would_be_refused_by_readers_does_not_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert Trust().signer("trusted") is None
    with pytest.raises(UsageError, match="have to be signed, and there is no signing key here"):
        TRUST.signer("trusted")
    monkeypatch.setenv(KEY_VARIABLE, PULL.to_pem().decode())
    with pytest.raises(UsageError, match=f"{PULL.public.id}, is not listed for 'trusted'"):
        TRUST.signer("trusted")
    for trust, scope in ((TRUST, "scopes/pr"), (Trust(), "trusted")):
        key = trust.signer(scope)
        assert key is not None
        assert key.public == PULL.public
