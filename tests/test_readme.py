"""README's first Sparkfile, from an empty folder to files on disk, word for word."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def bash(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Runs lines in an empty folder, with `spark` being the tool under test."""

    def run(script: str) -> str:
        shim = f'set -eu; spark() {{ "{sys.executable}" -m spark_build "$@"; }}\n'
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "NO_COLOR": "1"}
        done = subprocess.run(
            ["bash", "-c", shim + script], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.long
def test_the_first_sparkfile_does_what_readme_says(bash, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    tickets = next(block for block in blocks("sh") if "data/tickets" in block)
    commands = next(block for block in blocks("sh") if block.startswith("spark check"))
    bash(tickets)
    (tmp_path / "Sparkfile.yaml").write_text(blocks("yaml")[0])
    told = bash(commands)
    assert "6 ran in" in told
    assert "nothing to do: 6 stages are fresh" in told
    assert "@example.com" not in told.partition("400 rows")[2]
    assert (tmp_path / "out" / "model" / "model.safetensors").stat().st_size > 0

    sparkfile = tmp_path / "Sparkfile.yaml"
    sparkfile.write_text(sparkfile.read_text().replace("cc-by-4.0", "mit"))
    assert "maybe    model:answerer/train" in bash("spark plan")
    assert "1 ran, 5 fresh in" in bash("spark build")


@pytest.mark.long
def test_the_python_of_readme_runs(bash, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    bash(next(block for block in blocks("sh") if "data/tickets" in block))
    (tmp_path / "Sparkfile.yaml").write_text(blocks("yaml")[0])
    (tmp_path / "try.py").write_text(blocks("python")[0])
    told = bash(f'"{sys.executable}" try.py').splitlines()
    assert told[0] == str({"fresh": 0, "restore": 0, "run": 1, "maybe": 5})
    assert "perplexity" in told[-1]
