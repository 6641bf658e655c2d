"""Helpers: fresh processes beside a worker that do for it what goes item by item, and are gone when it is."""

import json
import os
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence

from spark_build.core.job import Job
from spark_build.executors.environment import UNTHREADED
from spark_build.executors.hermetic import Undeclared

# what a helper says: it is up; what it touched and the job does not declare; an answer
UP, TOUCHED, ANSWER = b"u", b"t", b"a"
END, MESSAGE = b"e", b"m"  # and what it is told
PLACE_BYTES = 8
_GOES_BY_ITSELF_SECONDS = 2.0


class HelperProcesses:
    """`core.ports.Helpers`: children of this process, in its group and session, with its output and its variables.

    None is a fork of this process, which may have threads; each loads rules as a worker does.
    """

    def __init__(self, job: Job, job_file: str, import_path: Mapping[str, str]) -> None:
        self.most, self.after_seconds = max(0, job.processes - 1), job.spread_after_seconds
        self.worked_seconds = 0.0
        self.seen = Undeclared()  # by all of them
        # as the stage found it, whatever a rule makes of it
        self._env = {**UNTHREADED, **os.environ, **import_path}
        self._job_file = os.path.abspath(job_file)
        self._all: list[_Helper] = []

    @property
    def started(self) -> int:
        return len(self._all)

    def start(self, count: int) -> None:
        while len(self._all) < min(count, self.most):
            try:
                self._all.append(_Helper(self._job_file, self._env))
            except OSError as error:  # no memory, no descriptors: the stage goes on with what there is
                print(f"no further process could be started: {error}")
                self.most = len(self._all)

    def ready(self) -> Sequence[int]:
        return [number for number, helper in enumerate(self._all) if helper.is_up and helper.lives]

    def wait(self) -> None:
        while any(helper.lives and not helper.is_up for helper in self._all):
            for number, message in self.hear(None):
                assert message is None, f"BUG: helper {number} says something before it was asked"

    def send(self, number: int, message: bytes) -> None:
        helper = self._all[number]
        if helper.lives:
            helper.send(MESSAGE + message)

    def hear(self, seconds: float | None) -> list[tuple[int, bytes | None]]:
        heard = list[tuple[int, bytes | None]]()
        for number in self._ready_to_read(seconds):
            said = self._all[number].receive()
            if said is None:
                heard.append((number, None))
            elif said[:1] == TOUCHED:
                files, hosts = json.loads(said[1:])
                self.seen.files.update(files)
                self.seen.hosts.update(hosts)
            elif said[:1] == ANSWER:
                heard.append((number, said[1:]))
        return heard

    def _ready_to_read(self, seconds: float | None) -> list[int]:
        """A process that has ended may have left its end of the line to a child of its own: it is looked at as well."""
        poll, numbers = select.poll(), {}
        for number, helper in enumerate(self._all):
            if helper.lives:
                for fd in (helper.line.fileno(), helper.process_fd):
                    numbers[fd] = number
                    poll.register(fd, select.POLLIN)
        found = poll.poll(None if seconds is None else seconds * 1000) if numbers else []
        return sorted({numbers[fd] for fd, _ in found})

    def last_words(self, number: int) -> tuple[str, int]:
        helper = self._all[number]
        status = helper.status
        how = f"was ended by signal {-status}" if status < 0 else f"ended with exit code {status}"
        return how, helper.place()

    def close(self) -> None:
        """None is left when this returns."""
        living = [helper for helper in self._all if helper.lives]
        for helper in living:
            helper.send(END)
        until = time.monotonic() + _GOES_BY_ITSELF_SECONDS
        for helper in living:
            helper.end(max(0.0, until - time.monotonic()) if helper.is_up else 0.0)
        self._all.clear()


class _Helper:
    def __init__(self, job_file: str, env: Mapping[str, str]) -> None:
        import socket
        from multiprocessing.connection import Connection

        mine, its = socket.socketpair()
        self._places = os.memfd_create("spark-helper")
        os.pwrite(self._places, bytes(PLACE_BYTES), 0)
        words = [sys.executable, "-P", "-m", "spark_build", "worker", "--helper"]
        words += [str(its.fileno()), str(self._places), job_file]
        for fd in (its.fileno(), self._places):
            os.set_inheritable(fd, True)
        try:
            self.process = os.posix_spawn(words[0], words, dict(env))
        except OSError:
            os.close(self._places)
            mine.close()
            raise
        finally:
            its.close()
        os.set_inheritable(self._places, False)
        self.process_fd = os.pidfd_open(self.process)
        self.line: Connection = Connection(mine.detach())
        self.is_up, self.lives, self.status = False, True, 0

    def send(self, message: bytes) -> None:
        try:
            self.line.send_bytes(message)
        except (BrokenPipeError, ConnectionResetError):
            return  # it is read next that it has ended

    def receive(self) -> bytes | None:
        """None once it has ended and all that it said was read."""
        try:
            if self.line.poll():
                said = self.line.recv_bytes()
                self.is_up = self.is_up or said == UP
                return said
        except (EOFError, ConnectionResetError):
            pass
        self.reap()
        return None

    def place(self) -> int:
        return int.from_bytes(os.pread(self._places, PLACE_BYTES, 0), sys.byteorder)

    def end(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self.process_fd, select.POLLIN)
        if not poll.poll(seconds * 1000):
            os.kill(self.process, signal.SIGKILL)
        self.reap()
        os.close(self._places)

    def reap(self) -> None:
        """Waits for it to end, which it does in a moment."""
        self.lives = False
        self.line.close()
        _, status = os.waitpid(self.process, 0)
        self.status = os.waitstatus_to_exitcode(status)
        os.close(self.process_fd)
