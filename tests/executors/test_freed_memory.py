"""Arrays that come and go in a data stage: the memory that one leaves is the next one's, and is not mapped again."""

import subprocess
import sys

# eight arrays of 2 MB at a time, a hundred times: 4,096 pages of 4 KB each time where they are mapped anew
ROUNDS = """
import resource, sys
import numpy as np
from spark_build.executors.worker import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    arrays = [np.ones(1 << 18) for _ in range(8)]
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_freed_memory_is_used_again() -> None:
    assert page_faults("kept") < 10 * 4096 < page_faults("as it is")


def page_faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", ROUNDS, how], capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout)
