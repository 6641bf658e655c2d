"""The watchdog: parent of all workers of a build, and their end when the build is gone (design section 8).

Run with a bare interpreter that is to start at once: modules of C alone, no json, enum, socket, ctypes, typing.
Three layers of processes:

    build -- watchdog -- keeper -- worker and whatever it starts
                      \\- keeper -- worker …

Keepers and watchdog are child subreapers: a process that leaves its group and session still ends up below
its keeper. Each of them looks at the socket to the build by itself, so that stopping or killing one of them
changes nothing. A keeper holds its action's lease and lets it go only when nothing of the action lives; then it
waits for another action, so that short ones cost no fork of their own.

Messages are marshalled, one per packet. From the build, and passed on to a keeper: {'spawn', 'argv', 'env', 'cwd',
'log', 'mask', 'lingers', 'watch'} with the lease's descriptor, {'stop'}. To the build: {'ended', 'status', 'errno',
'undeclared', 'unguarded'} (status below 0 a signal; errno where it could not be started; none of it where its keeper
was killed), {'bug'}. `watch` is what the job declares (hermetic.py); what it touched besides comes back as
`undeclared`. From a keeper to the watchdog: {'free'}, once nothing of that action lives.
"""

import _ctypes
import _socket
import gc
import marshal
import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    Work = Callable[[dict[str, Any]], int]  # its exit code
else:
    import _signal as signal

GRACE_SECONDS = 3.0  # between SIGTERM and SIGKILL, where a build asks for a stop
PACKET_BYTES = 1 << 17
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LINE_BYTES = 1 << 16
_FD_BYTES = 4
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# a child that is left behind may hold the output open for ever
_WAIT_FOR_SILENT_CHILD_SECONDS, _WAIT_FOR_CHILD_SECONDS = 1.0, 10.0


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL
    _restype_ = _Int


