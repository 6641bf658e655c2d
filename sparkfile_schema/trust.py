"""Whose signatures count: public keys in the Sparkfile, or a policy file that says which scopes each may sign for."""

from __future__ import annotations

import re

from sparkfile_schema.document import read_document
from sparkfile_schema.keys import POLICY, POLICY_KEY, PUBLIC_KEY_PATTERN, SCOPE_PATTERN, TRUSTED
from sparkfile_schema.model import ListedKey
from sparkfile_schema.nodes import Map
from sparkfile_schema.problems import Position, Problem, in_order
from sparkfile_schema.reader import NAME, Part, Reader, TooManyError
from sparkfile_schema.scalars import shown

_PUBLIC_KEY = re.compile(PUBLIC_KEY_PATTERN)
_SCOPE = re.compile(SCOPE_PATTERN)
_FIX_KEY = 'write "ed25519:…" with its 44 characters of base64, as spark key show prints it'


def read_keys(reader: Reader, part: Part | None, of: str = "'store'") -> tuple[ListedKey, ...]:
    """Of a Sparkfile: each may sign what everybody trusts."""
    read = ((entry, _key(reader, entry.called(f"a key of {of}"))) for entry in _listed(reader, part))
    return tuple(ListedKey(key, (TRUSTED,), str(entry.at)) for entry, key in read if key)


def parse_policy(text: bytes, file: str) -> tuple[tuple[ListedKey, ...], tuple[Problem, ...]]:
    """The keys of a policy file, and all that is wrong with it."""
    root, problems = read_document(text, file)
    start = Position(file, 1, 1)
    if not isinstance(root, Map):
        empty = Problem(start, f"{file} is no policy", "begin with version: 1, then keys: …")
        return (), in_order(problems or [empty])
    reader = Reader(start, {})
    try:
        keys = _policy(reader, Part(root, (), start, "the policy"))
    except TooManyError:
        keys = ()
    return keys, in_order([*problems, *reader.problems])


def _policy(reader: Reader, part: Part) -> tuple[ListedKey, ...]:
    top = reader.section(part, POLICY, required=POLICY)
    version = top.get("version")
    if version is not None and (version.value != 1 or isinstance(version.value, bool | float)):
        reader.expected(version, "1", "write version: 1")
    read = [
        _policy_key(reader, entry.called("a key of the policy")) for entry in _listed(reader, top.get("keys"))
    ]
    return tuple(key for key in read if key is not None)


def _policy_key(reader: Reader, part: Part) -> ListedKey | None:
    if not part.is_map:
        reader.expected(part, "a mapping", "write {key: ed25519:…, name: ci, scopes: [trusted]}")
        return None
    entries = reader.section(part, POLICY_KEY, required=("key", "scopes"))
    key = _key(reader, entries["key"]) if "key" in entries else None
    name = reader.text(entries["name"]) if "name" in entries else None
    scopes = [_scope(reader, e.called("a scope")) for e in _listed(reader, entries.get("scopes"))]
    read = tuple(scope for scope in scopes if scope)
    return ListedKey(key, read, str(part.at), name or "") if key and read else None


def _listed(reader: Reader, part: Part | None) -> list[Part]:
    """The items of a list that has to hold one: an empty one would read as 'nobody', or as 'everybody'."""
    if part is None:
        return []
    items = reader.items(part)
    if part.is_empty or (part.is_list and not items):
        reader.problem(part.at, f"{part.what} is empty", "list one, or remove the key")
    return items


def _key(reader: Reader, part: Part) -> str | None:
    text = reader.text(part)
    if text is None or _PUBLIC_KEY.fullmatch(text):
        return text
    if "PRIVATE KEY" in text:  # which no message may repeat
        fix = "spark key new makes another one, for this one may have been read; list what it prints"
        reader.problem(part.at, f"{part.what} is a private key, and this file is for everybody to read", fix)
    else:
        reader.problem(part.at, f"{part.what}: {shown(text)} is no public key", _FIX_KEY)
    return None


def _scope(reader: Reader, part: Part) -> str | None:
    text = reader.text(part)
    if text is None or _SCOPE.fullmatch(text):
        return text
    meant = text if NAME.fullmatch(text) else "NAME"
    fix = f"write trusted, scopes/{meant}, or scopes/* for all but trusted"
    reader.problem(part.at, f"{shown(text)} is no scope", fix)
    return None
