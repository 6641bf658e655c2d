"""Patterns of project files, as commands and rules name them."""

from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

_SKIPPED = {".git", ".spark", "__pycache__"}


def files_matching(root: Path, pattern: str) -> tuple[str, ...]:
    """Files that match; a folder's name, and `**` at the end, stand for all files below it."""
    if "*" not in pattern and (root / pattern).is_dir():
        pattern = f"{pattern.rstrip('/')}/**"
    if pattern.endswith("**"):  # which finds folders alone
        pattern += "/*"
    found = (p.relative_to(root) for p in root.glob(pattern) if p.is_file())
    return tuple(sorted(p.as_posix() for p in found if not _SKIPPED & set(p.parts)))


def is_match(path: str, pattern: str) -> bool:
    """As `files_matching` finds it: a star stays within its folder, `**` does not, a folder stands for all in it."""
    if path.startswith(f"{pattern.rstrip('/')}/"):
        return True
    if "**" in pattern:
        return fnmatchcase(path, pattern.replace("**/", "*"))
    return path.count("/") == pattern.count("/") and PurePosixPath(path).match(pattern)
