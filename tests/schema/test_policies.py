"""Which keys a Sparkfile and its policy file list, and what of them is refused."""

from __future__ import annotations

import pytest

from sparkfile_schema import ListedKey, parse, parse_policy
from sparkfile_schema.model import Import

HEAD = "version: 1\nproject: p\n"
KEY = "ed25519:" + "A" * 43 + "="
OTHER = "ed25519:" + "B" * 42 + "A="
FIX = '\n  fix: write "ed25519:…" with its 44 characters of base64, as spark key show prints it'


def test_keys_of_a_sparkfile_may_sign_what_everybody_trusts() -> None:
    parsed = parse(f"{HEAD}store:\n  keys:\n  - {KEY}\n  - '{OTHER}'\n", file="f", env={})
    assert parsed.problems == ()
    assert parsed.sparkfile.keys == (
        ListedKey(KEY, ("trusted",), "f:5:5"),
        ListedKey(OTHER, ("trusted",), "f:6:5"),
    )
    assert parsed.sparkfile.store == {}


def test_a_key_may_come_from_the_environment_and_a_policy_is_a_path() -> None:
    parsed = parse(f"{HEAD}store: {{keys: ['${{env.K}}'], policy: trust.yaml}}", file="f", env={"K": KEY})
    assert [key.key for key in parsed.sparkfile.keys] == [KEY]
    assert parsed.sparkfile.store == {"policy": "trust.yaml"}


def test_a_policy_says_which_scopes_a_key_may_sign_for() -> None:
    first = f"{{key: {KEY}, name: ci, scopes: [trusted]}}"
    text = f"version: 1\nkeys:\n- {first}\n- {{key: {OTHER}, scopes: [scopes/pr, scopes/*]}}\n"
    keys, problems = parse_policy(text.encode(), "trust.yaml")
    assert problems == ()
    assert keys == (
        ListedKey(KEY, ("trusted",), "trust.yaml:3:3", "ci"),
        ListedKey(OTHER, ("scopes/pr", "scopes/*"), "trust.yaml:4:3"),
    )


