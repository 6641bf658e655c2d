"""The end of a process, without the interpreter's own: that takes apart all that was loaded, for up to 40 ms."""

from __future__ import annotations  # what they name need not be loaded

import atexit
import os
import sys

TYPE_CHECKING = False  # typing alone takes as long as Python itself
if TYPE_CHECKING:
    from typing import NoReturn


def leave(code: int, *, waits_for_threads: bool = True) -> NoReturn:
    """Ends this process once its threads have, and what was asked for at exit is done."""
    finish(waits_for_threads=waits_for_threads)
    os._exit(code)


def finish(*, waits_for_threads: bool = True) -> None:
    """What an interpreter does at its end, besides taking itself apart."""
    if waits_for_threads and (threading := sys.modules.get("threading")) is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # none, read by nobody any more, or closed
            continue
