"""What a user writes that YAML reads as something else: the exact text of each refusal."""

# ruff: noqa: E501 - a table: one line a case

from __future__ import annotations

import pytest

from sparkfile_schema.document import read_document
from sparkfile_schema.nodes import Map

TRAPS = {
    "alias": ("path: *.md", "1:7: '*.md' is read as a YAML alias, and nothing before it is anchored so", '"*.md"'),
    "alias in a list": ("a: [x, *.md]", "1:8: '*.md' is read as a YAML alias, and nothing before it is anchored so", '"*.md"'),
    "glob": ("a: **/*.md", "1:4: '**/*.md' is read as a YAML alias, and nothing before it is anchored so", '"**/*.md"'),
    "star alone": ("a: * x", "1:4: '* x' is read as a YAML alias", '"* x"'),
    "folded": ("accuracy: > 0.9", "1:11: '> 0.9' is read as the start of a block text", '"> 0.9"'),
    "folded with equals": ("a: >= 0.9", "1:4: '>= 0.9' is read as the start of a block text", '">= 0.9"'),
    "folded with a digit": ("a: >1\nb: 1", "1:4: '>1' is read as the start of a block text", '">1"'),
    "literal": ("a: | grep x", "1:4: '| grep x' is read as the start of a block text", '"| grep x"'),
    "folded in flow": ("{a: > 0.9, b: 1}", "1:5: '> 0.9' begins with >, which means something else to YAML", '"> 0.9"'),
    "braces": ("{base: ${vars.base}}", "1:8: the braces in '${vars.base}' are read as a mapping", '"${vars.base}"'),
    "braces behind text": ("{a: x-${vars.b}, c: 1}", "1:5: the braces in 'x-${vars.b}' are read as a mapping", '"x-${vars.b}"'),
    "braces in a command": ("{run: cat {inputs.raw}}", "1:7: the braces in 'cat {inputs.raw}' are read as a mapping", '"cat {inputs.raw}"'),
    "at": ("user: @me", "1:7: '@me' begins with @, which means something else to YAML", '"@me"'),
    "backtick": ("a: `x`", "1:4: '`x`' begins with `, which means something else to YAML", '"`x`"'),
    "percent": ("a: %x", "1:4: '%x' begins with %, which means something else to YAML", '"%x"'),
    "ampersand": ("a: & b", "1:4: '& b' is read as a YAML anchor", '"& b"'),
    "second colon": ("a: b: c", "1:4: 'b: c' holds a ':', so it is read as a key", '"b: c"'),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_told_with_the_advice_to_quote(name: str) -> None:
    text, expected, quoted = TRAPS[name]
    _, problems = read_document(text, "f")
    assert [str(problem) for problem in problems] == [f"f:{expected}\n  fix: quote it: {quoted}"]


@pytest.mark.parametrize("name", TRAPS)
def test_following_the_advice_mends_the_file(name: str) -> None:
    text, _, quoted = TRAPS[name]
    unquoted = quoted[1:-1]
    root, problems = read_document(text.replace(unquoted, quoted), "f")
    assert problems == []
    assert isinstance(root, Map)


def test_all_traps_of_a_file_are_told_at_once() -> None:
    text = "a: > 0.9\nb: @me\nc: {d: ${vars.x}, e: 1}\nf: [*.txt, 1]\ng: fine\n"
    root, problems = read_document(text, "f")
    assert [(problem.at.line, problem.at.column) for problem in problems] == [(1, 4), (2, 4), (3, 8), (4, 5)]
    assert isinstance(root, Map)
    assert list(root.entries) == ["a", "b", "c", "f", "g"]


OTHERS = {
    "a:\n\tb: 1": "2:1: a tab stands here; YAML takes only spaces\n  fix: replace it by spaces",
    "a:\tb": "1:3: a tab stands here; YAML takes only spaces\n  fix: replace it by spaces",
    'a: "x': '1:4: this quote is never closed\n  fix: close it with "',
    "a: 'x": "1:4: this quote is never closed\n  fix: close it with '",
    "a: {b: c": "1:4: this '{' is never closed\n  fix: close it with '}'",
    "a: [1, 2": "1:4: this '[' is never closed\n  fix: close it with ']'",
    "a: {b: 1 c: 2}": "1:11: ',' or '}' is missing before this, for the '{' of 1:4\n"
    "  fix: add it; quote text that holds any of , : { } [ ]",
    'a: "\\d"': "1:5: '\\d' is no escape that double quotes know\n  fix: use single quotes, or double the backslash",
    'a: "x" y': "1:8: text stands behind a value that has ended\n  fix: quote the whole value",
    "a: ]": "1:4: a value is missing before ']'\n  fix: add it, or quote it if it is text",
    "a: - b": "1:4: a list can't begin behind a key\n  fix: begin it on the next line, or write [a, b]",
    "a:\n   b: 1\n  c: 2": "3:3: this line does not fit the indentation of what begins at 1:1\n"
    "  fix: indent it like the lines beside it",
    "a:\n  b: 1\n   c: 2": "3:4: the key 'c' can't stand here: the value above goes on\n"
    "  fix: indent it like the keys beside it",
    "version:1\nb: 2": "2:1: the key 'b' can't stand here: the value above goes on\n"
    "  fix: put a space after the colon: version: 1",
    "{lr:1e-4}": "1:2: 'lr:1e-4' is read as a key without a value\n  fix: put a space after the colon: lr: 1e-4",
    "a: 1\nfoo\nb: 2": "2:1: 'foo' is no key\n  fix: a key ends with a colon and a space",
    "a: 1\n---\nb: 2": "2:1: a second document begins here\n  fix: remove the '---'",
    "a: !!python/object:os.system x": "1:4: '!!python/object:os.system' is a YAML tag, and none is allowed\n"
    '  fix: remove the tag, or quote it if it is text: "!!python/object:os.system"',
    "a: !important": "1:4: '!important' is a YAML tag, and none is allowed\n"
    '  fix: remove the tag, or quote it if it is text: "!important"',
    "a: 1\nb: 2\na: 3": "3:1: duplicate key 'a', first on line 1\n  fix: keep one of the two",
    "{a: 1, 'a': 2}": "1:8: duplicate key 'a', first on line 1\n  fix: keep one of the two",
    "a: &x {b: 1}\nc:\n  <<: *x": "3:3: YAML 1.2 has no merge key '<<'\n"
    '  fix: write the keys out, or quote it: "<<"',
    "1: a": '1:1: a key has to be text, and 1 is not\n  fix: quote it: "1"',
    "null: a": '1:1: a key has to be text, and null is not\n  fix: quote it: "null"',
    "true: a": '1:1: a key has to be text, and true is not\n  fix: quote it: "true"',
    "[a]: b": "1:1: a key has to be text, not a list or a mapping\n  fix: quote it if it is text",
    "x: {{ a }}": "1:5: a key has to be text, not a list or a mapping\n  fix: quote it if it is text",
    "a: &a 1\n*a : 2": "2:1: an alias can't be a key\n  fix: write the key out",
    "a: .inf": '1:4: .inf is no number that can be used here\n  fix: quote it if it is text: ".inf"',
    "a: -.INF": '1:4: -.INF is no number that can be used here\n  fix: quote it if it is text: "-.INF"',
    "a: .nan": '1:4: .nan is no number that can be used here\n  fix: quote it if it is text: ".nan"',
    "a: 1e999": '1:4: 1e999 is too large for a number\n  fix: quote it if it is text: "1e999"',
    "a: 9223372036854775808": "1:4: 9223372036854775808 is too large for a number: at most 64 bits are kept\n"
    '  fix: quote it if it is text: "9223372036854775808"',
    'a: "\\0"': "1:4: an escape stands for the character U+0000, which is not allowed\n  fix: remove it",
    'a: "\\ud800"': "1:4: an escape stands for the character U+D800, which is not allowed\n  fix: remove it",
    'a: "\\UFFFFFFFF"': "1:7: this is not YAML\n  fix: quote the text that stands here",
    "%YAML 1.1\n---\na: 1": "1:1: a Sparkfile is YAML 1.2\n  fix: remove this line",
    "a: ? b": "1:4: this is not YAML: mapping keys are not allowed here\n  fix: quote the text that stands here",
    "a: [b": "1:4: this '[' is never closed\n  fix: close it with ']'",
    "a: [": "1:5: the file ends where a value is expected\n  fix: add it",
}  # fmt: skip


@pytest.mark.parametrize("text", OTHERS)
def test_bad_yaml_is_told_in_the_users_words(text: str) -> None:
    _, problems = read_document(text, "f")
    assert [str(problem) for problem in problems] == [f"f:{OTHERS[text]}"]


FORBIDDEN = {
    "a: \0": "1:4: the character U+0000 is not allowed: a NUL byte; is this a binary file?",
    "a: 1\nb: x\x07": "2:5: the character U+0007 is not allowed: an invisible control character",
    "a: \u202eevil": "1:4: the character U+202E is not allowed: it turns the direction of the text around it, "
    "which then seems to say something else",
    "a: \ufeffx": "1:4: the character U+FEFF is not allowed: an invisible control character",
    "a: \ud800": "1:4: the character U+D800 is not allowed: an invisible control character",
}


@pytest.mark.parametrize("text", FORBIDDEN)
def test_invisible_characters_are_refused(text: str) -> None:
    _, problems = read_document(text, "f")
    assert [str(problem) for problem in problems] == [f"f:{FORBIDDEN[text]}\n  fix: remove it"]


def test_a_file_that_is_not_utf_8_is_refused_at_the_byte() -> None:
    _, problems = read_document("a: 1\nb: ä".encode("latin-1"), "f")
    assert [str(p) for p in problems] == ["f:2:4: the file is not UTF-8: byte 0xe4\n  fix: save it as UTF-8"]


def test_columns_count_characters_as_an_editor_shows_them() -> None:
    root, problems = read_document("ä: {ö: 1, ü: 𝄞, a: 2}\r\nb: 3", "f")
    assert problems == []
    assert isinstance(root, Map)
    inner = root.entries["ä"].node
    assert isinstance(inner, Map)
    assert (inner.entries["a"].node.at.line, inner.entries["a"].node.at.column) == (1, 20)
    assert root.entries["b"].node.at.line == 2


def test_a_byte_order_mark_is_no_character() -> None:
    root, problems = read_document(b"\xef\xbb\xbfa: 1", "f")
    assert problems == []
    assert isinstance(root, Map)
    assert root.entries["a"].key_at.column == 1


def test_an_alias_stands_where_it_is_written() -> None:
    root, _ = read_document("a: &x {b: 1}\nc: *x", "f")
    assert isinstance(root, Map)
    repeated = root.entries["c"].node
    assert isinstance(repeated, Map)
    assert (repeated.at.line, repeated.entries["b"].node.at.line) == (2, 1)