REFUSED_KEYS = {
    "too short": ("ed25519:AAAA", "a key of 'store': 'ed25519:AAAA' is no public key" + FIX),
    "of another tool": ("ssh-ed25519 AAAA", "a key of 'store': 'ssh-ed25519 AAAA' is no public key" + FIX),
    "other spelling": (f"'{KEY[:-2]}B='", f"a key of 'store': '{KEY[:-2]}B=' is no public key" + FIX),
    "no text": ("7", "a key of 'store' has to be text, not the number 7\n  fix: quote it: \"7\""),
    "a private key": (
        '"-----BEGIN PRIVATE KEY-----\\nMC4CAQ"',
        "a key of 'store' is a private key, and this file is for everybody to read"
        "\n  fix: spark key new makes another one, for this one may have been read; list what it prints",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_KEYS)
def test_what_is_no_public_key_is_refused_where_it_stands(name: str) -> None:
    written, told = REFUSED_KEYS[name]
    found = parse(f"{HEAD}store: {{keys: [{written}]}}", file="f", env={}).problems
    assert [str(problem) for problem in found] == [f"f:3:16: {told}"]


@pytest.mark.parametrize("written", ["[]", ""])
def test_an_empty_list_of_keys_is_refused_for_it_could_mean_nobody_or_everybody(written: str) -> None:
    found = parse(f"{HEAD}store: {{keys: {written}}}", file="f", env={}).problems
    assert [p.message for p in found] == ["'keys' of 'store' is empty"]


REFUSED_POLICIES = {
    "nothing": ("", ["t:1:1: t is no policy\n  fix: begin with version: 1, then keys: …"]),
    "a list": (f"- {KEY}", ["t:1:1: t is no policy\n  fix: begin with version: 1, then keys: …"]),
    "no YAML": ("version: 1\nkeys: [", None),
    "no keys": ("version: 1", ["t:1:1: missing key 'keys' in the policy\n  fix: add keys: …"]),
    "no key listed": ("version: 1\nkeys: []", ["t:2:7: 'keys' is empty\n  fix: list one, or remove the key"]),
    "another version": (
        f"version: 2\nkeys: [{{key: {KEY}, scopes: [trusted]}}]",
        ["t:1:10: 'version' has to be 1, not the number 2\n  fix: write version: 1"],
    ),
    "a version that is not a number": (
        f"version: true\nkeys: [{{key: {KEY}, scopes: [trusted]}}]",
        ["t:1:10: 'version' has to be 1, not true\n  fix: write version: 1"],
    ),
    "an unknown key": (
        f"version: 1\nkeys: [{{key: {KEY}, scope: [trusted]}}]",
        ["t:2:68: unknown key 'scope' in a key of the policy\n  fix: did you mean 'scopes'?"],
    ),
    "a bare key": (
        f"version: 1\nkeys: [{KEY}]",
        [
            f"t:2:8: a key of the policy has to be a mapping, not '{KEY}'"
            "\n  fix: write {key: ed25519:…, name: ci, scopes: [trusted]}"
        ],
    ),
    "no scope": (
        f"version: 1\nkeys: [{{key: {KEY}, scopes: []}}]",
        ["t:2:76: 'scopes' of a key of the policy is empty\n  fix: list one, or remove the key"],
    ),
    "half a scope": (
        f"version: 1\nkeys: [{{key: {KEY}, scopes: [pr]}}]",
        ["t:2:77: 'pr' is no scope\n  fix: write trusted, scopes/pr, or scopes/* for all but trusted"],
    ),
    "a scope above others": (
        f'version: 1\nkeys: [{{key: {KEY}, scopes: ["scopes/../trusted", "*", "trusted/*"]}}]',
        [
            f"t:2:{column}: '{scope}' is no scope\n  fix: write trusted, scopes/NAME, or scopes/* for all but trusted"
            for column, scope in ((77, "scopes/../trusted"), (98, "*"), (103, "trusted/*"))
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_POLICIES)
def test_a_policy_that_is_not_clear_lists_no_key_and_says_why(name: str) -> None:
    text, told = REFUSED_POLICIES[name]
    keys, problems = parse_policy(text.encode(), "t")
    assert problems
    assert told is None or [str(problem) for problem in problems] == told
    assert keys == () or name.startswith(("another version", "a version"))


def test_an_import_is_a_place_or_a_place_with_whom_to_believe_there() -> None:
    text = f"imports:\n  core: s3://b/core\n  far: {{url: s3://b/far, keys: ['{KEY}'], scope: pr, endpoint: http://h}}\n"
    parsed = parse(HEAD + text, file="f", env={})
    assert parsed.problems == ()
    assert parsed.sparkfile.imports == {
        "core": Import("s3://b/core"),
        "far": Import("s3://b/far", (ListedKey(KEY, ("trusted",), "f:5:33"),), "pr", "http://h"),
    }


REFUSED_IMPORTS = {
    "no place": (f"{{keys: ['{KEY}']}}", "4:9: missing key 'url' in import 'core'"),
    "another key": ("{url: s3://b, key: x}", "4:23: unknown key 'key' in import 'core'"),
    "no key listed": ("{url: s3://b, keys: []}", "'keys' of import 'core' is empty"),
    "no public key": ("{url: s3://b, keys: [x]}", "a key of import 'core': 'x' is no public key"),
    "a path as scope": ("{url: s3://b, scope: a/b}", "'a/b' is no name of a scope"),
    "a list": ("[s3://b]", "import 'core' has to be text, not a list"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_IMPORTS)
def test_an_import_that_says_something_else_is_refused(name: str) -> None:
    written, told = REFUSED_IMPORTS[name]
    found = parse(f"{HEAD}imports:\n  core: {written}\n", file="f", env={}).problems
    assert told in "\n".join(map(str, found))
