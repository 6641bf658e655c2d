"""Pickles in an output: none may stand in an Artifact, since loading one runs code."""

import zipfile
from pathlib import Path

from spark_build.core.errors import StageFailed
from spark_build.core.job import JobStep

_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"})
_NO_PICKLE = frozenset({".safetensors", ".json", ".txt", ".md", ".parquet", ".onnx"})


def pickles_in(folder: Path) -> list[str]:
    """Paths of files that are pickles by their name, or by what torch writes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [path.relative_to(folder).as_posix() for path in files if _is_pickle(path)]


def refuse_pickles(step: JobStep, folder: Path) -> None:
    """Errors: StageFailed; a BUG where the rule is one of ours."""
    found = pickles_in(folder)
    if not found:
        return
    ours = "BUG: " if step.impl.startswith("spark_build.") else ""
    raise StageFailed(
        f"{ours}'{step.rule}' left a pickle: {', '.join(found[:5])}",
        fix="save weights as safetensors (save_pretrained does), and settings as JSON",
    )


def _is_pickle(path: Path) -> bool:
    if path.suffix in _SUFFIXES:
        return True
    if path.suffix in _NO_PICKLE or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("data.pkl") for name in archive.namelist())
