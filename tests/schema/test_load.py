"""Reading a Sparkfile from a folder: what is missing or unreadable is told like any other problem."""

# ruff: noqa: E501 - tables: one line a case

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from sparkfile_schema import SparkfileError, load


def refused(path: Path) -> str:
    with pytest.raises(SparkfileError) as caught:
        load(path)
    return str(caught.value)


def test_a_good_file_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "Sparkfile.yaml"
    path.write_text("version: 1\nproject: p\n")
    assert load(path).project == "p"


def test_a_missing_file_is_told_with_the_command_that_writes_one(tmp_path: Path) -> None:
    assert refused(tmp_path / "Sparkfile.yaml") == (
        "Sparkfile.yaml:1:1: no Sparkfile.yaml here\n  fix: spark init writes one"
    )


def test_a_folder_is_no_sparkfile(tmp_path: Path) -> None:
    assert refused(tmp_path).endswith("is no file\n  fix: give the path of a Sparkfile.yaml")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "Sparkfile.yaml")
    assert "is no file" in refused(tmp_path / "Sparkfile.yaml")


def test_a_file_above_8_mib_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "Sparkfile.yaml"
    with path.open("wb") as opened:
        opened.truncate(2**33)  # sparse
    assert refused(path) == "Sparkfile.yaml:1:1: the file is larger than 8 MiB\n  fix: keep data out of it"


def test_all_problems_of_a_file_are_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "Sparkfile.yaml"
    path.write_text("version: 2\nprojet: p\n")
    assert refused(path).splitlines()[::2] == [
        "Sparkfile.yaml:1:10: 'version' has to be 1, not the number 2",
        "Sparkfile.yaml:2:1: unknown key 'projet' in the Sparkfile",
    ]


def test_the_error_can_be_sent_to_another_process(tmp_path: Path) -> None:
    with pytest.raises(SparkfileError) as caught:
        load(tmp_path / "Sparkfile.yaml")
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def test_importing_the_package_imports_no_yaml_and_no_dataclasses() -> None:
    code = "import sparkfile_schema, sys; print([m for m in ('ruamel.yaml', 'dataclasses', 're', 'typing') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
