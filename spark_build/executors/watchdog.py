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
was killed), {'bug'}, and of a warm worker first of all {'loaded'}. `watch` is what the job declares (hermetic.py);
what it touched besides comes back as `undeclared`. From a keeper to the watchdog: {'free'}, once nothing of that
action lives.
"""

import _socket
import gc
import marshal
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any, NoReturn

    from spark_build.executors.keeper import Work
else:
    import _signal as signal

if TYPE_CHECKING or __package__:
    from spark_build.executors import processes
    from spark_build.executors.keeper import Keeper
else:  # in the bare interpreter, which finds what lies in this folder alone
    import processes
    from keeper import Keeper


def start(descriptor: int) -> "NoReturn":
    """In an interpreter that does nothing else."""
    processes.close_all_but(descriptor)
    gc.freeze()  # a fork shares its memory as long as nobody counts references in it
    main(descriptor)


def main(descriptor: int, work: "Work | None" = None) -> "NoReturn":
    """Serves the link until the build is gone. `work` runs an order in a fork, where it is not to be executed."""
    link = _socket.socket(fileno=descriptor)
    os.set_inheritable(link.fileno(), False)
    os.chdir("/")
    processes.prctl(processes.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in processes.IGNORED:  # a terminal's signals are for the build, which then says what to do
        signal.signal(number, signal.SIG_IGN)
    # a keeper lets it through once it can answer; blocked, it waits till then although it is ignored here
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        _Watchdog(link, work).run()
    except Exception:
        import traceback

        processes.send(link, {"bug": traceback.format_exc()})
    finally:
        processes.end_descendants()
        os._exit(0)


class _Watchdog:
    def __init__(self, link: _socket.socket, work: "Work | None") -> None:
        self.link, self.work = link, work
        self.is_unprepared = True  # to look at what workers open
        self.keepers: dict[int, _Hired] = {}  # by process
        self.woken = processes.wake_on_child()
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
                return processes.end_below([*self.keepers])

    def obey(self) -> bool:
        order, lease = processes.receive(self.link)
        if order is None:
            return False
        if "spawn" in order:
            self.spawn(order, lease)
        elif "stop" in order:
            for keeper in self.keepers.values():
                if keeper.number == order["stop"]:
                    processes.send(keeper.orders, order)
        for fd in lease:
            os.close(fd)
        return True

    def spawn(self, order: "dict[str, Any]", lease: "list[int]") -> None:
        if order["watch"] and self.is_unprepared:  # once, and not in each keeper
            self.is_unprepared = False
            processes.load("hermetic")
            processes.load("seccomp")
            os.get_exec_path()  # what it imports would be asked for when nobody answers yet
        free = [keeper for keeper in self.keepers.values() if keeper.number is None]
        for keeper in (*free, None):
            hired = keeper or self.hire(lease)
            try:
                processes.send_with(hired.orders, marshal.dumps(order), lease)
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
                Keeper(self.link, its, watchdog, self.work).serve()
            finally:
                processes.end_descendants()
                os._exit(1)
        its.close()
        self.poll.register(mine, select.POLLIN)
        self.keepers[process] = _Hired(mine)
        return self.keepers[process]

    def hear(self, keeper: "_Hired") -> None:
        told, _ = processes.receive(keeper.orders)
        if told is not None and told["free"] == keeper.number:  # else it has ended, and is reaped in a moment
            keeper.number = None

    def reap(self) -> None:
        for process, status in processes.ended():
            keeper = self.keepers.pop(process, None)
            if keeper is not None:
                self.dismiss(keeper, status)

    def dismiss(self, keeper: "_Hired", status: int) -> None:
        self.poll.unregister(keeper.orders)
        keeper.orders.close()
        if keeper.number is not None and status != 0:  # it did not get to tell
            self.end_orphans()
            processes.send(self.link, {"ended": keeper.number, "status": -signal.SIGKILL})

    def end_orphans(self) -> None:
        """What a killed keeper left: everything below this process that is below no keeper."""
        processes.end_descendants(spared=frozenset(self.keepers))


class _Hired:
    """A keeper as the watchdog knows it."""

    def __init__(self, orders: _socket.socket) -> None:
        self.orders = orders
        self.number: int | None = None  # the build's, of the action that it has; None: it is free
