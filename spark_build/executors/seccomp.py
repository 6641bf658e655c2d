"""What a command opens and whom it calls, told by the kernel: seccomp's user notifications (Linux 5.5, no root).

A filter that the command and all that it starts inherit stops each `open` for reading and each `connect` until
the keeper has answered: go on, or refused. Loaded by the keeper by its path: the standard library alone.
Source: seccomp(2), seccomp_unotify(2).
"""

import _socket as socket
import ctypes
import errno
import fcntl
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from spark_build.executors.hermetic import Allowance, Undeclared

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER, _FLAG_NEW_LISTENER = 1, 1 << 3
_RET_ALLOW, _RET_USER_NOTIF = 0x7FFF0000, 0x7FC00000
_IOCTL_RECV, _IOCTL_SEND, _IOCTL_SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082104
_WAKE_ON_SAME_CORE = struct.pack("=Q", 1)
_GO_ON = 1
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # id, pid, flags; the call: number, arch, pointer, six arguments
_ANSWER = struct.Struct("=QqiI")  # id, value, -errno, flags
_AT_FDCWD = -100
_PATH_BYTES, _PAGE = 4096, 4096
# the system's own: each command opens the same libraries and locales again
_SYSTEM = ("/usr/lib/", "/usr/share/", "/lib/", "/lib64/", "/etc/ld.so")
_elsewhere: "dict[str, set[str]]" = {}  # project -> paths of the system that don't lead into it


class _Calls:
    """A machine's numbers of the calls that count."""

    def __init__(
        self, arch: int, *, seccomp: int, openat: int, connect: int, open: int | None = None
    ) -> None:
        self.arch, self.seccomp, self.openat, self.connect, self.open = arch, seccomp, openat, connect, open
        self.openat2 = 437  # on all of them


_MACHINES = {
    "x86_64": _Calls(0xC000003E, seccomp=317, openat=257, connect=42, open=2),
    "aarch64": _Calls(0xC00000B7, seccomp=277, openat=56, connect=203),
}
_HERE = _MACHINES.get(os.uname().machine)
_libc = ctypes.CDLL(None, use_errno=True)


class Guard:
    """The keeper's side: answers what a command and all that it starts ask, and notes what is undeclared."""

    def __init__(
        self, allowance: "Allowance", seen: "Undeclared", listener: int, listens_here: "Any"
    ) -> None:
        """`listens_here(port)`: whether a process of the same job listens there."""
        self.allowance, self.seen, self.listener = allowance, seen, listener
        self._listens_here = listens_here
        self._elsewhere = _elsewhere.setdefault(allowance.project, set())
        self._names_a_host = any(not host.replace(".", "").isdigit() for host in allowance.hosts)
        _wake_on_same_core(listener)

    def serve(self) -> None:
        """Answers one call; ask when the listener is readable."""
        call = receive(self.listener)
        if call is None:
            return
        is_undeclared = False
        if call.address is not None:
            is_undeclared = self._called(*call.address)
        elif call.path is not None:
            is_undeclared = self._read(call.path, call.folder)
        answer(self.listener, call, errno.EACCES if is_undeclared and self.allowance.is_strict else 0)

    def _read(self, path: str, folder: str) -> bool:
        if path in self._elsewhere:
            return False
        found = self.allowance.undeclared(path, folder)
        if found is not None:
            self.seen.files.add(found)
        elif path.startswith(_SYSTEM) and self.allowance.is_outside(path):
            self._elsewhere.add(path)
        return found is not None

    def _called(self, host: str, port: int) -> bool:
        """An address tells no name: where the job names a host, any may be that one."""
        is_own = host in ("127.0.0.1", "::1") and self._listens_here(port)
        if self._names_a_host or is_own or self.allowance.is_named(host):
            return False
        self.seen.hosts.add(f"{host}:{port}")
        return True


class Call:
    """A call that waits for an answer: a path that is opened, or an address that is connected to.

    `folder`: what a relative path counts from; `address`: host and port.
    """

    def __init__(
        self,
        number: int,
        path: str | None = None,
        folder: str = "",
        address: tuple[str, int] | None = None,
    ) -> None:
        self.id, self.path, self.folder, self.address = number, path, folder, address


def install() -> int:
    """A listener's descriptor: from now on this process and all that it starts ask before they open or connect.

    Errors: OSError where the kernel, or a filter around us, does not allow it.
    """
    if _HERE is None:
        raise OSError(errno.ENOSYS, f"not known on {os.uname().machine}")
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener = _libc.syscall(_HERE.seccomp, _SECCOMP_SET_MODE_FILTER, _FLAG_NEW_LISTENER, _filter)
    if listener < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(listener)


def _wake_on_same_core(listener: int) -> None:
    """Asker and keeper take turns, so one core serves both best (Linux 6.6; older kernels do without)."""
    try:
        fcntl.ioctl(listener, _IOCTL_SET_FLAGS, _WAKE_ON_SAME_CORE)
    except OSError:
        return


