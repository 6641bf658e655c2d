"""Whose signature counts for which part of the remote store; kept light, as each plan's graph holds it."""

from __future__ import annotations  # what they name need not be loaded

from functools import cached_property

from spark_build.core.values import Struct

TYPE_CHECKING = False  # typing alone takes as long as Python itself
if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_build.core.signing import PrivateKey, PublicKey

TRUSTED = "trusted"  # the scope that every build reads
SCOPE_VARIABLE = "SPARK_SCOPE"  # goes before the Sparkfile's store.scope
_OTHERS = "scopes/"


def scope_in(store: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """What is written by who has this `store:` and these variables. Errors: UsageError."""
    from spark_build.core.errors import UsageError

    name = environment.get(SCOPE_VARIABLE) or store.get("scope") or TRUSTED
    if name == TRUSTED:
        return TRUSTED
    if not name[0].isalnum() or not all(c.isascii() and (c.isalnum() or c in "._-") for c in name):
        raise UsageError(f"'{name}' is no name of a scope", fix="letters, digits, '.', '_' and '-'")
    return _OTHERS + name


class TrustedKey(Struct, frozen=True):
    """A public key as the Sparkfile or its policy lists it."""

    key: str  # ed25519:…
    scopes: tuple[str, ...]  # trusted, scopes/NAME, scopes/*
    name: str = ""
    at: str = ""  # where it is listed

    def may_sign_for(self, scope: str) -> bool:
        """Who may sign what everybody takes may sign for each scope."""
        is_other = scope.startswith(_OTHERS) and f"{_OTHERS}*" in self.scopes
        return is_other or scope in self.scopes or TRUSTED in self.scopes


class Trust(Struct, frozen=True, dict=True):
    """As soon as one key is listed, nothing of the remote store is taken that no listed key vouches for."""

    keys: tuple[TrustedKey, ...] = ()

    @property
    def is_required(self) -> bool:
        return bool(self.keys)

    def keys_for(self, scope: str) -> list[PublicKey]:
        return [public for listed, public in self._public if listed.may_sign_for(scope)]

    def open(self, envelope: bytes, payload_type: str, scope: str, where: str = "the envelope") -> bytes:
        """What `seal` put in for this very scope, whoever signed it where no keys are listed. Errors: Untrusted."""
        from spark_build.core.signing import Envelope

        read, kind = Envelope.parse(envelope, where), _in_scope(payload_type, scope)
        if not self.is_required:
            return read.unverified(kind, where)
        return read.opened(kind, self.keys_for(scope), where)

    def signer(self, scope: str) -> PrivateKey | None:
        """The key in force; None where there is none and none is asked for.

        Errors: UsageError where what it signs, or nobody, would be refused by those who read the scope.
        """
        from spark_build.core.errors import UsageError
        from spark_build.core.signing import PrivateKey

        key = PrivateKey.in_force()
        if not self.is_required or (key is not None and key.public in self.keys_for(scope)):
            return key
        if key is None:
            raise UsageError(
                f"results in '{scope}' have to be signed, and there is no signing key here",
                fix="spark key new, and list what it prints under store.keys; or --no-push",
            )
        raise UsageError(
            f"the signing key here, {key.public.id}, is not listed for '{scope}'",
            fix=f'list "{key.public}" for it (store.keys, or the policy); or --no-push',
        )

    @cached_property
    def _public(self) -> list[tuple[TrustedKey, PublicKey]]:
        from spark_build.core.signing import PublicKey

        return [(listed, PublicKey.parse(listed.key)) for listed in self.keys]


def seal(payload: bytes, payload_type: str, scope: str, key: PrivateKey | None) -> bytes:
    """An envelope for `Trust.open`; the scope is signed as well, so that what one vouches for is good nowhere else."""
    from spark_build.core.signing import Envelope

    kind = _in_scope(payload_type, scope)
    return (Envelope.bare(kind, payload) if key is None else key.sign(kind, payload)).to_json()


def _in_scope(payload_type: str, scope: str) -> str:
    return f'{payload_type}; scope="{scope}"'
