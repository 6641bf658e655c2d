"""Arguments in, text and exit code out. Nothing is imported before it is known which command needs it."""

from __future__ import annotations  # what they name need not be loaded

import gc
import os
import sys

from spark_build import __version__

TYPE_CHECKING = False  # typing alone takes as long as Python itself
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from spark_build.core.errors import SparkError

EXIT_INTERRUPTED = 130
_OBJECTS_BETWEEN_COLLECTIONS = 200_000


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["-V"]):
        print(f"spark build {__version__}")
        return 0
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `spark plan | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(arguments: list[str]) -> int:
    from spark_build.cli.parser import parse
    from spark_build.core.errors import SparkError

    options = parse(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except SparkError as error:
        return _tell(error)
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except OSError as error:
        from spark_build.core.disk import disk_problem, is_of_the_disk

        if is_of_the_disk(error):
            return _tell(disk_problem(error, options.folder))
        _say_bug()
        raise
    except Exception:
        _say_bug()
        raise


def _tell(error: SparkError) -> int:
    sys.stdout.flush()
    print(error, file=sys.stderr)
    return error.exit_code


def _say_bug() -> None:
    print("BUG: spark build broke a promise of its own; what follows helps to mend it", file=sys.stderr)


def entry() -> NoReturn:
    """The console script."""
    # what a command makes it needs until it ends: looking for cycles at every 700th object finds none
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    code = main()
    from spark_build.core.leaving import leave

    leave(code, waits_for_threads=code != EXIT_INTERRUPTED)
