"""`store gc` in a loop beside processes that build: nothing that one of them relies on goes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.spark import REPOSITORY, Folder, documents

SPARKFILE = """\
datasets:
  notes: {source: data, gates: [q]}
gates:
  q: {use: quality, with: {rules: [word_count], min_words: 1}}
"""
LOOP = """
import os
from spark_build.cli import main
from spark_build.storage import claims

claims.SLACK_NS = 0  # else what was touched within a minute stays
while not os.path.exists("stop"):
    assert main(["store", "gc", "--keep-builds", "0", "--keep-days", "0", "--json"]) == 0
"""


def at_work(*words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.collecting.at_work", *words]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("seconds", [4.0, pytest.param(60.0, marks=pytest.mark.long)])
def test_processes_that_take_results_in_and_over_lose_none_to_gc(tmp_path: Path, seconds: float) -> None:
    needed = tmp_path / "needed"
    needed.mkdir()
    names = ["gc", "1", "2", "3"]
    started = [at_work(str(tmp_path / "store"), str(needed), name, str(seconds)) for name in names]
    ended = [(*process.communicate(timeout=seconds + 60), process.returncode) for process in started]
    assert not [err for _, err, code in ended if code], "\n".join(err for _, err, _ in ended)
    removed, *rounds = (int(out) for out, _, _ in ended)
    print(f"{removed} objects went beside {sum(rounds)} builds")
    assert removed > 0
    assert min(rounds) > 5


def test_builds_from_the_command_line_go_on_beside_gc(folder: Folder) -> None:
    """Two variants in turn, each of which gc takes for garbage while the other one is in the lock."""
    folder.sparkfile(SPARKFILE)
    documents(folder, 12)
    for number in range(4):
        folder.write(f"data/short{number}.md", f"a few words of number {number}, which one variant rejects")
    loop = subprocess.Popen(
        [sys.executable, "-c", LOOP],
        cwd=folder.path,
        env=folder.environment,
        stdout=(folder.path / "told").open("w"),
    )
    outputs: dict[int, dict[str, str]] = {}
    try:
        for turn in range(4):
            words = 1 + turn % 2 * 40
            folder.save_sparkfile(SPARKFILE.replace("min_words: 1", f"min_words: {words}"))
            built = folder.build().outputs
            assert outputs.setdefault(words, built) == built
            assert set(folder.build().outcomes.values()) == {"fresh"}
    finally:
        folder.write("stop", "")
        assert loop.wait(timeout=60) == 0
    told = (folder.path / "told").read_text().splitlines()
    removed = [json.loads(line)["removed"]["objects"]["count"] for line in told]
    print(f"{len(removed)} collections beside 8 builds, {sum(removed)} objects went")
    assert sum(removed) > 0
    assert "nothing is damaged" in folder.spark("store", "check").out
