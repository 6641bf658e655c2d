"""What a disk refused, in words that a user can act on."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from spark_build.core.errors import SparkError, Unavailable

_ADVICE = {
    errno.ENOSPC: ("no space left on the disk", "make room and run it again; nothing half-written was kept"),
    errno.EDQUOT: ("the disk quota is used up", "make room and run it again; nothing half-written was kept"),
    errno.EACCES: ("permission denied", "check owner and mode of this path (`ls -ld`)"),
    errno.EPERM: ("the operation is not permitted", "check owner and mode of this path (`ls -ld`)"),
    errno.EROFS: ("the disk is read-only", "build where the project's folder can be written"),
    errno.EMFILE: ("too many files are open", "raise the limit (`ulimit -n`) or build with fewer --jobs"),
    errno.EIO: ("the disk reports an error", "look at the system's log; the disk may be failing"),
    errno.EISDIR: ("is a folder", "name a file"),
    errno.ENOTDIR: ("a file stands where a folder is meant", "name another place"),
    errno.EEXIST: ("something is there already", "name another place, or move it away"),
    errno.ENAMETOOLONG: ("the name is too long for this disk", "use shorter names"),
}


def is_of_the_disk(error: OSError) -> bool:
    """Whether the system refused something that a user can put right; anything else is a fault of ours."""
    return error.errno in _ADVICE


@contextmanager
def disk_problems(where: str) -> Iterator[None]:
    """Turns what the system refuses inside of the block into a problem with where, what and fix."""
    try:
        yield
    except OSError as error:
        raise disk_problem(error, where) from error


def disk_problem(error: OSError, where: str) -> SparkError:
    what, fix = _ADVICE.get(error.errno or 0, (error.strerror or str(error), None))
    is_named = isinstance(error.filename, (str, os.PathLike))  # else by a descriptor, or not at all
    place = os.fspath(error.filename) if is_named else where
    return Unavailable(f"{place}: {what}", fix=fix)
