"""Undeclared reads of a stage in Python: an audit hook that sees each file it opens and each host it calls.

Not seen: what a library reads by itself in C or Rust (pyarrow's readers, safetensors, sqlite's journal), what other
processes read that the stage starts, and folders that are only listed. Under `hermetic: strict` the kernel is asked
as well (seccomp.py), and sees all of these but the listing.
Source: PEP 578, and Python's table of audit events.
"""

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from spark_build.core.errors import StageFailed
from spark_build.core.undeclared import FIX
from spark_build.executors.hermetic import Allowance, Undeclared, listens_here

_OPENED_BY_NAME = frozenset({"sqlite3.connect", "ctypes.dlopen"})
_LOOK_UPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})


class UndeclaredAccess(StageFailed):
    """A stage read a file, or called a host, that the Sparkfile does not name (`hermetic: strict`)."""


@contextmanager
def watching(allowance: Allowance | None) -> Iterator[Undeclared]:
    """Notes what this process touches and does not declare; refuses it where that is strict. None: looks at nothing."""
    if allowance is None:
        yield Undeclared()
        return
    watcher = _Watcher(allowance)
    _install_hook()
    _watchers.append(watcher)
    try:
        yield watcher.seen
    finally:
        _watchers.remove(watcher)


_watchers: list["_Watcher"] = []


@lru_cache(maxsize=1)
def _install_hook() -> None:
    """Once in a process: an audit hook can't be taken out again."""
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    for watcher in _watchers:
        watcher.hear(event, arguments)


class _Watcher:
    def __init__(self, allowance: Allowance) -> None:
        self.allowance, self.seen = allowance, Undeclared()
        self._own_names = {"localhost", "", socket.gethostname()}
        self._looked_up: dict[str, None] = {}
        self._own = threading.local()  # our own look at a path or a name is no act of the stage

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if flags & os.O_ACCMODE != os.O_WRONLY:
                self._read(path)
        elif event in _OPENED_BY_NAME:
            self._read(arguments[0])
        elif event == "socket.connect":
            self._connect(*arguments)
        elif event in _LOOK_UPS:
            self._look_up(arguments[0])

    def _read(self, path: Any) -> None:
        if self._is_looking or not isinstance(path, str | bytes | os.PathLike):
            return  # a descriptor: it was opened before
        with self._looking():
            try:
                found = self.allowance.undeclared(os.fsdecode(path), os.getcwd())
            except (OSError, ValueError):  # a working folder that is gone, a name with a zero byte
                return
        if found is not None:
            self.seen.files.add(found)
            self._refuse(f"it read {found}, which is not among its inputs")

    def _look_up(self, host: Any) -> None:
        name = host.decode("idna") if isinstance(host, bytes) else host
        if self._is_looking or name is None or name in self._own_names or _is_address(name):
            return
        self._looked_up[name] = None
        if not self.allowance.is_named(name):
            self._called(name)

    def _connect(self, made: socket.socket, address: Any) -> None:
        if made.family not in (socket.AF_INET, socket.AF_INET6) or made.type & 0xF != socket.SOCK_STREAM:
            return
        host, port = str(address[0]), int(address[1])
        if self.allowance.is_named(host) or self._was_looked_up(host):
            return
        if not (_is_loopback(host) and listens_here(port, os.getsid(0))):
            self._called(f"{host}:{port}")

    def _was_looked_up(self, host: str) -> bool:
        """An address of a name that was judged when it was looked up."""
        with self._looking():
            return any(host in _addresses(name) for name in self._looked_up)

    @property
    def _is_looking(self) -> bool:
        return getattr(self._own, "is_looking", False)

    @contextmanager
    def _looking(self) -> Iterator[None]:
        self._own.is_looking = True
        try:
            yield
        finally:
            self._own.is_looking = False

    def _called(self, host: str) -> None:
        self.seen.hosts.add(host)
        self._refuse(f"it called {host}, which the Sparkfile does not name for it")

    def _refuse(self, what: str) -> None:
        if self.allowance.is_strict:
            raise UndeclaredAccess(f"hermetic: strict: {what}", fix=FIX)


def _addresses(name: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(name, None)}
    except OSError:
        return set()


def _is_address(name: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name)
        except OSError:
            continue
        return True
    return False


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host in ("::1", "localhost")
