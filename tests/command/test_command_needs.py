"""What a command reads, found from its `run:` at check time."""

import sys
from pathlib import Path
from typing import Any

import pytest

from spark_build.contract.command import CommandParams, needs_of_command
from spark_build.contract.command_template import fill
from spark_build.contract.params import Needs
from spark_build.core.errors import UsageError
from spark_build.metrics.command import Command as MetricCommand
from spark_build.metrics.command import Params as MetricParams
from spark_build.pipeline.project_view import ProjectView
from spark_build.recipes.command import Command as RecipeCommand
from spark_build.recipes.command import Params as RecipeParams
from spark_build.sources.command import Command as SourceCommand
from spark_build.sources.command import Params as SourceParams


@pytest.fixture
def project(tmp_path: Path) -> ProjectView:
    files = {
        "prep.py": "import lib.clean\nimport json\n",
        "lib/__init__.py": "",
        "lib/clean.py": "",
        "lib/other.py": "",
        "tools/__init__.py": "",
        "tools/make.py": "from lib import other\n",
        "conf/fast.yaml": "",
        "data/raw/a.txt": "",
        "data/raw/b.txt": "",
        "with space.txt": "",
        ".venv/pyvenv.cfg": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / ".venv/bin").mkdir()
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    return ProjectView(tmp_path)


def needs(project: ProjectView, run: str | list[str], **more: Any) -> Needs:
    return needs_of_command(CommandParams(run=run, **more), project)


def test_a_script_counts_with_the_project_files_that_it_imports(project: ProjectView) -> None:
    found = needs(project, "python3 prep.py {output}")
    assert found.code == ("lib/__init__.py", "lib/clean.py", "prep.py")
    assert found.paths == {}


def test_a_module_that_is_run_by_name_counts_with_what_it_imports(project: ProjectView) -> None:
    found = needs(project, "python3 -m tools.make {output}")
    assert {"tools/make.py", "lib/other.py"} <= set(found.code)


@pytest.mark.parametrize(
    "run",
    [
        "cat conf/fast.yaml > {output}/x",
        "./tool --config=./conf/fast.yaml {output}",
        "bash -c 'cat conf/fast.yaml' {output}",
        "cat <conf/fast.yaml|tee {output}/x",
        'echo "$(cat conf/fast.yaml)" > {output}/x',
        ["tool", "conf/fast.yaml", "{output}"],
        ["sh", "-c", "cat conf/fast.yaml >{output}/x"],
        "cat conf/*.yaml > {output}/x",
    ],
)
def test_a_word_that_names_a_project_file_is_an_input(project: ProjectView, run: str | list[str]) -> None:
    assert needs(project, run).paths == {"conf/fast.yaml": "conf/fast.yaml"}


def test_a_word_counts_as_it_stands_after_its_parameters_are_put_in(project: ProjectView) -> None:
    found = needs(project, "tool conf/{params.speed}.yaml {output}", params={"speed": "fast"})
    assert found.paths == {"conf/fast.yaml": "conf/fast.yaml"}


def test_a_name_with_a_space_is_one_word(project: ProjectView) -> None:
    assert needs(project, "cat 'with space.txt' > {output}/x").paths == {"with space.txt": "with space.txt"}


def test_a_folder_that_is_named_is_an_input(project: ProjectView) -> None:
    assert needs(project, "tool data/raw {output}").paths == {"data/raw": "data/raw"}


def test_a_path_that_is_not_there_yet_would_count_if_it_were(project: ProjectView) -> None:
    found = needs(project, "tool conf/slow.yaml extra.txt train {output}")
    assert found.probed == ("conf/slow.yaml", "extra.txt")


def test_what_lies_outside_of_the_project_is_no_input(project: ProjectView) -> None:
    found = needs(project, "/bin/cat ../other.txt ~/x.txt https://example.org/a.txt s3://b/c.txt . {output}")
    assert (found.paths, found.code, found.probed) == ({}, (), ())


def test_the_python_of_a_virtual_environment_is_no_input(project: ProjectView) -> None:
    found = needs(project, ".venv/bin/python prep.py {output}")
    assert found.paths == {}
    assert "prep.py" in found.code


def test_code_adds_files_with_what_they_import(project: ProjectView) -> None:
    found = needs(project, "make-it {output}", code=["tools/*.py"])
    assert set(found.code) == {"tools/__init__.py", "tools/make.py", "lib/__init__.py", "lib/other.py"}


@pytest.mark.parametrize("pattern", ["tools", "tools/", "tools/**"])
def test_a_folder_among_the_code_stands_for_all_that_it_holds(project: ProjectView, pattern: str) -> None:
    found = needs(project, "make-it {output}", code=[pattern])
    assert {"tools/__init__.py", "tools/make.py", "lib/other.py"} <= set(found.code)


