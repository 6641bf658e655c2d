"""What every exporter keeps to; the suite finds them by itself. `command` runs what users wrote."""

import inspect
import json
import os
import pkgutil
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import ValidationError
from tiny_models import bert, files_of, package_context, train_output

import spark_build.packaging
from spark_build.contract import Exporter

PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}
PAPERS = {"README.md", "env.json", "inputs.json", "metrics.json", "recipe.json"}


def found() -> Iterator[type[Exporter]]:
    for module in pkgutil.iter_modules(spark_build.packaging.__path__, "spark_build.packaging."):
        if module.name.endswith(".command"):
            continue
        for _, value in inspect.getmembers(import_module(module.name), inspect.isclass):
            if issubclass(value, Exporter) and value.__module__ == module.name:
                yield value


EXPORTERS = list(found())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier: every exporter takes it."""
    folder = tmp_path_factory.mktemp("some-target")
    return train_output(folder / "trained", bert(folder / "model"))


@pytest.fixture(scope="module", params=EXPORTERS, ids=lambda e: e.__name__)
def exported(
    request: pytest.FixtureRequest, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[type[Exporter], Path]:
    context = package_context(tmp_path_factory.mktemp("first") / "package", trained, {"accuracy": 0.5})
    request.param(request.param.Params()).export(context)
    return request.param, context.output


def test_there_are_the_exporters_of_the_issue() -> None:
    assert {e.__name__ for e in EXPORTERS} == {"Safetensors", "Onnx"}


def test_another_process_in_another_folder_gives_the_same_bytes(
    exported: tuple[type[Exporter], Path], trained: Path, tmp_path: Path
) -> None:
    exporter, output = exported
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = (
        "import sys, shutil; from pathlib import Path; from tiny_models import package_context\n"
        f"from {exporter.__module__} import {exporter.__name__} as E\n"
        "shutil.copytree(sys.argv[1], 'copied')\n"
        "E(E.Params()).export(package_context(Path('package'), Path.cwd() / 'copied', {'accuracy': .5}))\n"
    )
    paths = os.pathsep.join(p for p in sys.path if p)
    subprocess.run(
        [sys.executable, "-c", code, str(trained)], cwd=elsewhere, check=True, capture_output=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": paths, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert files_of(elsewhere / "package/output") == files_of(output)


def test_nothing_of_the_machine_the_time_or_the_target_is_inside(
    exported: tuple[type[Exporter], Path], trained: Path
) -> None:
    _, output = exported
    folders = {str(trained), str(output), str(Path(sys.prefix)), str(Path(inspect.__file__).parent)}
    names = {socket.gethostname(), "some-target", "model:", "site-packages"}
    # a short host name may be part of any word
    forbidden = [text.encode() for text in folders | {n for n in names if len(n) > 5}]
    for name, content in files_of(output).items():
        assert [text for text in forbidden if text in content] == [], name
        assert not re.search(rb"\b20[2-9]\d-[01]\d-[0-3]\d\b", content), name


def test_the_papers_are_there_and_no_pickle(exported: tuple[type[Exporter], Path]) -> None:
    names = set(files_of(exported[1]))
    assert names >= PAPERS
    assert {Path(name).suffix for name in names} & PICKLES == set()


def test_the_papers_are_canonical_json(exported: tuple[type[Exporter], Path]) -> None:
    for name in PAPERS - {"README.md"}:
        text = (exported[1] / name).read_text()
        assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")) + "\n", name


@pytest.mark.parametrize("exporter", EXPORTERS, ids=lambda e: e.__name__)
def test_every_param_is_described_and_no_other_is_taken(exporter: type[Exporter]) -> None:
    described = exporter.Params.model_json_schema()["properties"]
    assert [name for name, schema in described.items() if not schema.get("description")] == []
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        exporter.Params(no_such_param=1)


@pytest.mark.parametrize("exporter", EXPORTERS, ids=lambda e: e.__name__)
def test_the_libraries_that_shape_the_result_are_named_as_distributions(exporter: type[Exporter]) -> None:
    from importlib.metadata import version

    assert all(version(name) for name in exporter.libraries)
