"""The keeper: parent of one worker, and the end of all that this one started (design section 8).

Part of the watchdog's bare interpreter: modules of C alone. See watchdog.py for what it is told, and tells.
"""

import _socket
import marshal
import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any

    Work = Callable[[dict[str, Any]], int]  # its exit code
else:
    import _signal as signal

if TYPE_CHECKING or __package__:
    from spark_build.executors import processes
else:  # in the bare interpreter, which finds what lies in this folder alone
    import processes

GRACE_SECONDS = 3.0  # between SIGTERM and SIGKILL, where a build asks for a stop
_LINE_BYTES = 1 << 16
_ERRNO_BYTES = 4
# a child that is left behind may hold the output open for ever
_WAIT_FOR_SILENT_CHILD_SECONDS, _WAIT_FOR_CHILD_SECONDS = 1.0, 10.0


class Keeper:
    """Parent of one worker after the other. Outlives everything that each of them started."""

    def __init__(
        self, link: _socket.socket, orders: _socket.socket, watchdog: int, work: "Work | None"
    ) -> None:
        self.link, self.orders, self.watchdog, self.work = link, orders, watchdog, work
        self.worker: int | None = None

    def serve(self) -> None:
        """As long as there is a build."""
        processes.prctl(processes.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.woken = processes.wake_on_child()
        signal.signal(signal.SIGTERM, self.asked_to_stop)
        processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        while self.is_wanted():
            order, lease = processes.receive(self.orders)
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
        processes.end_descendants()
        self.worker = None
        if self.output is not None:
            self.output.finish()
        status = -signal.SIGKILL if self.status is None else self.status
        touched = None if self.guard is None else self.guard.seen.to_json()
        told = {"status": status, "errno": self.errno, "undeclared": touched, "unguarded": self.unguarded}
        self.end(lease)
        processes.send(self.orders, {"free": order["spawn"]})
        processes.send(self.link, {"ended": order["spawn"], **told})
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
        order, _ = processes.receive(self.orders)
        if order is not None and order.get("stop") == self.order["spawn"]:
            self.asked_to_stop()
        return order is not None

    def asked_to_stop(self, *_: object) -> None:
        """SIGTERM first: a command may have to clean up behind itself. Between two actions nobody has to stop."""
        if self.worker is not None and self.stop_by is None:
            self.stop_by = time.monotonic() + GRACE_SECONDS
            processes.kill_group(self.worker, signal.SIGTERM)
            processes.kill_group(self.worker, signal.SIGCONT)

    def reap(self) -> None:
        for process, status in processes.ended():
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
                os.write(closes_with_exec, (error.errno or 0).to_bytes(_ERRNO_BYTES, sys.byteorder))
                if not self.order["lingers"]:
                    os.write(2, f"the worker could not be started: {error}\n".encode())
            finally:
                os._exit(127)
        os.close(closes_with_exec)
        if mine is not None and its is not None:
            its.close()
            self.begin_to_guard(mine, worker)
        if told := os.read(begun, _ERRNO_BYTES):
            self.errno = int.from_bytes(told, sys.byteorder)
        os.close(begun)
        return worker

    def begin_to_guard(self, mine: _socket.socket, worker: int) -> None:
        """Before the worker is what it is to become: its first question may come at once."""
        told, listener = processes.receive(mine)
        mine.close()
        if listener:
            hermetic, seccomp = processes.load("hermetic"), processes.load("seccomp")
            allowance = hermetic.Allowance(**self.order["watch"])
            seen = hermetic.Undeclared()
            self.guard = seccomp.Guard(
                allowance, seen, listener[0], lambda port: hermetic.listens_here(port, worker)
            )
        elif told is not None:
            self.unguarded = told["errno"]

    def become_worker(self, keeper: int, guard: _socket.socket | None) -> None:
        os.setsid()
        for number in (*processes.IGNORED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        log = os.open(self.order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        target = log if self.output is None else self.output.target
        for fd, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, target), (2, target)):
            os.dup2(source, fd)
        processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
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
            listener = processes.load("seccomp").install()
        except OSError as error:
            processes.send(guard, {"errno": error.errno})
            if self.order["watch"]["is_strict"]:
                raise
        else:
            processes.send_with(guard, marshal.dumps({}), [listener])


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
    processes.close_all_but()
