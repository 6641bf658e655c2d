"""A rule of the user's own that is wrong: found before anything runs where it can be, else a failed stage by name."""

import re

import pytest

from tests.errors.told import assert_is_plain, errors, left_in_work, refused
from tests.spark import Folder, documents

GATE = """\
from spark_build.contract import ItemGate, Verdict
from spark_build.core.errors import ItemRejected
class G(ItemGate):
    revision = 1
    def measure(self, item):
        {measure}
    def decide(self, found, params):
        {decide}
"""
SPARKFILE = """\
datasets:
  d: {source: data, gates: [g]}
gates:
  g: {use: ./gate.py:G}
"""


def gate(measure: str = "return 1", decide: str = "return Verdict.keep()") -> str:
    return GATE.format(measure=measure, decide=decide)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The documents are read once; each test brings its own gate."""
    folder = Folder(tmp_path_factory.mktemp("project"))
    folder.sparkfile(SPARKFILE)
    documents(folder, 3)
    return folder


@pytest.mark.parametrize(
    ("helper", "told"),
    [
        ("def count(:\n", "lib/helper.py:1: SyntaxError: invalid syntax"),
        ("\nimport nosuchmodule\n", "lib/helper.py:2: ModuleNotFoundError: No module named 'nosuchmodule'"),
    ],
)
def test_a_broken_helper_of_a_rule_is_named_itself(project: Folder, helper: str, told: str) -> None:
    project.write("lib/helper.py", helper)
    project.write("gate.py", f"import lib.helper\n{gate()}")
    assert told in refused(project, "plan", "--json")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def x(:\n", "gate.py:1: SyntaxError: invalid syntax\n  fix: mend the file"),
        ("x = 1\n", "./gate.py has no rule class 'G'\n  fix: class G(ItemGate)"),
        ("class G: pass\n", "./gate.py has no rule class 'G'"),
        ("import nosuchmodule\n", "gate.py:1: ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("x = 1\nraise RuntimeError('boom')\n", "gate.py:2: RuntimeError: boom"),
        ("import sys\nsys.exit(0)\n", "gate.py:2: calls sys.exit when it is imported"),
        ("from spark_build.contract import ItemGate\nclass G(ItemGate):\n    revision = 1\n",
         "./gate.py: 'G' has no decide and no measure"),
        ("from spark_build.contract import Recipe\nclass G(Recipe):\n    revision = 1\n", "is a recipe, not a gate"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_refused_where_the_sparkfile_names_it(project: Folder, code: str, told: str) -> None:
    project.write("gate.py", code)
    message = refused(project, "plan", "--json")
    assert message.startswith("Sparkfile.yaml:6:12: ")
    assert told in message


@pytest.mark.parametrize(
    ("use", "told"),
    [
        ("./gone.py:G", "./gone.py: not there"),
        ("./gate.py", "'./gate.py' can't be the name of a rule\n  fix: a rule of your own is ./my_gate.py:MyGate"),
        ("nosuch", "no gate 'nosuch'\n  fix: there are decontaminate, exact_duplicates, language"),
        ("pi", "no gate 'pi'"),
    ],
)  # fmt: skip
def test_a_rule_that_is_not_there_is_refused(folder: Folder, use: str, told: str) -> None:
    folder.sparkfile(SPARKFILE.replace("./gate.py:G", use))
    documents(folder, 1)
    assert told in refused(folder, "plan")


def test_a_rule_outside_of_the_project_is_refused(folder: Folder) -> None:
    (folder.path.parent / "gate.py").write_text(gate())
    folder.sparkfile(SPARKFILE.replace("./gate.py", "../gate.py"))
    documents(folder, 1)
    assert "../gate.py lies outside of the project\n  fix: copy it" in refused(folder, "plan")


@pytest.mark.parametrize(
    ("code", "told", "has_traceback"),
    [
        (gate("raise ValueError('odd item')"), "of doc0000.md and others: ValueError: odd item", True),
        (gate("return object()"), "what it found is not JSON", False),
        (gate(decide="return found / 0"), "failed deciding on item", True),
        (gate(decide="return True"), "decide has to give a Verdict, not bool", False),
        (gate("import sys; sys.exit(3)"), "'g' (gate.py:6) called sys.exit(3)", False),
        (gate("import os; os._exit(0)"), "ended with exit code 0 before it had a result", False),
        (gate("import os; os.kill(os.getpid(), 9)"), "was ended by signal 9 before it had a result", False),
        (gate("raise ItemRejected('odd')"), "the gates left none of 3 items: 'g' dropped 3 of 3 (odd 3)", False),
    ],
)  # fmt: skip
def test_a_rule_that_fails_is_a_failed_stage_and_keeps_what_was_read(
    project: Folder, code: str, told: str, has_traceback: bool
) -> None:
    project.write("gate.py", code)
    ran = project.build(code=1)
    assert ran.outcomes["dataset:d/ingest"] in ("ran", "fresh")
    assert ran.outcomes["dataset:d/filter"] == "failed"
    assert told in errors(ran)["dataset:d/filter"]
    assert "\n  Sparkfile.yaml:4:6: " in ran.err
    assert "\n  fix: " in ran.err
    assert ("gate.py" in ran.err.partition("the end of its log:")[2]) == has_traceback
    assert left_in_work(project) == {"scratch"}
    if not has_traceback:
        assert_is_plain(ran)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise OSError(28, 'full')", "of doc0000.md and others: no space left on the disk"),
        ("raise OSError(13, 'closed', '/etc/closed')", "/etc/closed: permission denied"),
    ],
)
def test_what_the_disk_refused_a_rule_is_told_without_a_traceback(
    project: Folder, code: str, told: str
) -> None:
    project.write("gate.py", gate(code))
    ran = project.build(code=1)
    assert told in errors(ran)["dataset:d/filter"]
    assert re.search(r"the end of its log:\n  \| by way of .*gate\.py:\d+\n  log ", ran.err)
    assert_is_plain(ran)


def test_what_a_rule_prints_is_in_its_log_and_not_in_the_answer(project: Folder) -> None:
    project.write("gate.py", "print('at import')\n" + gate("print('at work'); return 2"))
    planned = project.spark("plan", "--json")
    assert planned.out.startswith('{"version": 1')
    ran = project.build()
    assert {line["event"] for line in ran.lines} <= {"progress", "stage", "done"}
    assert "at work" in project.spark("log", "dataset:d/filter", "--text").out
