"""One root digest of a dataset, however it comes about: workers, order of files, one build or many, and kills.

Real documents, of which many resemble each other; a transform, and gates of both kinds. What there is to do is little,
so work is told to go over several processes at once.
"""

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.seeds import seed
from tests.spark import Folder

SEED = seed("SPARK_KILL_SEED")
KILLS = 20
COUNT, BYTES = 120, 2500
VERSION = "dataset:notes/version"
SPARKFILE = """\
datasets:
  notes:
    source: data
    splits: {train: 0.9, test: 0.1}
    transforms: [{use: chunk, with: {tokens: 250}}]
    gates:
      - {use: exact_duplicates}
      - {use: quality, with: {rules: [gopher]}}
      - {use: pii, with: {action: redact}}
      - {use: near_duplicates, with: {threshold: 0.7}}
"""

Documents = Mapping[str, str]


@pytest.fixture(scope="module")
def documents() -> Documents:
    files = sorted(Path("/usr/share/doc").glob("*/copyright"))
    assert len(files) > 50, "a Debian without its copyright files"
    chosen = files[:: max(1, len(files) // COUNT)][:COUNT]
    return {f"{file.parent.name}.txt": file.read_text(errors="replace")[:BYTES] for file in chosen}


@pytest.fixture(scope="module")
def cold(documents: Documents, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one process makes of all of them at once."""
    folder = project(tmp_path_factory.mktemp("cold"), documents, documents)
    built = folder.build("-j", "1")
    counts = {stage: items["handled"] for stage, items in built.items.items()}
    assert counts["dataset:notes/filter"] > COUNT, "too few items to be spread"
    return built.outputs


def project(path: Path, documents: Documents, names: Iterable[str]) -> Folder:
    folder = Folder(path / "project", {"SPARK_SPREAD_AFTER_SECONDS": "0"})
    write(folder, documents, names)
    folder.sparkfile(SPARKFILE)
    return folder


def write(folder: Folder, documents: Documents, names: Iterable[str]) -> None:
    for name in names:
        folder.write(f"data/{name}", documents[name])


@pytest.mark.parametrize("workers", ["2", "7"])
def test_whatever_the_number_of_workers(
    workers: str, documents: Documents, cold: dict[str, str], tmp_path: Path
) -> None:
    folder = project(tmp_path, documents, documents)
    assert folder.build("-j", workers).outputs == cold
    log = folder.spark("log", "dataset:notes/filter", "--text").out
    assert f"{workers} processes work on its items" in log


def test_in_whatever_order_the_files_were_written(
    documents: Documents, cold: dict[str, str], tmp_path: Path
) -> None:
    names = [*documents]
    random.Random(3).shuffle(names)
    assert project(tmp_path, documents, names).build("-j", "2").outputs == cold


def test_whatever_was_built_before(documents: Documents, cold: dict[str, str], tmp_path: Path) -> None:
    """Half of them, of which one is another and one too many; then all as they are."""
    names = [*documents]
    folder = project(tmp_path, documents, names[::2])
    folder.write(f"data/{names[0]}", documents[names[1]])
    folder.write("data/more.txt", documents[names[2]][:2000])
    folder.build("-j", "2")
    write(folder, documents, names[:60])
    folder.build("-j", "2")
    (folder.path / "data" / "more.txt").unlink()
    write(folder, documents, names)
    built = folder.build("-j", "2")
    assert built.outputs == cold
    assert built.items["dataset:notes/ingest"]["handled"] < len(names) * 0.6


def test_however_often_it_is_killed(documents: Documents, cold: dict[str, str], tmp_path: Path) -> None:
    print(f"SPARK_KILL_SEED={SEED}")
    chance = random.Random(SEED)
    folder = project(tmp_path, documents, documents)
    began = time.monotonic()
    assert folder.build("-j", "2").outputs == cold
    seconds = time.monotonic() - began
    _begin_anew(folder)
    kills = 0
    while kills < KILLS:
        if _is_killed(folder, chance.uniform(0.1, 1.0) * seconds):
            kills += 1
        else:
            assert folder.build("-j", "2").outputs == cold
            _begin_anew(folder)
    assert folder.build("-j", "2").outputs == cold


def _is_killed(folder: Folder, after_seconds: float) -> bool:
    """False where the build was over before that."""
    building = folder.start("build", "--json", "-j", "2")
    try:
        building.communicate(timeout=after_seconds)
    except subprocess.TimeoutExpired:
        building.send_signal(signal.SIGKILL)
        building.communicate()
        return True
    return False


def _begin_anew(folder: Folder) -> None:
    shutil.rmtree(folder.path / ".spark")
    (folder.path / "Sparkfile.lock").unlink()
