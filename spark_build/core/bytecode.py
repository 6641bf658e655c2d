"""Python's compiled files beside a source: it takes them by size and by a time in whole seconds."""

import os


def drop_stale_bytecode(source: str) -> None:
    """Removes what was compiled before `source` last changed: an edit of the same size and second would not be run."""
    folder, name = os.path.split(source)
    stem = name.removesuffix(".py")
    try:
        changed_ns = os.stat(source).st_ctime_ns
        for entry in os.scandir(os.path.join(folder, "__pycache__")):
            is_of_it = entry.name.startswith(f"{stem}.") and entry.name.endswith(".pyc")
            if is_of_it and entry.stat().st_mtime_ns <= changed_ns:
                os.unlink(entry.path)
    except OSError:
        return  # none was ever compiled, or the folder can't be written
