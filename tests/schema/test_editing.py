"""Values written into the text of a Sparkfile: what is not one of them stays to the byte."""

# ruff: noqa: E501 - Sparkfiles on one line

import pytest

from sparkfile_schema import SparkfileError
from sparkfile_schema.editing import with_kept

TEXT = """\
# top
version: 1   # v
project: t
vars: {lr: 1e-4, b: "x"}
recipes:
  sft:
    use: command   # which
    with:
      run: "echo {params.lr}"   # what runs
      params: {lr: 1e-4, seed: 0}   # flow
      note: 'single'
      text: |
        block
        text
  two: {use: command, with: {run: "${vars.b}"}}
  three:
    use: x
    with:
  four: &four {use: x, with: {a: 1}}
  five: *four
targets:
  a: {recipe: sft, matrix: {seed: [1, 2]}}   # t
  b:
    recipe: sft
    matrix:
      seed:
      - 1
      - 2
      lr:   # rates
        - 1   # low
    # the end
profiles:
  quick: {recipes: {sft: {with: {params: {lr: 5e-4, epochs: 2}, tools: [python3]}}}}
"""


@pytest.mark.parametrize(
    ("sets", "old", "new"),
    [
        (["recipes.sft.with.params.lr=2E-4"], "params: {lr: 1e-4, seed", "params: {lr: 2E-4, seed"),
        (["recipes.sft.with.note=it's"], "note: 'single'", "note: 'it''s'"),
        (["recipes.sft.with.run=a: b"], '"echo {params.lr}"   #', '"a: b"   #'),
        (["recipes.sft.with.text=hello"], "text: |\n        block\n        text\n", "text: hello\n"),
        (["recipes.three.with.k=1", "recipes.three.with.z=two"], "    with:\n  four", "    with: {k: 1, z: two}\n  four"),
        (["targets.a.matrix.seed=[1, 2, 3]"], "{seed: [1, 2]}", "{seed: [1, 2, 3]}"),
        (["targets.b.matrix.seed=[3]"], "seed:\n      - 1\n      - 2\n", "seed: [3]\n"),
        (["targets.b.matrix.lr=[5]"], "- 1   # low", "- 5   # low"),
        (["targets.a.with.x=1", "targets.a.base=gpt2"], "[1, 2]}}", "[1, 2]}, with: {x: 1}, base: gpt2}"),
        (["targets.b.with.x=true"], "# low\n", "# low\n    with: {x: true}\n"),
        (["recipes.sft.with.progress=log.jsonl"], "        text\n  two", "        text\n      progress: log.jsonl\n  two"),
        (["vars.b=a \"b\" c"], '"x"', '"a \\"b\\" c"'),
        (["vars.lr=5e-4", "vars.lr=1e-4"], "", ""),
    ],
)  # fmt: skip
def test_a_value_is_written_where_it_stands(sets: list[str], old: str, new: str) -> None:
    written, changes = with_kept(TEXT, "S", overrides=sets)
    assert written == (TEXT.replace(old, new) if old else TEXT)
    assert bool(changes) == bool(old)


def test_a_profile_is_written_value_by_value() -> None:
    written, changes = with_kept(TEXT, "S", profile="quick")
    expected = TEXT.replace("{lr: 1e-4, seed: 0}", "{lr: 5e-4, seed: 0, epochs: 2}")
    assert written == expected.replace("        text\n  two", "        text\n      tools: [python3]\n  two")
    assert [(".".join(map(str, c.path)), c.old, c.new) for c in changes] == [
        ("recipes.sft.with.params.lr", "1e-4", "5e-4"),
        ("recipes.sft.with.params.epochs", None, "2"),
        ("recipes.sft.with.tools", None, "[python3]"),
    ]


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_lines_end_as_they_did(newline: str) -> None:
    text = TEXT.replace("\n", newline)
    written, _ = with_kept(text, "S", overrides=["targets.b.with.x=1", "recipes.sft.with.note=y"])
    assert written.count(newline) == text.count(newline) + 1
    assert written.count("\n") == written.count(newline)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("recipes.two.with.run=x", "S:15:35: 'recipes.two.with.run' is given by ${vars.b}"),
        ("recipes.four.with.a=2", "S:19:9: the value stands in &four, which is used on line 20 as well"),
        ("recipes.five.with.a=2", "S:20:9: the value stands in what an alias repeats"),
        ("targets.b.matrix.lr=[5, 6]", "comments stand inside of what would be replaced"),
        ("recipes.sft.use=other", "comments stand inside of what would be replaced"),
        ("recipes.none.with.a=2", "no recipe 'none'"),
    ],
)
def test_what_would_touch_anything_else_is_refused(change: str, problem: str) -> None:
    with pytest.raises(SparkfileError) as told:
        with_kept(TEXT, "S", overrides=[change])
    assert problem in str(told.value)
