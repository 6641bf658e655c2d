"""A build's link to one of its watchdogs."""

import _socket
import marshal
import os
import select
import signal
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from spark_build.executors import processes, watchdog

Start = Callable[[int], int]  # starts the process that holds the descriptor's other end

_SHUTDOWN_SECONDS = 10.0


class Link:
    """Open from the first order on; open again where somebody killed the watchdog."""

    def __init__(self, start: Start, *, tells_when_loaded: bool = False) -> None:
        self._start, self._tells_when_loaded = start, tells_when_loaded
        self._socket: _socket.socket | None = None
        self._end: weakref.finalize[..., Any] | None = None
        self._process = 0
        self.is_loading = False  # the other end, which hears nothing until that is over

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def fileno(self) -> int:
        assert self._socket is not None
        return self._socket.fileno()

    def send(self, order: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Errors: BrokenPipeError, ConnectionResetError where the watchdog is gone."""
        data = marshal.dumps(order)
        if len(data) > processes.PACKET_BYTES:
            raise RuntimeError(f"BUG: an order of {len(data)} bytes to the watchdog")
        processes.send_with(self._open(), data, fds)

    def receive(self) -> dict[str, Any] | None:
        """None where the watchdog is gone."""
        assert self._socket is not None
        told, _ = processes.receive(self._socket)
        self.is_loading = False
        if told is not None and "bug" in told:
            raise RuntimeError(f"BUG: the watchdog failed:\n{told['bug']}")
        return told

    def close(self) -> None:
        """Ends the watchdog, and at once whatever still runs below it."""
        if self._end is not None:
            if self.is_loading:  # nothing is below it yet
                os.kill(self._process, signal.SIGKILL)
            self._end()
        self._socket, self._end, self.is_loading = None, None, False

    def _open(self) -> _socket.socket:
        if self._socket is None:
            mine, its = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
            self._process = self._start(its.fileno())
            its.close()
            self.is_loading = self._tells_when_loaded
            self._socket, self._end = mine, weakref.finalize(self, _end_watchdog, mine, self._process)
        return self._socket


def ready(links: Sequence[Link], seconds: float) -> list[Link]:
    """Those that have something to tell; waits up to `seconds` for the first."""
    poll = select.poll()
    for link in links:
        poll.register(link, select.POLLIN)
    found = {fd for fd, _ in poll.poll(seconds * 1000)}
    return [link for link in links if link.fileno() in found]


def start_bare(link: int) -> int:
    """A watchdog with nothing loaded. Imported as a module, it is not compiled each time."""
    folder, name = os.path.split(watchdog.__file__)
    module = name.removesuffix(".py")
    # at the end of the path, and taken off it: nothing else in the folder is in reach
    code = f"import sys; sys.path.append({folder!r}); import {module} as w; sys.path.pop(); w.start(int(sys.argv[1]))"
    flags = ["-I", "-S", "-E", *(["-B"] if sys.dont_write_bytecode else [])]
    return start_process([sys.executable, *flags, "-c", code, str(link)], dict(os.environ), link)


def start_process(argv: list[str], env: dict[str, str], link: int) -> int:
    """In a session of its own, deaf and dumb, with the link's descriptor."""
    os.set_inheritable(link, True)
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    return os.posix_spawn(argv[0], argv, env, file_actions=null, setsid=True)


def _end_watchdog(link: _socket.socket, process: int) -> None:
    """It sees the socket close, ends what runs, and goes; the same happens when this process is killed."""
    link.close()
    ended = os.pidfd_open(process)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    try:
        if not poll.poll(_SHUTDOWN_SECONDS * 1000):
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    finally:
        os.close(ended)
