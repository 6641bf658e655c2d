"""Processes below this one, and messages to and from them: what watchdog and keepers share.

Part of a bare interpreter that is to start at once: modules of C alone.
"""

import _ctypes
import _socket
import marshal
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Sequence
    from typing import Any
else:
    import _signal as signal

PACKET_BYTES = 1 << 17
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
_FD_BYTES = 4


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL
    _restype_ = _Int


def function(name: str) -> _Function:
    """Of the C library. Errors: OSError where it has none of this name."""
    return _Function(_ctypes.dlsym(_ctypes.dlopen(None, 0), name))  # type: ignore[arg-type]  # of this process


prctl = function("prctl")


def close_all_but(*kept: int) -> None:
    """Descriptors that came from elsewhere, such as a lock that a user's shell holds; the standard ones stay."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                continue  # of the listing itself


def load(name: str) -> "Any":
    """A module beside this file; nothing else of the folder is in reach of an import."""
    sys.path.append(os.path.dirname(__file__))
    try:
        return __import__(name)
    finally:
        sys.path.pop()


def wake_on_child() -> int:
    """A descriptor that is readable when a signal has come, so that one poll waits for all."""
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return readable


def send(link: _socket.socket, message: "dict[str, Any]") -> None:
    try:
        link.send(marshal.dumps(message))
    except OSError:
        return  # the build is gone


def send_with(link: _socket.socket, data: bytes, fds: "Sequence[int]") -> None:
    rights = b"".join(fd.to_bytes(_FD_BYTES, sys.byteorder) for fd in fds)
    link.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if fds else [])


def receive(link: _socket.socket) -> "tuple[dict[str, Any] | None, list[int]]":
    """A message, None where the other end is gone, and the descriptors that came with it."""
    room = _socket.CMSG_SPACE(4 * _FD_BYTES)
    try:
        data, told, _, _ = link.recvmsg(PACKET_BYTES, room, _socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return None, []
    fds = [
        int.from_bytes(rights[place : place + _FD_BYTES], sys.byteorder)
        for _, _, rights in told
        for place in range(0, len(rights), _FD_BYTES)
    ]
    return (marshal.loads(data) if data else None), fds


def ended() -> "Iterator[tuple[int, int]]":
    """The children that have ended and were not told of yet, with their wait status."""
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if process == 0:
            return
        yield process, status


def end_descendants(spared: frozenset[int] = frozenset()) -> None:
    """Kills everything below this process but `spared` and what is below them, until nothing is left.

    A killed parent's children come to this process, the subreaper, so each round finds them.
    """
    pause_seconds = 0.001
    if not spared and not _has_children():
        return
    while True:
        living = _descendants(os.getpid(), spared)
        for process in living:
            _kill(process, signal.SIGKILL)
        # a scan can miss one whose parent has just died; whether there are children at all, the kernel knows
        if not (_reaped(living) if spared else _has_children()):
            return
        time.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, 0.05)


def end_below(keepers: "Sequence[int]") -> None:
    """Kills what lives below these children of this process, and not themselves.

    A process that ends everything at once may be killed halfway, with the keepers dead and their workers alive. This
    one leaves those to the last who would go on in its place.
    """
    pause_seconds = 0.001
    for keeper in keepers:
        _kill(keeper, signal.SIGCONT)  # where somebody stopped it, it would not
    while living := [p for p in _descendants(os.getpid()) if p not in keepers and not _is_zombie(p)]:
        for process in living:
            _kill(process, signal.SIGKILL)
        time.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, 0.05)


def _is_zombie(process: int) -> bool:
    """Also where it is gone altogether."""
    fields = _stat(process)
    return fields is None or fields[0] == b"Z"


def _stat(process: int) -> list[bytes] | None:
    """State, parent and on, as proc(5) has them behind the name; None where it is gone."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


def _kill(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            continue
    except ChildProcessError:
        return False
    return True


def _reaped(living: list[int]) -> bool:
    for process in living:
        try:
            os.waitpid(process, os.WNOHANG)
        except ChildProcessError:
            continue
    return bool(living)


def _descendants(root: int, spared: frozenset[int] = frozenset()) -> list[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [root]
    while todo:
        below = [child for child in children.get(todo.pop(), []) if child not in spared]
        found += below
        todo += below
    return found


def kill_group(group: int, number: int) -> None:
    _kill(-group, number)
