"""A module lent to those that import it and hardly ever use it: nothing of it is loaded before it is called."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def lent(name: str, *functions: str) -> Iterator[None]:
    """Who imports one of `functions` from the module meanwhile gets one that loads the module when it is called."""
    if name in sys.modules:
        yield
        return
    module = ModuleType(name)
    for function in functions:
        setattr(module, function, partial(_call, name, function))
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]


def _call(name: str, function: str, *given: Any, **named: Any) -> Any:
    return getattr(import_module(name), function)(*given, **named)
