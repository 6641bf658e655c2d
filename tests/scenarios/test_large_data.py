"""What large data take of memory, through the real command: the whole process tree, shared pages counted once."""

import json
import random
import time
from pathlib import Path

import pytest

from tests.spark import WORDS, Folder

MEGABYTE = 1 << 20
SPARKFILE = "datasets: {{texts: {{source: data, gates: [{gates}]}}}}\n"
PLAIN = "{use: exact_duplicates}, {use: limits, with: {min_words: 1}}"
COMPARING = "{use: limits, with: {min_words: 1}}, {use: near_duplicates, with: {threshold: 0.8}}"


def texts(folder: Folder, count: int, words: int) -> int:
    """One JSONL of random texts; its bytes."""
    chance, file = random.Random(7), folder.path / "data" / "texts.jsonl"
    file.parent.mkdir()
    with file.open("w") as lines:
        for number in range(count):
            text = " ".join(f"{word}{chance.randrange(1000)}" for word in chance.choices(WORDS, k=words))
            lines.write(json.dumps({"id": str(number), "text": text}) + "\n")
    return file.stat().st_size


def most_memory(folder: Folder) -> int:
    """Bytes that a build takes at most, with all that it starts."""
    running, most = folder.start("build", "--json", "-j", "2"), 0
    while running.poll() is None:
        most = max(most, sum(map(proportional, tree_of(running.pid))))
        time.sleep(0.2)
    assert running.returncode == 0, running.communicate()
    return most


def tree_of(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        try:
            children = [
                Path(f"/proc/{one}/task/{t.name}/children") for t in Path(f"/proc/{one}/task").iterdir()
            ]
            found += [int(child) for file in children for child in file.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
    return found


def proportional(pid: int) -> int:
    """Its private pages, and of each shared one its share; what lies in files is the system's to drop."""
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in told if line.startswith("Pss_Anon"))


@pytest.mark.long
def test_half_a_gigabyte_of_text_takes_less_than_it_is_large(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE.format(gates=PLAIN))
    size = texts(folder, 50_000, 1200)
    assert size > 500 * MEGABYTE
    most = most_memory(folder)
    print(f"{size / MEGABYTE:.0f} MB of text, {most / MEGABYTE:.0f} MB of memory")
    assert most < size


@pytest.mark.long
def test_twenty_thousand_documents_that_are_compared_take_400_mb(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE.format(gates=COMPARING))
    texts(folder, 20_000, 250)
    most = most_memory(folder)
    print(f"{most / MEGABYTE:.0f} MB of memory")
    assert most < 400 * MEGABYTE
