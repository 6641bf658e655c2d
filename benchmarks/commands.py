"""What short commands cost: CPU seconds (user + system) over the whole process tree, medians of many runs.

    python -m benchmarks.commands FOLDER [--runs 21]

FOLDER is a project whose every stage is fresh; the quickstart, built, is the one that docs/measurements.md quotes.
Commands take turns, so that a noisy minute hits all of them; bare Python stands beside them as the floor. Large graphs,
and other tools, are the matter of `benchmarks.speed`.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import measure

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "spark --version": ["-m", "spark_build", "--version"],
    "spark plan": ["-m", "spark_build", "plan"],
    "spark build, nothing to do": ["-m", "spark_build", "build"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=21)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(options.runs + 1):
        for name, words in COMMANDS.items():
            seconds[name].append(measure([sys.executable, *words], options.folder).cpu)
    print(f"{'command':30} {'median':>8} {'least':>8} {'most':>8}   ms of CPU, {options.runs} runs each")
    for name, measured in seconds.items():
        warm = sorted(measured[1:])  # the first fills caches of the file system
        figures = (statistics.median(warm), warm[0], warm[-1])
        print(f"{name:30} " + " ".join(f"{1000 * f:8.0f}" for f in figures))
    print(f"import spark_build: {import_ms(options.folder):.0f} ms (-X importtime)")


def import_ms(folder: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import spark_build"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    last = next(line for line in reversed(done.stderr.splitlines()) if line.endswith("| spark_build"))
    return int(last.split("|")[1]) / 1000


if __name__ == "__main__":
    main()
