"""The helper: a process that does what a worker asks, as long as that lives (helpers.py)."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from spark_build.core.job import Job
from spark_build.core.leaving import leave
from spark_build.core.ports import Blobs
from spark_build.executors import processes
from spark_build.executors.audit import watching
from spark_build.executors.helpers import ANSWER, END, PLACE_BYTES, TOUCHED, UP
from spark_build.executors.hermetic import Undeclared
from spark_build.executors.undeclared import allowance_of
from spark_build.executors.worker import keep_freed_memory, prepare_process

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from queue import SimpleQueue

Answers = Callable[[bytes], Iterator[bytes]]
MakeHelping = Callable[[Job, Blobs, Callable[[int], None]], Answers]


def run_helper(
    job_file: Path, line: int, places: int, make_helping: MakeHelping, make_blobs: Callable[[Job], Blobs]
) -> NoReturn:
    """Answers until it is told to end, or nobody is left who could ask."""
    from multiprocessing.connection import Connection

    processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    prepare_process()
    keep_freed_memory()
    for fd in (line, places):
        os.set_inheritable(fd, False)
    job, connection = Job.load(job_file), Connection(line)
    messages = _read_on(connection)

    def note(place: int) -> None:
        os.pwrite(places, place.to_bytes(PLACE_BYTES, sys.byteorder), 0)

    with watching(allowance_of(job, os.environ)) as undeclared:
        answers = make_helping(job, make_blobs(job), note)
        connection.send_bytes(UP)
        told = (0, 0)
        while (message := messages.get()) != END:
            for answer in answers(message[1:]):
                told = _tell(connection, undeclared, told)
                connection.send_bytes(ANSWER + answer)
    _leave()


def _read_on(connection: "Connection") -> "SimpleQueue[bytes]":
    """A thread reads: who asks is never held up because this process is busy."""
    import threading
    from queue import SimpleQueue

    messages = SimpleQueue[bytes]()

    def read() -> None:
        try:
            while True:
                messages.put(connection.recv_bytes())
        except (EOFError, OSError):
            if not _is_leaving:
                os._exit(1)  # nobody is left who could ask

    threading.Thread(target=read, daemon=True).start()
    return messages


_is_leaving: list[bool] = []


def _tell(connection: "Connection", seen: Undeclared, told: tuple[int, int]) -> tuple[int, int]:
    """What it touched, before the answer that may rest on it."""
    now = len(seen.files), len(seen.hosts)
    if now != told:
        connection.send_bytes(TOUCHED + json.dumps([sorted(seen.files), sorted(seen.hosts)]).encode())
    return now


def _leave() -> NoReturn:
    """What is to be done at the end of an interpreter, and no more of it."""
    _is_leaving.append(True)
    leave(0, waits_for_threads=False)