_prctl = _Function(_ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl"))  # type: ignore[arg-type]  # this process


def start(descriptor: int) -> "NoReturn":
    """In an interpreter that does nothing else."""
    close_all_but(descriptor)
    gc.freeze()  # a fork shares its memory as long as nobody counts references in it
    main(descriptor)


def main(descriptor: int, work: "Work | None" = None) -> "NoReturn":
    """Serves the link until the build is gone. `work` runs an order in a fork, where it is not to be executed."""
    link = _socket.socket(fileno=descriptor)
    os.set_inheritable(link.fileno(), False)
    os.chdir("/")
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in _IGNORED:  # a terminal's signals are for the build, which then says what to do
        signal.signal(number, signal.SIG_IGN)
    # a keeper lets it through once it can answer; blocked, it waits till then although it is ignored here
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        _Watchdog(link, work).run()
    except Exception:
        import traceback

        send(link, {"bug": traceback.format_exc()})
    finally:
        end_descendants()
        os._exit(0)


class _Watchdog:
    def __init__(self, link: _socket.socket, work: "Work | None") -> None:
        self.link, self.work = link, work
        self.is_unprepared = True  # to look at what workers open
        self.keepers: dict[int, _Hired] = {}  # by process
        self.woken = wake_on_child()
        self.poll = select.poll()

    def run(self) -> None:
        """Until the build closes the socket, by its own will or by its death."""
        self.poll.register(self.link, select.POLLIN)
        self.poll.register(self.woken, select.POLLIN)
        while True:
            ready = dict(self.poll.poll())
            for keeper in [*self.keepers.values()]:
                if keeper.orders.fileno() in ready:
                    self.hear(keeper)
            if self.woken in ready:
                os.read(self.woken, 4096)
                self.reap()
            if self.link.fileno() in ready and not self.obey():
                return

    def obey(self) -> bool:
        order, lease = receive(self.link)
        if order is None:
            return False
        if "spawn" in order:
            self.spawn(order, lease)
        elif "stop" in order:
            for keeper in self.keepers.values():
                if keeper.number == order["stop"]:
                    send(keeper.orders, order)
        for fd in lease:
            os.close(fd)
        return True

    def spawn(self, order: "dict[str, Any]", lease: "list[int]") -> None:
        if order["watch"] and self.is_unprepared:  # once, and not in each keeper
            self.is_unprepared = False
            _load("hermetic")
            _load("seccomp")
            os.get_exec_path()  # what it imports would be asked for when nobody answers yet
        free = [keeper for keeper in self.keepers.values() if keeper.number is None]
        for keeper in (*free, None):
            hired = keeper or self.hire(lease)
            try:
                send_with(hired.orders, marshal.dumps(order), lease)
            except ConnectionError:  # somebody killed it
                continue
            hired.number = order["spawn"]
            return

    def hire(self, lease: "list[int]") -> "_Hired":
        mine, its = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        watchdog = os.getpid()
        process = os.fork()
        if process == 0:
            try:
                for fd in (*lease, *(other.orders.fileno() for other in self.keepers.values())):
                    os.close(fd)
                mine.close()
                _Keeper(self.link, its, watchdog, self.work).serve()
            finally:
                end_descendants()
                os._exit(1)
        its.close()
        self.poll.register(mine, select.POLLIN)
        self.keepers[process] = _Hired(mine)
        return self.keepers[process]

    def hear(self, keeper: "_Hired") -> None:
        told, _ = receive(keeper.orders)
        if told is not None and told["free"] == keeper.number:  # else it has ended, and is reaped in a moment
            keeper.number = None

    def reap(self) -> None:
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            keeper = self.keepers.pop(process, None)
            if keeper is not None:
                self.dismiss(keeper, status)

    def dismiss(self, keeper: "_Hired", status: int) -> None:
        self.poll.unregister(keeper.orders)
        keeper.orders.close()
        if keeper.number is not None and status != 0:  # it did not get to tell
            self.end_orphans()
            send(self.link, {"ended": keeper.number, "status": -signal.SIGKILL})

    def end_orphans(self) -> None:
        """What a killed keeper left: everything below this process that is below no keeper."""
        end_descendants(spared=frozenset(self.keepers))


class _Hired:
    """A keeper as the watchdog knows it."""

    def __init__(self, orders: _socket.socket) -> None:
        self.orders = orders
        self.number: int | None = None  # the build's, of the action that it has; None: it is free


class _Keeper:
    """Parent of one worker after the other. Outlives everything that each of them started."""

    def __init__(
        self, link: _socket.socket, orders: _socket.socket, watchdog: int, work: "Work | None"
    ) -> None:
        self.link, self.orders, self.watchdog, self.work = link, orders, watchdog, work
        self.worker: int | None = None

    def serve(self) -> None:
        """As long as there is a build."""
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.woken = wake_on_child()
        signal.signal(signal.SIGTERM, self.asked_to_stop)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        while self.is_wanted():
            order, lease = receive(self.orders)
            if order is None:
                break
            if "spawn" in order:
                self.run(order, lease)
        os.kill(self.watchdog, signal.SIGCONT)  # where somebody stopped it, it would stay
        os._exit(0)

    def is_wanted(self) -> bool:
        """Once there is an order; false where nobody is left who could give one."""
        poll = select.poll()
        poll.register(self.link, 0)  # only whether it hung up; the messages are the watchdog's
        poll.register(self.woken, select.POLLIN)
        poll.register(self.orders, select.POLLIN)
        while os.getppid() == self.watchdog:
            ready = dict(poll.poll())
            if self.link.fileno() in ready:
                return False
            if self.orders.fileno() in ready:
                return True
            os.read(self.woken, 4096)
        return False

    def run(self, order: "dict[str, Any]", lease: "list[int]") -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self.begin(order)
        self.worker = self.start_worker()
        if self.output is not None:
            os.close(self.output.target)  # so that the output ends with the last process that holds it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        self.wait()
        end_descendants()
        self.worker = None
        if self.output is not None:
            self.output.finish()
        status = -signal.SIGKILL if self.status is None else self.status
        touched = None if self.guard is None else self.guard.seen.to_json()
        told = {"status": status, "errno": self.errno, "undeclared": touched, "unguarded": self.unguarded}
        self.end(lease)
        send(self.orders, {"free": order["spawn"]})
        send(self.link, {"ended": order["spawn"], **told})
        os.kill(self.watchdog, signal.SIGCONT)  # where somebody stopped it, it would stay

    def begin(self, order: "dict[str, Any]") -> None:
        self.order = order
        self.stop_by: float | None = None
        self.status: int | None = None
        self.ended_at = 0.0
        self.errno: int | None = None  # why it could not be started
        self.guard: Any = None  # answers what the worker opens and whom it calls
        self.unguarded: int | None = None  # why nobody does, although it was asked for
        self.output = _Log(order) if order["mask"] or order["lingers"] else None

    def end(self, lease: "list[int]") -> None:
        """Lets go of what belongs to the action."""
        held = [*lease]
        if self.output is not None:
            held += [self.output.source, self.output.log]
        if self.guard is not None:
            held.append(self.guard.listener)
        for fd in held:
            os.close(fd)

    def wait(self) -> None:
        """Until the worker has ended, is to be ended, or nobody is left who wants to know."""
        poll = select.poll()
        poll.register(self.link, 0)  # only whether it hung up; the messages are the watchdog's
        poll.register(self.woken, select.POLLIN)
        poll.register(self.orders, select.POLLIN)
        if self.output is not None:
            poll.register(self.output.source, select.POLLIN)
        if self.guard is not None:
            poll.register(self.guard.listener, select.POLLIN)
        is_silent = False
        while self.goes_on(is_silent) and not self.is_time_up() and os.getppid() == self.watchdog:
            ready = dict(poll.poll(None if self.stop_by is None and self.status is None else 20))
            is_silent = self.output is None or self.output.source not in ready
            if self.guard is not None and self.guard.listener in ready:
                if ready[self.guard.listener] & select.POLLIN:
                    self.guard.serve()
                else:  # nobody is left who could ask
                    poll.unregister(self.guard.listener)
            if self.woken in ready:
                os.read(self.woken, 4096)
                self.reap()
            if self.orders.fileno() in ready and not self.is_told_to_go_on():
                return
            if self.output is not None and self.output.source in ready:
                self.output.copy()
                if self.output.is_over:
                    poll.unregister(self.output.source)
            if self.link.fileno() in ready:
                return

    def goes_on(self, is_silent: bool) -> bool:
        """Also while something that a command has left behind still prints (`> >(tee log)`), but not for ever."""
        if self.status is None:
            return True
        if (
            self.output is None
            or self.output.is_over
            or not self.order["lingers"]
            or self.stop_by is not None
        ):
            return False
        seconds = time.monotonic() - self.ended_at
        return seconds < (_WAIT_FOR_SILENT_CHILD_SECONDS if is_silent else _WAIT_FOR_CHILD_SECONDS)

    def is_time_up(self) -> bool:
        return self.stop_by is not None and time.monotonic() > self.stop_by

    def is_told_to_go_on(self) -> bool:
        """Whatever it is told: false where the watchdog is gone."""
        order, _ = receive(self.orders)
        if order is not None and order.get("stop") == self.order["spawn"]:
            self.asked_to_stop()
        return order is not None

    def asked_to_stop(self, *_: object) -> None:
        """SIGTERM first: a command may have to clean up behind itself. Between two actions nobody has to stop."""
        if self.worker is not None and self.stop_by is None:
            self.stop_by = time.monotonic() + GRACE_SECONDS
            _kill_group(self.worker, signal.SIGTERM)
            _kill_group(self.worker, signal.SIGCONT)

    def reap(self) -> None:
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            if process == self.worker:
                self.status, self.ended_at = os.waitstatus_to_exitcode(status), time.monotonic()

    def start_worker(self) -> int:
        """Returns when it is in a group of its own, so that a stop reaches it."""
        keeper = os.getpid()
        begun, closes_with_exec = os.pipe2(os.O_CLOEXEC)
        mine, its = _socket.socketpair() if self.order["watch"] else (None, None)
        worker = os.fork()
        if worker == 0:
            try:
                self.become_worker(keeper, its)
            except OSError as error:
                os.write(closes_with_exec, (error.errno or 0).to_bytes(_FD_BYTES, sys.byteorder))
                if not self.order["lingers"]:
                    os.write(2, f"the worker could not be started: {error}\n".encode())
            finally:
                os._exit(127)
        os.close(closes_with_exec)
        if mine is not None and its is not None:
            its.close()
            self.begin_to_guard(mine, worker)
        if told := os.read(begun, _FD_BYTES):
            self.errno = int.from_bytes(told, sys.byteorder)
        os.close(begun)
        return worker

    def begin_to_guard(self, mine: _socket.socket, worker: int) -> None:
        """Before the worker is what it is to become: its first question may come at once."""
        told, listener = receive(mine)
        mine.close()
        if listener:
            hermetic, seccomp = _load("hermetic"), _load("seccomp")
            allowance = hermetic.Allowance(**self.order["watch"])
            seen = hermetic.Undeclared()
            self.guard = seccomp.Guard(
                allowance, seen, listener[0], lambda port: hermetic.listens_here(port, worker)
            )
        elif told is not None:
            self.unguarded = told["errno"]

    def become_worker(self, keeper: int, guard: _socket.socket | None) -> None:
        os.setsid()
        for number in (*_IGNORED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        log = os.open(self.order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        target = log if self.output is None else self.output.target
        for fd, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, target), (2, target)):
            os.dup2(source, fd)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != keeper:  # it died before the line above
            os._exit(127)
        os.chdir(self.order["cwd"])
        if guard is not None:
            self.ask_from_now_on(guard)
        if self.work is not None:
            _look_freshly_started()
            os._exit(self.work(self.order))
        argv = self.order["argv"]
        os.execvpe(argv[0], argv, self.order["env"])

    def ask_from_now_on(self, guard: _socket.socket) -> None:
        try:
            listener = _load("seccomp").install()
        except OSError as error:
            send(guard, {"errno": error.errno})
            if self.order["watch"]["is_strict"]:
                raise
        else:
            send_with(guard, marshal.dumps({}), [listener])


class _Log:
    """The worker's output on its way to the log, secrets replaced; then by lines, so that none is cut in two."""

    def __init__(self, order: "dict[str, Any]") -> None:
        self.source, self.target = os.pipe()
        self.masks = [text.encode() for text in order["mask"]]
        self.log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.rest = b""
        self.is_over = False

    def copy(self) -> None:
        data = os.read(self.source, _LINE_BYTES)
        self.rest += data
        cut = self.rest.rfind(b"\n") + 1 if self.masks else len(self.rest)
        if not data or len(self.rest) - cut > _LINE_BYTES:
            cut = len(self.rest)
        whole, self.rest = self.rest[:cut], self.rest[cut:]
        for mask in self.masks:
            whole = whole.replace(mask, b"***")
        try:
            while whole:
                whole = whole[os.write(self.log, whole) :]
        except OSError:
            pass  # no space left: the worker goes on without a log
        self.is_over = not data

    def finish(self) -> None:
        while not self.is_over:
            self.copy()


def _look_freshly_started() -> None:
    """What a fork has of its keeper goes: descriptors, and what it does on signals."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    close_all_but()


def close_all_but(*kept: int) -> None:
    """Descriptors that came from elsewhere, such as a lock that a user's shell holds; the standard ones stay."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                continue  # of the listing itself


def _load(name: str) -> "Any":
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
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        # a scan can miss one whose parent has just died; whether there are children at all, the kernel knows
        if not (_reaped(living) if spared else _has_children()):
            return
        time.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, 0.05)


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


def _descendants(root: int, spared: frozenset[int]) -> list[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue  # gone meanwhile
            children.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [root]
    while todo:
        below = [child for child in children.get(todo.pop(), []) if child not in spared]
        found += below
        todo += below
    return found


def _kill_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
