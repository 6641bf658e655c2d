"""A project in a folder and the real command line: `Folder(tmp).build("model:x")`."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass
class Ran:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def outcomes(self) -> dict[str, str]:
        return {e["stage"]: e["outcome"] for e in self.lines if e["event"] == "stage"}

    @property
    def outputs(self) -> dict[str, str]:
        return {e["stage"]: e["output"] for e in self.lines if e["event"] == "stage"}

    @property
    def items(self) -> dict[str, dict[str, int]]:
        return {e["stage"]: e["items"] for e in self.lines if e["event"] == "stage" and e["items"]}

    @property
    def ran(self) -> set[str]:
        return {stage for stage, outcome in self.outcomes.items() if outcome == "ran"}


@dataclass
class Folder:
    path: Path
    env: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, text: str | bytes) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def sparkfile(self, text: str) -> None:
        self.write("Sparkfile.yaml", f"version: 1\nproject: t\n{text}")

    def save_sparkfile(self, text: str) -> None:
        """As editors save: beside it, then renamed. A command that runs just then reads the old one or the new."""
        self.write("Sparkfile.new", f"version: 1\nproject: t\n{text}").replace(self.path / "Sparkfile.yaml")

    def edit(self, old: str, new: str, name: str = "Sparkfile.yaml") -> None:
        text = (self.path / name).read_text()
        assert old in text, f"{old!r} is not in {name}"
        self.write(name, text.replace(old, new))

    def spark(self, *words: str, code: int | None = 0) -> Ran:
        done = subprocess.run(
            [*spark_command(), *words],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        ran = Ran(done.returncode, done.stdout, done.stderr)
        assert code is None or ran.code == code, f"exit code {ran.code}\n{ran.out}\n{ran.err}"
        return ran

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*spark_command(), *words],
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_hear_interrupts,
        )

    @property
    def environment(self) -> dict[str, str]:
        more = self.env.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        path = os.pathsep.join(filter(None, [str(REPOSITORY), more]))
        return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **self.env, "PYTHONPATH": path}

    def build(self, *words: str, code: int | None = 0) -> Ran:
        return self.spark("build", "--json", *words, code=code)

    def plan(self, *words: str) -> dict[str, Any]:
        plan: dict[str, Any] = json.loads(self.spark("plan", "--json", *words).out)
        return plan

    def states(self, *words: str) -> dict[str, str]:
        return {s["stage"]: s["state"] for s in self.plan(*words)["stages"]}

    def reasons(self, stage: str) -> list[dict[str, Any]]:
        return next(s["reasons"] for s in self.plan()["stages"] if s["stage"] == stage)


def _hear_interrupts() -> None:
    """A test run in the background of a shell ignores SIGINT, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def spark_command() -> list[str]:
    return [sys.executable, "-m", "spark_build"]


def documents(folder: Folder, count: int, *, start: int = 0, name: str = "data") -> None:
    """`count` short texts that differ; numbered, so that more can be added later."""
    for n in range(start, start + count):
        words = " ".join(f"{WORDS[(n * 7 + i * (3 + n % 5)) % len(WORDS)]}{n % 13}" for i in range(40))
        folder.write(f"{name}/doc{n:04}.md", f"# Document {n}\n\nThis one tells of number {n}: {words}.\n")


WORDS = (  # noqa: SIM905 - as a list a formatter would give each word a line of its own
    "river,stone,cloud,lantern,copper,meadow,harbour,violin,winter,orchard,signal,ladder,marble,kettle,bridge,"
    "feather,island,compass,thunder,garden,mirror,anchor,candle,forest,needle,puzzle,rocket,saddle,tunnel,window"
).split(",")
