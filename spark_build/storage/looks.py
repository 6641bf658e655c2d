"""Files and folders of the project, held against the stats that they had when a stage was planned."""

import os

from spark_build.core.disk import disk_problem
from spark_build.core.errors import SparkError
from spark_build.core.moved import Seen
from spark_build.storage import stats
from spark_build.storage.folder_walk import walk


def is_as_seen(seen: Seen) -> bool:
    """By stats alone. Errors: Unavailable where the disk does not tell."""
    try:
        if seen.is_folder:
            return stats.fold_of_lines(walk(seen.location, seen.name)) == seen.stats
        return stats.stat_line(os.stat(seen.location)) == seen.stats
    except (FileNotFoundError, NotADirectoryError):  # it is not there any more
        return False
    except OSError as error:
        raise disk_problem(error, seen.name) from error
    except SparkError as error:
        if isinstance(error.__cause__, OSError):
            raise
        return False  # it holds now what no folder may
