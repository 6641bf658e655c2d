"""Text that wants to hang or crash the reader is refused, and soon."""

# ruff: noqa: E501 - Sparkfiles on one line

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparkfile_schema import parse

MIB = 2**20


def _bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 11)]
    return "\n".join(lines)


HOSTILE = {
    "deep list": ("[" * 100_000, "1:65: nested more than 64 levels deep"),
    "deep mapping": ("a: {" * 1000, "1:256: nested more than 64 levels deep"),
    "deep block": ("- " * 100_000, "1:129: nested more than 64 levels deep"),
    "deep alias": (f"a: &a {'[' * 40}{']' * 40}\nb: {'[' * 40}*a{']' * 40}", "2:44: nested more than 64 levels deep"),
    "billion laughs": (_bomb(), "11:12: aliases make the document more than 10 times larger"),
    "many aliases": ("a: &a 1\nb: [" + ", ".join(["*a"] * 101) + "]", "2:405: more than 100 aliases"),
    "too large": ("x" * (8 * MIB + 1), "1:1: the file is larger than 8 MiB"),
    "too large in bytes": ("ä" * (4 * MIB + 1), "1:1: the file is larger than 8 MiB"),
    "alias inside of its anchor": (
        "a: &a [*a]",
        "1:8: '*a' is read as a YAML alias, and nothing before it is anchored so",
    ),
    "many digits": ("a: " + "9" * 1_000_000, f"1:4: {'9' * 59}… is too large for a number: at most 64 bits are kept"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_limit_is_told_by_name_and_place(name: str) -> None:
    text, expected = HOSTILE[name]
    problems = parse(text, file="f", env={}).problems
    assert any(str(problem).startswith(f"f:{expected}") for problem in problems)


@pytest.mark.parametrize(
    "text",
    [
        "# comment\n" * (MIB // 10),
        'a: "' + "x y " * (MIB // 4) + '"',
        "a: 1\n" * 100_000,
        "".join(f"k{i}: 1\n" for i in range(20_000)),
        "${" * 50_000,
        '"' * 100_000,
        "a: [\n" + "*x,\n" * 5000 + "]",
        "a: {" + "!t x, " * 50_000 + "}",
        "version: 1\nproject: x\nvars: {v: '" + "y" * 100_000 + "'}\n"
        "gates: {g: {use: x, with: {" + ", ".join(f"a{i}: '{'${vars.v}' * 9}'" for i in range(1000)) + "}}}",
        "version: 1\nproject: x\nrecipes: {r: {use: x, with: {" + ", ".join(f"a{i}: 1" for i in range(3000)) + "}}}\n"
        "targets:\n" + "".join(f"  t{i}: {{recipe: r, dataset: d}}\n" for i in range(3000)),
        "version: 1\nproject: x\ngates: {g: {use: x}}\nprofiles:\n" + "".join(f"  p{i}: {{gates: {{g: {{with: {{a: 1}}}}}}}}\n" for i in range(3000)),
    ],
    ids=["comments", "text", "duplicates", "unknown", "braces", "quotes", "traps", "tags", "vars", "recipes", "profiles"],
)  # fmt: skip
def test_large_text_is_read_in_bounded_time(text: str) -> None:
    begun = time.process_time()
    parsed = parse(text, env={})
    assert time.process_time() - begun < 15  # seconds; each takes less than 3 on one core of 2020
    assert len(parsed.problems) <= 2100


def test_values_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparkfile_schema.document.MOST_VALUES", 1000)  # 250,000 take 5 seconds
    (problem,) = parse("a: [" + "x," * 2000 + "]", file="f", env={}).problems
    assert str(problem).startswith("f:1:1999: more than 1000 keys and values")


def test_no_more_problems_are_told_than_anyone_reads() -> None:
    text = "version: 1\nproject: p\n" + "".join(f"k{i}: 1\n" for i in range(5000))
    assert len(parse(text, env={}).problems) == 1000


PIECES = st.sampled_from(
    [
        *(
            "version: 1\n",
            "project: p\n",
            "datasets:",
            "gates:",
            "recipes:",
            "targets:",
            "profiles:",
            "vars:",
        ),
        *(
            "\n",
            "\n  ",
            "\n    ",
            " ",
            ": ",
            "- ",
            "{",
            "}",
            "[",
            "]",
            ",",
            "'",
            '"',
            "|",
            ">",
            "*a",
            "&a ",
            "!!x ",
        ),
        *(
            "${vars.a}",
            "${env.A}",
            "$${",
            "${secret.S}",
            "use: x",
            "with: ",
            "source: d",
            "splits: ",
            "keep",
            "#",
        ),
        *(
            "a",
            "b: 1",
            "1.5",
            ".nan",
            "<<",
            "? ",
            "%",
            "@",
            "\t",
            "\r\n",
            "\x00",
            "\u202e",
            "é",
            "true",
            "null",
            "~",
        ),
        *(
            "eval: ",
            "metrics: [m]",
            "base: model:a",
            "recipe: r",
            "dataset: a",
            "require: {items: '> 1'}",
            "\\",
        ),
    ]
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=40).map("".join), st.binary(max_size=200))
QUICK = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(TEXTS)
def test_no_text_crashes_the_reader(text: str | bytes) -> None:
    parsed = parse(text, env={"A": "x"})
    assert all(problem.message and problem.fix and problem.at.line >= 1 for problem in parsed.problems)


@QUICK
@given(TEXTS, st.text(max_size=20))
def test_no_override_or_profile_crashes_the_reader(value: str | bytes, profile: str) -> None:
    text = value if isinstance(value, str) else value.decode("latin-1")
    base = "version: 1\nproject: p\ngates: {g.h: {use: x, with: {a: [1, {b: 2}]}}}\nprofiles: {q: {}}\n"
    for path in ("gates.g.h.with.a.1.b", "gates", "vars.x", "", "gates.g.h.with.a"):
        parsed = parse(base, overrides=[f"{path}={text}", text], profile=profile, env={})
        assert all(problem.message and problem.fix for problem in parsed.problems)


TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["source", "use", "with", "splits", "ratios", "train", "gates", "require", "items", "recipe", "dataset",
                 "roles", "eval", "metrics", "package", "base", "a", "model", "only", "card", "version", "numerics"]
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=15,
)  # fmt: skip
SECTIONS = st.sampled_from(
    ["datasets", "gates", "recipes", "targets", "deployments", "profiles", "vars", "store", "limits"]
)


@QUICK
@given(st.dictionaries(SECTIONS, st.one_of(TREES, st.dictionaries(st.sampled_from("ab"), TREES, max_size=2))))
def test_no_tree_of_known_keys_crashes_the_reader(tree: dict[str, object]) -> None:
    import json

    parsed = parse(json.dumps({"version": 1, "project": "p", **tree}), env={})
    assert all(problem.message and problem.fix for problem in parsed.problems)
