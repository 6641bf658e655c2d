"""Text gates through a real `spark build`: documents of 2 KB, planted duplicates, CPU seconds of the process tree.

python -m benchmarks.text_gates [--documents 20000] [--processes 2]
"""

import argparse
import json
import os
import random
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import measure
from spark_build.contract.rows import DatasetFolder
from spark_build.modalities.text.shingles import jaccard, shingles_of

SPARK = (sys.executable, "-m", "spark_build", "build")
BYTES, SENTENCES_A_LINE = 2000, 3
ONE_COPY_IN = 20
THRESHOLD = 0.8
GATES: dict[str, list[Any]] = {
    "nothing": [{"use": "limits"}],
    "quality + near_duplicates": [
        {"use": "quality", "with": {"rules": ["gopher", "c4"]}},
        {"use": "near_duplicates", "with": {"threshold": THRESHOLD}},
    ],
    "pii": [{"use": "pii"}],
    "exact_duplicates": [{"use": "exact_duplicates", "with": {"fields": ["text"]}}],
    "language": [{"use": "language", "with": {"languages": ["en"]}}],
    "language, six": [
        {"use": "language", "with": {"languages": ["en"], "among": ["de", "en", "es", "fr", "it", "nl"]}}
    ],
    "decontaminate": [{"use": "decontaminate", "with": {"against": "dataset:exam"}}],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--only", choices=[*GATES], nargs="*", default=[*GATES])
    parser.add_argument("--processes", type=int, default=1, help="that work on items (-j)")
    asked = parser.parse_args()
    texts, copies = corpus(asked.documents)
    print(f"{len(texts):,} documents, {sum(map(len, texts)) / 1e6:.1f} MB, {len(copies):,} copies planted")
    for name in asked.only:
        with tempfile.TemporaryDirectory() as folder:
            built(Path(folder), name, texts, copies, asked.processes)


def built(
    folder: Path, name: str, texts: Sequence[str], copies: Sequence[tuple[int, int]], processes: int
) -> None:
    write_project(folder, GATES[name], texts)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    command = [*SPARK, "--json", "-j", str(processes)]
    cold = measure(command, folder, env)
    again = measure(command, folder, env)
    seconds = {
        e["stage"]: e["seconds"] for e in map(json.loads, cold.out.splitlines()) if e["event"] == "stage"
    }
    print(
        f"{name:28} {len(texts) / cold.cpu:8,.0f} documents per CPU second, cold {cold.cpu:.2f} s; "
        f"no-op {again.cpu:.2f} s; wall of filter {seconds['dataset:texts/filter']:.1f} s",
        flush=True,
    )
    if "near_duplicates" in name:
        tell_recall(folder, texts, copies)


def write_project(folder: Path, gates: Sequence[Any], texts: Sequence[str]) -> None:
    rows = (json.dumps({"id": str(number), "text": text}) for number, text in enumerate(texts))
    (folder / "texts.jsonl").write_text("\n".join(rows) + "\n")
    # of the same words, but in runs that no document has
    exam = (json.dumps({"text": text[:300].replace(" ", f" {n} ")}) for n, text in enumerate(texts[:500]))
    (folder / "exam.jsonl").write_text("\n".join(exam) + "\n")
    datasets = {"exam": {"source": "exam.jsonl"}, "texts": {"source": "texts.jsonl", "gates": list(gates)}}
    (folder / "Sparkfile.yaml").write_text(
        json.dumps({"version": 1, "project": "gates", "datasets": datasets})
    )


def tell_recall(folder: Path, texts: Sequence[str], copies: Sequence[tuple[int, int]]) -> None:
    """Of the planted copies that are as similar as the threshold asks; and of all that was dropped what is."""
    measure([*SPARK[:-1], "get", "dataset:texts", "--to", "out"], folder)
    gone = {
        row["id"]: row
        for row in DatasetFolder(folder / "out").rejected()
        if row["reason"] == "near_duplicate"
    }
    judged = {row["id"] for row in DatasetFolder(folder / "out").rejected()} - gone.keys()
    pairs = [(a, b) for a, b in copies if not {str(a), str(b)} & judged]
    due = [(a, b) for a, b in pairs if similarity(texts[a], texts[b]) >= THRESHOLD]
    found = [pair for pair in due if {str(pair[0]), str(pair[1])} & gone.keys()]
    right = [
        i for i, row in gone.items() if similarity(texts[int(i)], texts[int(row["matched"])]) >= THRESHOLD
    ]
    print(
        f"  recall {len(found) / max(1, len(due)):.4f} of {len(due):,} pairs, precision "
        f"{len(right) / max(1, len(gone)):.4f} of {len(gone):,} dropped; {len(judged):,} went for their quality"
    )


def similarity(first: str, second: str) -> float:
    return jaccard(shingles_of(first, 5, "words"), shingles_of(second, 5, "words"))


def corpus(count: int) -> tuple[list[str], list[tuple[int, int]]]:
    """Documents put together from sentences of this machine's documentation, and which are copies of which."""
    rnd, pool = random.Random(1), list(dict.fromkeys(sentences()))
    texts: list[str] = []
    copies: list[tuple[int, int]] = []
    for number in range(count):
        if number % ONE_COPY_IN == ONE_COPY_IN - 1:
            copies.append((number - ONE_COPY_IN // 2, number))
            texts.append(edited(rnd, texts[number - ONE_COPY_IN // 2]))
        else:
            texts.append(document(rnd, pool))
    return texts, copies


def document(rnd: random.Random, pool: Sequence[str]) -> str:
    lines, length = [], 0
    while length < BYTES:
        lines.append(" ".join(rnd.choices(pool, k=SENTENCES_A_LINE)))
        length += len(lines[-1]) + 1
    return "\n".join(lines)[:BYTES]


def edited(rnd: random.Random, text: str) -> str:
    """Up to eight words changed, each of which touches up to five shingles."""
    words = text.split(" ")
    for _ in range(rnd.randrange(1, 9)):
        words[rnd.randrange(len(words))] = f"edit{rnd.randrange(1000)}"
    return " ".join(words)


def sentences() -> Iterator[str]:
    places = [Path(os.__file__).parent, Path("/usr/share/doc")]
    files = sorted(
        f for place in places for pattern in ("*.py", "*/copyright", "*.txt") for f in place.glob(pattern)
    )
    for file in files[:1500]:
        for sentence in re.findall(r"[A-Z][^.!?<>{}#=_]{40,300}[.!?](?=\s)", file.read_text(errors="ignore")):
            yield " ".join(sentence.split())


if __name__ == "__main__":
    main()
