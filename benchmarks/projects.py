"""Folders that workloads make once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def once(folder: Path, spec: str, *steps: Callable[[Path], Any]) -> None:
    """Makes the folder's content unless it is there: a second run with `--keep` finds it."""
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "speed.json"
    if written.exists() and written.read_text() == spec:
        return
    for step in steps:
        step(folder)
    written.write_text(spec)


def write_sparkfile(folder: Path, content: dict[str, Any]) -> None:
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in content.items())
    (folder / "Sparkfile.yaml").write_text(f"version: 1\nproject: speed\n{text}")
