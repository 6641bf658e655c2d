"""Python's compiled files beside a source: it takes them by size and by a time in whole seconds."""

import os
import sys
from importlib import machinery

_FINDER = machinery.FileFinder.path_hook
_read_from_source: set[str] = set()


class _FromSource(machinery.SourceFileLoader):
    def path_stats(self, path: str) -> dict[str, float]:
        raise OSError(f"{path} is compiled each time")  # Python then neither takes nor keeps a compiled file


def import_from_source(folder: str) -> None:
    """Has modules in `folder` and below compiled each time; those of an environment that lies there are not."""
    if folder in _read_from_source:
        return
    if not _read_from_source:
        sys.path_hooks.insert(0, _finder)
    _read_from_source.add(folder)
    for path in [*sys.path_importer_cache]:
        if _is_inside(path, folder):
            del sys.path_importer_cache[path]


def source_loader(name: str, path: str) -> machinery.SourceFileLoader:
    """Of one module, compiled each time."""
    return _FromSource(name, path)


def drop_stale_bytecode(source: str) -> None:
    """Removes what was compiled before `source` last changed: an edit of the same size and second would not be run.

    What was compiled up to two seconds later goes too: its source may have been read before that change.
    """
    folder, name = os.path.split(source)
    stem = name.removesuffix(".py")
    try:
        changed_ns = os.stat(source).st_ctime_ns
        for entry in os.scandir(os.path.join(folder, "__pycache__")):
            is_of_it = entry.name.startswith(f"{stem}.") and entry.name.endswith(".pyc")
            if is_of_it and entry.stat().st_mtime_ns <= changed_ns + 2_000_000_000:
                os.unlink(entry.path)
    except OSError:
        return  # none was ever compiled, or the folder can't be written


def _finder(path: str) -> machinery.FileFinder:
    is_environment = any(_is_inside(path, prefix) for prefix in (sys.prefix, sys.base_prefix))
    if is_environment or not any(_is_inside(path, folder) for folder in _read_from_source):
        raise ImportError(f"{path} is another finder's")
    finder: machinery.FileFinder = _FINDER(
        (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
        (_FromSource, machinery.SOURCE_SUFFIXES),
        (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
    )(path)  # type: ignore[assignment]  # the type stubs know the protocol alone
    return finder


def _is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}{os.sep}")
