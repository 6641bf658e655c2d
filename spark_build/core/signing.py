"""Signatures: Ed25519 over DSSE envelopes (github.com/secure-systems-lab/dsse), and the files that keys lie in."""

from __future__ import annotations  # what they name need not be loaded

import base64
import binascii
import os
from collections.abc import Sequence
from functools import cache, cached_property
from threading import Lock

from spark_build.core.digest import canonical_json, digest_bytes
from spark_build.core.errors import Unavailable, Untrusted, UsageError
from spark_build.core.values import Struct

TYPE_CHECKING = False  # typing alone takes as long as Python itself
if TYPE_CHECKING:
    from typing import Any

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_VARIABLE = "SPARK_SIGNING_KEY"
_SCHEME = "ed25519:"
_RAW_BYTES = 32
_ID_DIGITS = 16
_OF_OTHERS = 0o077
_OWNERS = 0o600
_PEM = "-----BEGIN "


_DECODING = Lock()


class Signature(Struct, frozen=True):
    keyid: str
    sig: str  # base64


class Envelope(Struct, frozen=True, rename={"payload_type": "payloadType"}):
    """A payload with those who vouch for it; its JSON is DSSE's."""

    payload_type: str
    payload: str  # base64
    signatures: tuple[Signature, ...]

    @classmethod
    def bare(cls, payload_type: str, payload: bytes) -> Envelope:
        """Signed by nobody."""
        return cls(payload_type, base64.b64encode(payload).decode(), ())

    @classmethod
    def parse(cls, data: bytes, where: str = "the envelope") -> Envelope:
        import msgspec

        try:
            read: Envelope = _decoder().decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Untrusted(f"{where} is no DSSE envelope: {error}", fix=_FIX_BROKEN) from error
        return read

    def to_json(self) -> bytes:
        """One text for one envelope."""
        signatures = [{"keyid": s.keyid, "sig": s.sig} for s in self.signatures]
        return canonical_json(
            {"payloadType": self.payload_type, "payload": self.payload, "signatures": signatures}
        )

    def opened(self, payload_type: str, keys: Sequence[PublicKey], where: str = "the envelope") -> bytes:
        """The payload, where one of `keys` signed it as what it is taken for."""
        payload = self.unverified(payload_type, where)
        signed = encoded(payload_type, payload)
        for signature in self.signatures:
            for key in keys:
                if key.id == signature.keyid and key.has_signed(signed, signature.sig):
                    return payload
        raise Untrusted(f"{where} {self._why_not(keys)}", fix=_FIX_KEY)

    def unverified(self, payload_type: str, where: str = "the envelope") -> bytes:
        """The payload, whoever wrote it."""
        if self.payload_type != payload_type:
            raise Untrusted(f"{where} holds {self.payload_type!r}, not {payload_type!r}", fix=_FIX_BROKEN)
        payload = _from_base64(self.payload)
        if payload is None:
            raise Untrusted(f"{where}: its payload is not base64", fix=_FIX_BROKEN)
        return payload

    def _why_not(self, keys: Sequence[PublicKey]) -> str:
        if not self.signatures:
            return "is not signed"
        listed = {key.id for key in keys}
        signers = [signature.keyid for signature in self.signatures]
        forged = [signer for signer in signers if signer in listed]
        if forged:
            return f"does not hold what key {forged[0]!r} signed: it was changed, or signed by somebody else"
        return f"is signed by key {', '.join(map(repr, signers))}, which is not listed for it"


