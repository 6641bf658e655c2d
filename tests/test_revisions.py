"""Built-in rules give what their revisions promise, and the check sees it where they don't (tools/revisions.py)."""

import ast
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tools import revisions
from tools.closure import Sources
from tools.revisions import Accepted, Found, problems, settled_modules, take

ROOT = Path(__file__).resolve().parent.parent


def test_code_and_output_of_every_rule_are_those_of_its_revision() -> None:
    if left := revisions.check():
        pytest.fail("\n".join(map(str, left)), pytrace=False)


def test_every_built_in_rule_and_runner_has_a_revision_that_was_accepted() -> None:
    assert set(revisions.accepted()) == set(code())


# closures


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of all that the check reads."""
    for folder in ("spark_build", "sparkfile_schema", "tools", "tests/golden"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "tests" / "__init__.py").touch()
    return tmp_path


def edit(tree: Path, path: str, old: str, new: str) -> None:
    text = (tree / path).read_text()
    assert old in text, f"{path} no longer says {old!r}: this test's edit has to follow"
    (tree / path).write_text(text.replace(old, new))


@functools.cache
def code() -> Mapping[str, Found]:
    return revisions.code()


def rules_that_moved(tree: Path) -> set[str]:
    after = Sources(tree)
    return {rule for rule, its in code().items() if after.closure(its.module) != its.modules}


def test_an_edited_helper_moves_the_rules_that_import_it_and_no_other(tree: Path) -> None:
    edit(tree, "spark_build/modalities/text/shingles.py", "def jaccard(", "WEIGHT = 2\n\n\ndef jaccard(")
    assert rules_that_moved(tree) == {"gate/near_duplicates"}


def test_an_import_within_a_function_counts(tree: Path) -> None:
    (tree / "spark_build/gates/_presidio.py").open("a").write("\nMORE = 1\n")
    assert rules_that_moved(tree) == {"gate/pii"}


def test_a_module_that_is_named_to_be_run_counts(tree: Path) -> None:
    (tree / "spark_build/serving/openai_server.py").open("a").write("\nMORE = 1\n")
    assert rules_that_moved(tree) == {"server/transformers_serve"}


def test_an_edit_of_cli_engine_and_reports_moves_no_rule(tree: Path) -> None:
    for module in (
        "cli/__init__",
        "app/__init__",
        "engine/plan",
        "report/text",
        "pipeline/__init__",
        "rulebook",
    ):
        path = tree / "spark_build" / (f"{module}.py")
        path.write_text(path.read_text() + "\nMORE = 1\n")
    assert rules_that_moved(tree) == set()


def test_another_layout_of_the_same_code_moves_nothing(tree: Path) -> None:
    for path in (tree / "spark_build").rglob("*.py"):
        path.write_text(ast.unparse(ast.parse(path.read_text())))  # no comments, other quotes and line breaks
    assert rules_that_moved(tree) == set()


def test_docstrings_comments_and_descriptions_of_params_move_nothing(tree: Path) -> None:
    for path in (tree / "spark_build").rglob("*.py"):
        path.write_text(
            re.sub(r'^( *)"""(?=[A-Z])', r'\1# a comment\n\1"""Now. ', path.read_text(), flags=re.M)
        )
    edit(tree, "spark_build/transforms/chunk.py", "Tokens per window.", "Tokens of a window.")
    assert rules_that_moved(tree) == set()


# verdicts

MODULES = {"spark_build.gates.a": "1" * 64, "spark_build.core.b": "2" * 64}
MOVED = {**MODULES, "spark_build.core.b": "3" * 64}


def now(revision: int = 1, modules: dict[str, str] = MODULES, golden: str = "g", loss: float = 2.0) -> Found:
    return Found(
        "spark_build.gates.a",
        "A (spark_build/gates/a.py)",
        revision,
        modules,
        {"verdicts": golden},
        {"loss": loss},
    )


THEN = Accepted(1, now().closure, {"verdicts": "g"}, {"loss": 2.0})


def told(found: Found, then: Accepted = THEN) -> str:
    return "".join(map(str, problems({"gate/a": then}, {"gate/a": found}, MODULES)))


def taken(found: Found, reason: str | None = None, then: Accepted = THEN) -> Accepted:
    before, after = {"gate/a": then}, {"gate/a": found}
    return take(before, after, problems(before, after, MODULES), reason)["gate/a"]


def test_nothing_is_told_where_nothing_moved() -> None:
    assert told(now()) == ""


def test_moved_code_is_named_with_both_ways_out() -> None:
    assert told(now(modules=MOVED)) == (
        "gate/a: code moved: spark_build.core.b\n"
        "  fix: can its output differ for any input? Then set revision to 2 in A (spark_build/gates/a.py), and "
        "python -m tools.revisions --accept gate/a; else: python -m tools.revisions --same-output 'why' gate/a"
    )


