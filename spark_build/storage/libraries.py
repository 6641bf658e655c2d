"""Which libraries are installed, from the names of their folders: importlib.metadata takes 48 ms to load."""

from __future__ import annotations  # what they name need not be loaded

import os
import sys


def installed_libraries() -> dict[str, str]:
    """Version by normalized name; what stands first on sys.path counts."""
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue  # sys.path may name archives and folders that are not there
        for name in names:
            if name.endswith(".dist-info"):
                distribution, _, version = name.removesuffix(".dist-info").rpartition("-")
                found.setdefault(normalized(distribution), version)
    return found


def normalized(name: str) -> str:
    """As in PEP 503."""
    return name.lower().replace("_", "-").replace(".", "-")
