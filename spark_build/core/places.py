"""Where a project lies."""

from pathlib import Path


def git_root(folder: Path) -> Path | None:
    """The nearest folder, this one or above it, that holds `.git`; None where there is none."""
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), None)