def test_another_output_demands_a_revision() -> None:
    text = told(now(modules=MOVED, golden="other"))
    assert "gives another result (verdicts) under the same revision; code moved: spark_build.core.b" in text
    assert "set revision to 2 in A (spark_build/gates/a.py)" in text


def test_a_figure_may_differ_by_what_processors_do_and_no_more() -> None:
    assert told(now(loss=2.00001)) == ""
    assert "loss: 2.0 → 2.01" in told(now(loss=2.01))


def test_a_revision_that_fell_is_told() -> None:
    assert "revision fell from 2 to 1" in told(now(), Accepted(2, now().closure, THEN.golden, THEN.figures))


def test_a_line_takes_moved_code_and_keeps_the_revision() -> None:
    after = taken(now(modules=MOVED), "renamed a local variable")
    assert told(now(modules=MOVED), after) == ""
    assert (after.revision, [line["reason"] for line in after.same_output]) == (
        1,
        ["renamed a local variable"],
    )


def test_a_line_is_good_for_the_code_it_was_written_for() -> None:
    later = {**MOVED, "spark_build.gates.a": "4" * 64}
    assert "code moved" in told(now(modules=later), taken(now(modules=MOVED), "why"))


def test_a_line_does_not_take_another_output() -> None:
    assert taken(now(modules=MOVED, golden="other"), "really the same") == THEN


def test_a_case_with_more_parts_keeps_the_revision_and_brings_them_with_the_line() -> None:
    found = now(modules=MOVED)
    found = replace(found, golden={**found.golden, "of images": "new"})
    assert "code moved" in told(found)
    after = taken(found, "text is what it was")
    assert (after.revision, after.golden, told(found, after)) == (1, found.golden, "")
    assert "(of images)" in told(replace(found, modules=MODULES))
    assert "gives another result (of images)" in told(now(modules=MODULES), after)


def test_accept_does_not_take_moved_code_under_the_same_revision() -> None:
    assert taken(now(modules=MOVED)) == THEN
    assert taken(now(modules=MOVED, golden="other")) == THEN


def test_accept_takes_a_raised_revision_and_forgets_the_lines_before() -> None:
    before = taken(now(modules=MOVED), "why")
    after = taken(now(2, MOVED, "other"), then=before)
    assert after == Accepted(2, now(2, MOVED).closure, {"verdicts": "other"}, {"loss": 2.0})


def test_accept_takes_a_changed_case_while_the_code_stands_still() -> None:
    assert taken(now(golden="of other inputs")).golden == {"verdicts": "of other inputs"}


def test_accept_takes_new_rules_and_drops_those_that_are_gone() -> None:
    before, after = {"gate/gone": THEN}, {"gate/new": now()}
    assert set(take(before, after, problems(before, after, MODULES), None)) == {"gate/new"}


def test_what_moved_is_told_until_the_last_rule_has_taken_it() -> None:
    code = {"gate/a": now(modules=MOVED), "gate/b": now(modules=MOVED)}
    one = {"gate/a": taken(now(modules=MOVED), "why"), "gate/b": THEN}
    assert settled_modules(one, code, MODULES) == MODULES
    assert settled_modules({**one, "gate/b": one["gate/a"]}, code, MODULES) == dict(sorted(MOVED.items()))


# the command, in a tree whose chunk transform was accepted as it is


def run(tree: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", "tools.revisions", *arguments, "transform/chunk"]
    return subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True)


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def chunk(tree: Path) -> Run:
    """Runs the command after an edit; by then the chunk transform is accepted, whatever the tree's state is."""
    (tree / "tests/golden/transform.json").unlink()
    assert run(tree, "--accept").stdout == "taken: transform/chunk\n"
    return lambda *arguments: run(tree, *arguments)


def test_code_that_gives_the_same_asks_for_a_line_and_takes_it(tree: Path, chunk: Run) -> None:
    edit(
        tree,
        "spark_build/transforms/chunk.py",
        "        text = item[name]\n",
        "        text = (item[name])[:]\n",
    )
    assert chunk("--same-output", "a copy of a text").stdout == "taken: transform/chunk\n"
    (line,) = json.loads((tree / "tests/golden/transform.json").read_text())["chunk"]["same_output"]
    assert line["reason"] == "a copy of a text"


def test_code_that_gives_something_else_asks_for_a_revision_and_takes_it(tree: Path, chunk: Run) -> None:
    edit(tree, "spark_build/transforms/chunk.py", "text = item[name]\n", "text = item[name].strip('.')\n")
    refused = chunk("--same-output", "only full stops")
    assert (refused.returncode, refused.stdout) == (1, "taken: nothing\n")
    assert (
        "gives another result (characters, own tokens, tokens, words) under the same revision"
        in refused.stderr
    )
    path = tree / "spark_build/transforms/chunk.py"
    path.write_text(re.sub(r"revision = \d+", "revision = 99", path.read_text()))
    assert chunk("--accept").stdout == "taken: transform/chunk\n"