def test_code_none_leaves_the_script_and_drops_its_imports(project: ProjectView) -> None:
    found = needs(project, "python3 prep.py {output}", code="none")
    assert found.code == ()
    assert found.paths == {"prep.py": "prep.py"}


def test_inputs_go_by_what_they_name(project: ProjectView) -> None:
    given = {"raw": "data/raw", "other": "dataset:other", "base": "model:x"}
    found = needs(project, "tool {inputs.raw} {inputs.other} {inputs.base} {output}", inputs=given)
    assert found.paths == {"raw": "data/raw"}
    assert found.datasets == {"other": "dataset:other"}
    assert found.models == {"base": "model:x"}


def test_environment_tools_secrets_and_reads_are_passed_on(project: ProjectView) -> None:
    found = needs(
        project, "tool {output}", env=["LANG"], tools=["python3"], secrets=["TOKEN"], reads=["test", "card"]
    )
    assert (found.env, found.tools, found.secrets, found.reads) == (
        ("LANG",),
        ("python3",),
        ("TOKEN",),
        ("test", "card"),
    )


REFUSED = [
    (
        {"run": "tool {inputs.rwa} {output}", "inputs": {"raw": "data/raw"}},
        "run: {inputs.rwa} is no input of this command\n  fix: did you mean {inputs.raw}?",
    ),
    (
        {"run": "tool {inputs.model} {output}"},
        "run: {inputs.model} is no input of this command\n  fix: add it under inputs:",
    ),
    (
        {"run": "tool {params.lr} {output}", "params": {"rate": 1}},
        "run: {params.lr} has no value\n  fix: add it under params:; there are rate",
    ),
    (
        {"run": "tool {params.a.c} {output}", "params": {"a": {"b": 1}}},
        "run: {params.a.c} has no value\n  fix: add it under params:; there are a",
    ),
    (
        {"run": "tool --out result"},
        "run never says {output}\n  fix: tell the command to write there: --out {output}",
    ),
    (
        {"run": "tool 'open {output}"},
        "run: no closing quotation\n  fix: close the quote, or write run as a list of words",
    ),
    (
        {"run": "tool {output}", "code": ["src/*.py"]},
        "code: 'src/*.py' matches no file\n  fix: patterns go from the Sparkfile's folder",
    ),
]


@pytest.mark.parametrize(("params", "message"), REFUSED)
def test_what_can_not_work_is_refused_before_anything_runs(
    project: ProjectView, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        needs_of_command(CommandParams(**params), project)
    assert str(refused.value) == message


def test_each_family_knows_the_inputs_that_the_grammar_gives(project: ProjectView) -> None:
    RecipeCommand.needs(RecipeParams(run="t {inputs.dataset} {inputs.prefs} {output}"), project)  # a role
    MetricCommand.needs(MetricParams(run="t {inputs.model} {inputs.dataset} {output}"), project)
    with pytest.raises(UsageError, match=r"\{inputs\.dataset\} is no input"):
        SourceCommand.needs(SourceParams(run="t {inputs.dataset} {output}"), project)


def test_a_recipe_s_base_is_an_edge_like_that_of_any_recipe(project: ProjectView) -> None:
    params = RecipeParams(run="t {inputs.base} {output}", base="model:small")
    assert RecipeCommand.needs(params, project).models == {"base": "model:small"}


def test_the_key_holds_the_template_and_no_path_or_name() -> None:
    params = SourceParams(
        run="tool {inputs.raw} {output}", inputs={"raw": "data/raw"}, secrets=["TOKEN"], tools=["python3"]
    )
    keyed = SourceCommand.keyed(params)
    assert keyed["run"] == "tool {inputs.raw} {output}"
    assert keyed["inputs"] == ["raw"]
    assert not {"secrets", "tools", "env", "progress", "code"} & set(keyed)
    assert keyed["whitespace"] == "normalize"  # how its files are read counts as well


@pytest.mark.parametrize(
    ("run", "value", "filled"),
    [
        ("a {output}", "x y", "a 'x y'"),
        ('a "{output}/b"', 'x "$y', 'a "x \\"\\$y/b"'),
        ("a '{output}/b'", "x'y", "a 'x'\\''y/b'"),
        ('a "$(cat {output})"', "x y", "a \"$(cat 'x y')\""),
        ("# don't\na {output}", "x y", "# don't\na 'x y'"),
        ("a ${output} {outputs} {} {x:y}", "x", "a ${output} {outputs} {} {x:y}"),
        (["a", "{output}/b"], "x y", ["a", "x y/b"]),
    ],
)
def test_a_value_is_one_piece_of_a_word_wherever_it_stands(run: Any, value: str, filled: Any) -> None:
    assert fill(run, lambda _: value) == filled
