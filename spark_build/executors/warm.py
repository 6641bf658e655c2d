"""A warm worker: a watchdog that has loaded what stages in Python need, and forks for each job.

A fork has a keeper of its own, and dies with the build, as a worker in a fresh interpreter does. Between two jobs
nothing is shared but what is loaded: rules are imported in the fork, and a job that is to find other variables
around it than the warm worker was started with gets a fresh interpreter (local.py).
"""

import gc
import marshal
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

from spark_build.core.leaving import finish
from spark_build.executors import processes, watchdog
from spark_build.executors.environment import UNTHREADED

Main = Callable[[Sequence[str]], int]  # of the command line

_WORDS = 4  # python -P -m spark_build


def serve(link: int, modules: Iterable[str], main: Main) -> NoReturn:
    """Waits for jobs at the link; each is run by `main` in a fork."""
    processes.close_all_but(link)
    _load(modules)
    is_single = _drops_threads()
    gc.freeze()  # what is loaded stays: a fork shares its memory as long as nobody counts references in it
    with suppress(OSError):  # the build may be gone
        os.write(link, marshal.dumps({"loaded": is_single}))
    watchdog.main(link, (lambda order: _work(order["argv"], main)) if is_single else None)


def _load(modules: Iterable[str]) -> None:
    # what is there already are declared numerics, or the user's own
    added = {name: value for name, value in UNTHREADED.items() if name not in os.environ}
    os.environ.update(added)
    for module in modules:
        with suppress(Exception):  # the job that needs it tells what is wrong with it
            import_module(module)
    for name in added:
        del os.environ[name]


def _drops_threads() -> bool:
    """Whether this process may be forked from here on: a lock that another thread holds would never come free.

    Where somebody asks OpenBLAS for threads all the same, it ends them at the first fork and begins them again.
    """
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return len(os.listdir("/proc/self/task")) == 1


def _work(argv: Sequence[str], main: Main) -> int:
    """In the fork: as if the interpreter had just been started with these words; its exit code."""
    sys.argv = [sys.argv[0], *argv[_WORDS:]]
    if (loaded := sys.modules.get("numpy.random")) is not None:
        loaded.seed()  # as `random` does by itself: no two forks draw the same
    code: Any = 1
    try:
        code = main(argv[_WORDS:])
    except SystemExit as error:
        code = error.code
    except BaseException as error:
        import traceback

        traceback.print_exception(error)
    finish()
    return code if isinstance(code, int) else int(code is not None)
