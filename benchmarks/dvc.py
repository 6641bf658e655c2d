"""DVC, which needs a git repository, and whose state can be written without running a thousand stages one by one."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.graphs import CommandGraph, shell_script
from benchmarks.measure import Measured
from benchmarks.tools import Tool, remove


class Dvc(Tool):
    name = "dvc"
    made = ("dvc.lock", ".dvc/cache", ".dvc/tmp", "site")
    most_stages = 1000

    def write(self, folder: Path, graph: CommandGraph) -> None:
        self.initialise(folder)
        stages = {
            stage.name: {
                "cmd": graph.command(stage),
                **({"deps": [graph.path_of(name) for name in stage.inputs]} if stage.inputs else {}),
                "outs": [graph.path_of(stage.name)],
            }
            for stage in graph.stages
        }
        (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}, indent=1))

    def initialise(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        if (folder / ".dvc").exists():
            return
        self._quiet(["git", "init", "-q"], folder)
        self._quiet([self.program, "init", "-q"], folder)
        own = {
            "core.analytics": "false",
            "core.check_update": "false",
            "core.site_cache_dir": str(folder / "site"),
        }
        for name, value in {**own, **(settings or {})}.items():
            self._quiet([self.program, "config", name, value], folder)

    def _quiet(self, command: Sequence[str], folder: Path) -> None:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    def build(self, jobs: int | None = None) -> list[str]:
        return [self.program, "repro"]  # one stage after the other, whatever `jobs` is

    def plan(self) -> list[str]:
        return [self.program, "status"]

    def ran(self, measured: Measured) -> int:
        return sum(line.startswith("Running stage ") for line in measured.out.splitlines())

    def forget(self, folder: Path) -> None:
        super().forget(folder)
        for ignored in folder.glob("*/.gitignore"):
            remove(ignored)

    def pretend_built(self, folder: Path, graph: CommandGraph) -> None:
        """As `dvc repro` leaves it: outputs, cache and lock. A thousand stages would take it half an hour."""
        subprocess.run(["sh", "-e"], input="\n".join(shell_script(graph)), cwd=folder, text=True, check=True)
        cache = folder / ".dvc/cache/files/md5"
        lines = ["schema: '2.0'", "stages:"]
        for stage in graph.stages:
            lines += [f"  {stage.name}:", f"    cmd: {json.dumps(graph.command(stage))}"]
            for key, names in (("deps", stage.inputs), ("outs", (stage.name,))):
                if names:
                    lines.append(f"    {key}:")
                for name in names:
                    lines += _entry(folder, graph.path_of(name))
            _keep(folder / graph.path_of(stage.name), cache)
        (folder / "dvc.lock").write_text("\n".join(lines) + "\n")


def _entry(folder: Path, path: str) -> list[str]:
    data = (folder / path).read_bytes()
    return [
        f"    - path: {path}",
        "      hash: md5",
        f"      md5: {hashlib.md5(data).hexdigest()}",
        f"      size: {len(data)}",
    ]


def _keep(file: Path, cache: Path) -> None:
    digest = hashlib.md5(file.read_bytes()).hexdigest()
    kept = cache / digest[:2] / digest[2:]
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, kept)
    kept.chmod(0o444)
