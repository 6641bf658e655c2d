"""The repository's promises about itself: every file told of, documents that run, layers held."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from difflib import unified_diff
from pathlib import Path
from types import ModuleType

import pytest

from spark_build.cli.parser import COMMANDS
from spark_build.contract import Item
from spark_build.engine.explain import KINDS
from spark_build.rulebook import FAMILIES, find
from spark_build.rulebook import names as rule_names
from sparkfile_schema import parse
from sparkfile_schema.keys import DATASET, DEPLOYMENT, EVALUATION, TARGET, TOP
from tools import architecture, reference
from tools.architecture import first_line

ROOT = Path(__file__).resolve().parent.parent

DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
MODULES = sorted(p for folder in ("spark_build", "sparkfile_schema") for p in (ROOT / folder).rglob("*.py"))


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("document", "tool"), [("ARCHITECTURE.md", architecture), ("docs/reference.md", reference)]
)
def test_generated_documents_are_current(document: str, tool: ModuleType) -> None:
    written = (ROOT / document).read_text().splitlines()
    difference = list(unified_diff(written, tool.rendered().splitlines(), n=0, lineterm=""))
    assert difference == [], f"python -m {tool.__name__} writes it anew"


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m.stat().st_size], ids=lambda m: m.relative_to(ROOT).as_posix()
)
def test_every_module_says_what_it_is(module: Path) -> None:
    assert first_line(module)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.relative_to(ROOT).as_posix())
def test_no_heavy_library_is_imported_at_the_top_of_a_module(module: Path) -> None:
    heavy = {
        "torch", "transformers", "pyarrow", "numpy", "trafilatura", "rensa", "peft", "datasets", "boto3",
        "obstore", "networkx", "spacy", "onnx", "onnxruntime", "presidio_analyzer", "huggingface_hub",
        "pandas", "rich", "cryptography",
    }  # fmt: skip
    imported = set()
    for statement in ast.parse(module.read_text()).body:
        if isinstance(statement, ast.Import):
            imported |= {name.name.partition(".")[0] for name in statement.names}
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            imported.add(statement.module.partition(".")[0])
    assert not imported & heavy


def test_imports_run_downward() -> None:
    script = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([script, "--no-logo"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ci_runs_the_line_that_readme_shows() -> None:
    line = 'pip install -c constraints.txt -e ".[test]" && pytest'
    assert f"{line}\n" in "".join(blocks(ROOT / "README.md", "sh"))
    assert f"line='{line}'" in (ROOT / ".ci/run").read_text()


def test_every_dependency_is_pinned_in_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    wanted = {_normal(re.split(r"[\[<>=!~ ;]", line)[0]) for line in lines} - {"spark-build"}
    pinned = re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert wanted <= {_normal(name) for name in pinned}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("script", ["check", ".ci/run"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    assert subprocess.run(["bash", "-n", ROOT / script]).returncode == 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize(
    "text",
    [text for d in DOCUMENTS if d.name != "design.md" for text in blocks(d, "yaml")],
    ids=lambda text: re.search(r"project: (\S+)", text)[1] if "project:" in text else "?",
)
def test_every_sparkfile_in_a_document_has_no_problem(text: str) -> None:
    assert parse(text).problems == ()


@pytest.mark.parametrize("keys", [TOP, DATASET, TARGET, EVALUATION, DEPLOYMENT])
def test_every_key_of_the_grammar_is_in_the_reference(keys: dict[str, str]) -> None:
    text = (ROOT / "docs/sparkfile.md").read_text()
    assert [key for key in keys if not re.search(rf"\b{key}\b", text)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_in_the_reference(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spark_build", command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    text = (ROOT / "docs/cli.md").read_text()
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", done.stdout)) - {"--help"}
    assert f"spark {command}" in text
    assert [option for option in sorted(options) if option not in text] == []


def test_every_kind_of_cause_is_in_the_reference() -> None:
    assert f"`{' '.join(KINDS)}`" in (ROOT / "docs/cli.md").read_text()


def test_every_family_of_rules_is_in_the_guide() -> None:
    text = (ROOT / "docs/rules.md").read_text()
    assert [family for family in FAMILIES if f"| {family} |" not in text] == []


def test_the_changelog_names_every_built_in_rule_but_metrics() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    named = [rule for family in FAMILIES if family != "metric" for rule in rule_names(family)]
    assert [rule for rule in named if f"`{rule}`" not in text] == []


def test_the_gate_of_the_guide_works_as_it_is_printed(tmp_path: Path) -> None:
    (tmp_path / "my_gate.py").write_text(blocks(ROOT / "docs/rules.md", "python")[0])
    rule = find("gate", "./my_gate.py:LongEnough", tmp_path).rule
    gate, params = rule(rule.Params(words=3)), rule.Params(words=3)
    verdicts = [
        gate.decide(gate.measure(Item("1", "a.md", "train", {"text": text})), params)  # type: ignore[attr-defined]
        for text in ("one two", "one two three")
    ]
    assert [(v.action, v.reason, v.score) for v in verdicts] == [("drop", "short", 2), ("keep", "", 3)]
