"""What a job may read and whom it may ask, and what it touched besides (design section 8).

Part of the keeper, a bare interpreter that is to start at once: nothing but os is imported.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

WARN, STRICT, OFF = "warn", "strict", "off"
MOST_NAMED = 50  # files or hosts of one job; the rest is counted
_MOST_ALLOWED = 500  # an order to the watchdog is one packet
_OWN_INSTALLATION = ("pyvenv.cfg", "conda-meta")  # what marks a Python environment inside the project


class Allowance:
    """What a job declares: everything else in the project, and every other host, is undeclared.

    `project`: real path of the Sparkfile's folder; `allowed`: files and folders; `hosts`: as the Sparkfile's text
    names them; `store`: real path of the folder where a stage writes, links to elsewhere among it.
    """

    __slots__ = ("allowed", "hosts", "is_strict", "project", "store")

    def __init__(
        self, project: str, allowed: "Iterable[str]", hosts: "Iterable[str]", is_strict: bool, store: str
    ) -> None:
        self.project, self.is_strict, self.store = project, is_strict, store
        self.allowed, self.hosts = tuple(allowed), tuple(hosts)

    @classmethod
    def of(
        cls, project: str, allowed: "Iterable[str]", hosts: "Iterable[str]", *, is_strict: bool, store: str
    ) -> "Allowance":
        real = os.path.realpath(project)
        store = os.path.realpath(os.path.join(project, store))
        found = {store, *(os.path.realpath(os.path.join(project, path)) for path in allowed)}
        if len(found) > _MOST_ALLOWED:
            found = {os.path.dirname(path) if os.path.isfile(path) else path for path in found}
        return cls(real, sorted(found), sorted(set(hosts)), is_strict, store)

    def to_plain(self) -> "dict[str, Any]":
        return {name: getattr(self, name) for name in self.__slots__}

    def undeclared(self, path: str, working_folder: str) -> str | None:
        """The path from the project of a file that the job does not declare; None for any other."""
        location = os.path.normpath(os.path.join(working_folder, path))
        real = _real(location)
        if not (_is_below(location, self.project) or _is_below(real, self.project)):
            return None
        if (source := _source_of(location)) != location:
            location, real = source, _real(source)
        place = location if self._is_of_project(location) else real
        if any(_is_below(one, known) for known in self.allowed for one in (place, real)):
            return None
        if (
            not _is_below(place, self.project)
            or not os.path.isfile(real)
            or self._is_of_an_installation(place)
        ):
            return None
        return os.path.relpath(place, self.project)

    def is_outside(self, path: str) -> bool:
        """Whether an absolute path neither lies in the project nor leads into it, whatever a job declares."""
        location = os.path.normpath(path)
        return not (_is_below(location, self.project) or _is_below(_real(location), self.project))

    def is_named(self, host: str) -> bool:
        """Whether the Sparkfile names the host, or a domain that it belongs to."""
        return any(host == known or host.endswith(f".{known}") for known in self.hosts)

    def _is_of_project(self, location: str) -> bool:
        """Where a link is the project's own; of one that a stage made, or anybody outside, the target counts."""
        return _is_below(location, self.project) and not _is_below(location, self.store)

    def _is_of_an_installation(self, location: str) -> bool:
        """Environments in the project, whose libraries have their own place in a key; or of a source that is gone."""
        if f"{os.sep}__pycache__{os.sep}" in location:
            return True
        folder = os.path.dirname(location)
        while len(folder) > len(self.project):
            if any(os.path.exists(os.path.join(folder, mark)) for mark in _OWN_INSTALLATION):
                return True
            folder = os.path.dirname(folder)
        return False


class Undeclared:
    """What a job touched and does not declare."""

    def __init__(self, files: "Iterable[str]" = (), hosts: "Iterable[str]" = ()) -> None:
        self.files, self.hosts = set(files), set(hosts)

    def __bool__(self) -> bool:
        return bool(self.files or self.hosts)

    def to_json(self) -> "dict[str, Any]":
        """Sorted, so that two runs alike tell the same."""
        told: dict[str, Any] = {}
        for name, found in (("files", sorted(self.files)), ("hosts", sorted(self.hosts))):
            if found:
                told[name] = found[:MOST_NAMED]
                if len(found) > MOST_NAMED:
                    told[f"more_{name}"] = len(found) - MOST_NAMED
        return told


def listens_here(port: int, session: int) -> bool:
    """Whether a process of this session listens at the port: a job that talks to itself asks nobody outside."""
    inodes = {f"socket:[{inode}]" for inode in _listening_at(port)}
    return bool(inodes) and any(inodes & set(_open_files(process)) for process in _of_session(session))


def _real(location: str) -> str:
    """Where it really lies, in three calls however deep that is; '' where nothing is."""
    try:
        descriptor = os.open(location, os.O_PATH)
    except FileNotFoundError:
        return ""
    except OSError:
        return os.path.realpath(location)
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _source_of(location: str) -> str:
    """The file that Python compiled: once it has, it opens the compiled one alone."""
    folder, name = os.path.split(location)
    if os.path.basename(folder) != "__pycache__":
        return location
    source = os.path.join(os.path.dirname(folder), name.partition(".")[0] + ".py")
    return source if os.path.isfile(source) else location


def _is_below(location: str, folder: str) -> bool:
    return location == folder or location.startswith(folder + os.sep)


def _listening_at(port: int) -> "Iterator[str]":
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as file:
                rows = [line.split() for line in file.readlines()[1:]]
        except OSError:
            continue
        # columns: 1 local address, 3 state (0A: listening), 9 inode
        yield from (row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port)


def _of_session(session: int) -> "Iterator[str]":
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.getsid(int(name)) == session:
                    yield name
            except OSError:
                continue  # gone meanwhile


def _open_files(process: str) -> "Iterator[str]":
    try:
        names = os.listdir(f"/proc/{process}/fd")
    except OSError:
        return
    for name in names:
        try:
            yield os.readlink(f"/proc/{process}/fd/{name}")
        except OSError:
            continue