class PublicKey(Struct, frozen=True, dict=True):
    raw: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Of `ed25519:<base64>`. Errors: UsageError."""
        raw = _from_base64(text.removeprefix(_SCHEME)) if text.startswith(_SCHEME) else None
        if raw is None or len(raw) != _RAW_BYTES:
            raise UsageError(
                f"{text!r} is no public key",
                fix="ed25519:… in 44 characters of base64, as spark key show prints it",
            )
        return cls(raw)

    @cached_property
    def id(self) -> str:
        return digest_bytes(self.raw)[:_ID_DIGITS]

    def has_signed(self, data: bytes, signature: str) -> bool:
        made = _from_base64(signature)
        if made is None:
            return False
        ed25519 = _ed25519()
        try:
            ed25519.Ed25519PublicKey.from_public_bytes(self.raw).verify(made, data)
        except _invalid_signature():
            return False
        return True

    def __str__(self) -> str:
        return _SCHEME + base64.b64encode(self.raw).decode()


class PrivateKey:
    """Never printed, never pickled; its file is PKCS#8 PEM that its owner alone can read."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def new(cls) -> PrivateKey:
        return cls(_ed25519().Ed25519PrivateKey.generate())

    @classmethod
    def in_force(cls) -> PrivateKey | None:
        """That of SPARK_SIGNING_KEY (a path, or the PEM itself), else of the user's own file, if there is one."""
        named = os.environ.get(KEY_VARIABLE, "").strip()
        if named.startswith(_PEM):
            return cls.from_pem(named.encode(), KEY_VARIABLE)
        if named:
            return cls.load(named)
        return cls.load(default_path()) if os.path.exists(default_path()) else None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PrivateKey:
        """Errors: UsageError, also where others can read the file."""
        try:
            with open(path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                data = file.read()
        except OSError as error:
            raise UsageError(
                f"the signing key {path}: {error.strerror}",
                fix=f"spark key new --to {path}, or unset {KEY_VARIABLE}",
            ) from error
        if mode & _OF_OTHERS:
            raise UsageError(
                f"the signing key {path} can be read by others (mode {mode:04o})",
                fix=f"chmod 600 {path}; where others may have read it, a new key: spark key new",
            )
        return cls.from_pem(data, str(path))

    @classmethod
    def from_pem(cls, data: bytes, where: str) -> PrivateKey:
        if b"ENCRYPTED" in data:
            raise UsageError(
                f"the signing key {where} has a passphrase, which this version can't ask for",
                fix=f"openssl pkey -in {where} -out plain.key; chmod 600 plain.key; {KEY_VARIABLE}=plain.key",
            )
        fix = "a PKCS#8 PEM with an Ed25519 key, as spark key new or openssl genpkey -algorithm ed25519 writes it"
        try:
            key = _serialization().load_pem_private_key(data, password=None)
        except (ValueError, TypeError, _unsupported()) as error:
            raise UsageError(f"the signing key {where} is no PEM of a private key", fix=fix) from error
        if not isinstance(key, _ed25519().Ed25519PrivateKey):
            raise UsageError(f"the signing key {where} is not Ed25519 but {type(key).__name__}", fix=fix)
        return cls(key)

    def to_pem(self) -> bytes:
        forms = _serialization()
        made: bytes = self._key.private_bytes(
            forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()
        )
        return made

    def save(self, path: str) -> None:
        """To a new file that its owner alone can read. Errors: UsageError where there is one already."""
        try:
            os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
            _write_new(path, self.to_pem())
        except FileExistsError:
            raise UsageError(
                f"{path} is there already, and a key that is gone can't be had again",
                fix="spark key show prints its public key; --to PATH writes the new one elsewhere",
            ) from None
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", fix="--to PATH names another place") from error

    @cached_property
    def public(self) -> PublicKey:
        return PublicKey(self._key.public_key().public_bytes_raw())

    def sign(self, payload_type: str, payload: bytes) -> Envelope:
        made = self._key.sign(encoded(payload_type, payload))
        signature = Signature(self.public.id, base64.b64encode(made).decode())
        return Envelope(payload_type, base64.b64encode(payload).decode(), (signature,))

    def derived(self, purpose: str, size: int) -> bytes:
        """Bytes that follow from this key and `purpose` alone (HKDF-SHA256): for a key of another kind."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        spread = HKDF(hashes.SHA256(), length=size, salt=None, info=purpose.encode())
        return spread.derive(self._key.private_bytes_raw())

    def __reduce__(self) -> Any:
        raise TypeError("a private key stays in its process")


def encoded(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _write_new(path: str, data: bytes) -> None:
    with open(path, "xb", opener=_for_the_owner) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.unlink(path)  # half a key is none
            raise


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, _OWNERS)


def default_path() -> str:
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(home, "spark-build", "signing.key")


def _from_base64(text: str) -> bytes | None:
    """None where it is not base64, or one of the other spellings of the same bytes."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None


def _decoder() -> Any:
    """Made by one thread: where several did at once, one process in some hundred crashed."""
    with _DECODING:
        return _made_decoder()


@cache
def _made_decoder() -> Any:
    import msgspec

    return msgspec.json.Decoder(Envelope)


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise Unavailable("signatures need cryptography", fix="pip install 'spark-build[trust]'") from error
    return ed25519


def _serialization() -> Any:
    _ed25519()  # which says what is to be installed
    from cryptography.hazmat.primitives import serialization

    return serialization


def _invalid_signature() -> type[Exception]:
    from cryptography.exceptions import InvalidSignature

    return InvalidSignature


def _unsupported() -> type[Exception]:
    from cryptography.exceptions import UnsupportedAlgorithm

    return UnsupportedAlgorithm


_FIX_BROKEN = "it was damaged or written by something else; delete it there, or build and push it anew"
_FIX_KEY = (
    "where it should be trusted, let its writer sign it with a listed key, or list the writer's"
    " public key (spark key show) under store.keys; else delete it there"
)
