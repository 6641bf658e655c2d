"""One digest over the stats of many files: while it stays, none of them has changed."""

import os
from collections.abc import Iterable

from spark_build.core.digest import Digest, digest_bytes


def fold_of(paths: Iterable[str], *, with_ctime: bool = True) -> Digest | None:
    """None where one of the files is not there. Objects are told by size and mtime: a hardlink moves ctime."""
    lstat, stats = os.lstat, []
    try:
        if with_ctime:
            for path in paths:
                stat = lstat(path)
                stats.append(f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}")
        else:
            for path in paths:
                stat = lstat(path)
                stats.append(f"{stat.st_size} {stat.st_mtime_ns}")
    except OSError:
        return None
    return digest_bytes("\n".join(stats).encode())
