"""Pickles in an output: none may stand in an Artifact, since loading one runs code."""

import os
from pathlib import Path

from spark_build.core.errors import StageFailed
from spark_build.core.files import files_under
from spark_build.core.job import JobStep

_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"})
_NO_PICKLE = frozenset({".safetensors", ".json", ".txt", ".md", ".parquet", ".onnx"})
_ZIP_END, _MOST_AFTER_MARK = b"PK\x05\x06", (1 << 16) + 22  # a comment of up to 64 KiB may follow


def pickles_in(folder: Path) -> list[str]:
    """Paths of files that are pickles by their name, or by what torch writes."""
    paths = sorted(files_under(folder), key=lambda path: path.split("/"))
    return [path for path in paths if _is_pickle(folder / path)]


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
    if path.suffix in _NO_PICKLE or not _may_be_zip(path):
        return False
    import zipfile

    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("data.pkl") for name in archive.namelist())


def _may_be_zip(path: Path) -> bool:
    """Whether the mark that ends an archive stands where zipfile looks for it; zipfile itself is slow to import."""
    with open(path, "rb", buffering=0) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _MOST_AFTER_MARK))
        return _ZIP_END in file.read()
