"""A process that leaves without the interpreter's own end has done all that a user could miss."""

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys, threading, time
from spark_build.core.leaving import leave
threading.Thread(target=lambda: (time.sleep(0.2), print("the thread")), daemon={daemon}).start()
atexit.register(lambda: print("at exit"))
sys.stderr.write("words")
print("begun")
leave(3)
"""


@pytest.mark.parametrize(
    ("daemon", "told"), [(False, ["begun", "the thread", "at exit"]), (True, ["begun", "at exit"])]
)
def test_threads_end_what_was_asked_for_is_done_and_all_is_told(daemon: bool, told: list[str]) -> None:
    command = [sys.executable, "-c", PROGRAM.format(daemon=daemon)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.split("\n"), ran.stderr) == (3, [*told, ""], "words")


def test_nobody_who_reads_is_no_reason_to_stay() -> None:
    program = "import sys; from spark_build.core.leaving import leave; print('x' * 10); leave(4)"
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(0.3)\n" + program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={},  # where Python does not buffer, `print` itself fails
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 4
    process.stderr.close()


def test_a_command_leaves_that_way() -> None:
    """Its own exit code, and what it printed into a pipe."""
    ran = subprocess.run(
        [sys.executable, "-m", "spark_build", "--version"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0
    assert ran.stdout.startswith("spark build ")