def receive(listener: int) -> Call | None:
    """The next call; None where its process is gone. Waits: ask when the descriptor is readable."""
    buffer = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _IOCTL_RECV, buffer)
    except OSError:
        return None
    number, process, _, call, _, _, *arguments = _NOTIFICATION.unpack(buffer)
    calls = _HERE
    assert calls is not None
    try:
        if call == calls.connect:
            return Call(number, address=_address(process, arguments))
        folder, pointer = (_AT_FDCWD, arguments[0]) if call == calls.open else (arguments[0], arguments[1])
        path = _text(process, pointer)
        return Call(number, path, "" if path.startswith("/") else _folder(process, folder))
    except OSError:  # gone meanwhile, or not ours to look into
        return Call(number)


def answer(listener: int, call: Call, refused: int = 0) -> None:
    """Lets the call go on, or fail with the error number `refused`."""
    reply = _ANSWER.pack(call.id, 0, -refused, 0 if refused else _GO_ON)
    try:
        fcntl.ioctl(listener, _IOCTL_SEND, reply)
    except OSError:
        return  # its process is gone


def _program(calls: _Calls) -> list[bytes]:
    """The filter, in classic BPF: which calls ask."""
    ask, allow = _step(0x06, 0, 0, _RET_USER_NOTIF), _step(0x06, 0, 0, _RET_ALLOW)
    code = [_load(4), _step(0x15, 1, 0, calls.arch), allow, _load(0)]
    for number in (calls.connect, calls.openat2):
        code += [_step(0x15, 0, 1, number), ask]
    opening = [(calls.openat, 2), *([(calls.open, 1)] if calls.open is not None else [])]
    for number, flags in opening:
        body = [_load(16 + 8 * flags), *_unless_reading(allow), ask]
        code += [_step(0x15, 0, len(body), number), *body]
    return [*code, allow]


def _unless_reading(allow: bytes) -> list[bytes]:
    """Folders, files that are only written, and a mere look at where a file lies need no question."""
    is_folder = _step(0x45, 0, 1, os.O_DIRECTORY | os.O_PATH)
    only_written = [_step(0x54, 0, 0, os.O_ACCMODE), _step(0x15, 0, 1, os.O_WRONLY)]
    return [is_folder, allow, *only_written, allow]


def _load(offset: int) -> bytes:
    return _step(0x20, 0, 0, offset)


def _step(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _text(process: int, pointer: int) -> str:
    """A path: most are short, so a little is read first; none is longer than PATH_MAX."""
    found = b""
    while b"\0" not in found and len(found) < _PATH_BYTES:
        start = pointer + len(found)
        found += _memory(process, start, min(256, _PAGE - start % _PAGE))
    return os.fsdecode(found.partition(b"\0")[0])


def _memory(process: int, pointer: int, length: int) -> bytes:
    _here.length, _there.start, _there.length = length, pointer, length
    count = _libc.process_vm_readv(process, _ref_here, 1, _ref_there, 1, 0)
    if count <= 0:
        raise OSError(ctypes.get_errno(), "not ours to look into")
    return ctypes.string_at(_buffer, count)


class _Span(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("length", ctypes.c_size_t))


# made once: a keeper is asked some forty times by the shortest command
_buffer = ctypes.create_string_buffer(256)
_here, _there = _Span(ctypes.addressof(_buffer), 0), _Span()
_ref_here, _ref_there = ctypes.byref(_here), ctypes.byref(_there)


def _folder(process: int, number: int) -> str:
    number = ctypes.c_int(number & 0xFFFFFFFF).value
    return os.readlink(f"/proc/{process}/cwd" if number == _AT_FDCWD else f"/proc/{process}/fd/{number}")


def _address(process: int, arguments: list[int]) -> tuple[str, int] | None:
    """None for what leads nowhere outside: sockets of this machine, and datagrams (resolvers connect those)."""
    data = _memory(process, arguments[1], min(arguments[2] & 0xFFFFFFFF, 128))
    family = int.from_bytes(data[:2], "little") if len(data) >= 8 else 0
    if family not in (socket.AF_INET, socket.AF_INET6) or not _is_stream(process, arguments[0]):
        return None
    raw = data[4:8] if family == socket.AF_INET else data[8:24]
    return socket.inet_ntop(family, raw), int.from_bytes(data[2:4], "big")


def _is_stream(process: int, number: int) -> bool:
    try:
        protocol = os.getxattr(f"/proc/{process}/fd/{number}", "system.sockprotoname")
    except OSError:
        return True  # said too much rather than too little
    return protocol.startswith(b"TCP")


# last, and once for all keepers: what is made in a fork is made for each command anew
_code = b"" if _HERE is None else b"".join(_program(_HERE))
_code_buffer = ctypes.create_string_buffer(_code, len(_code))
# struct sock_fprog: a length, padding, a pointer
_filter = struct.pack("=HxxxxxxQ", len(_code) // 8, ctypes.addressof(_code_buffer))
