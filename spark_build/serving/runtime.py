"""Brings a deployment into the state asked for, and says what state it is in.

Asking (`state`, `needs_change`) imports nothing beyond the standard library.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spark_build.core.errors import StageFailed, UsageError
from spark_build.serving import ledger
from spark_build.serving.ledger import Entry, Noted
from spark_build.serving.processes import free_port, is_free, listens, members, owner_of, require_proc

OnEvent = Callable[[str], None]  # is told in words what happens


@dataclass(frozen=True)
class Wanted:
    """What a deployment should be."""

    name: str
    server_impl: str  # 'spark_build.serving.transformers_serve:TransformersServe', or '/abs/file.py:Class'
    params: Mapping[str, Any]
    model: Path  # a folder that stays as it is while it is served: another model, another folder
    model_digest: str
    settings_digest: str  # of server_impl, params and what else should bring about a restart
    host: str = "127.0.0.1"
    port: int = 8000  # 0: any that is free


@dataclass(frozen=True)
class Running:
    """What a deployment is."""

    name: str
    pid: int
    host: str
    port: int
    model_digest: str
    settings_digest: str
    since: str  # ISO 8601, UTC
    healthy: bool  # it answers, and with this model
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


def state(folder: Path, name: str) -> Running | None:
    """What runs now; None where nothing does. A process that is there but doesn't answer is not `healthy`."""
    serving = ledger.read(folder, name).serving
    return None if serving is None or not serving.is_alive() else _running(folder, name, serving)


def needs_change(folder: Path, wanted: Wanted) -> str | None:
    """Why `up` would act, in words; None where what runs is what is wanted."""
    return _difference(state(folder, wanted.name), wanted)


def up(
    folder: Path, wanted: Wanted, *, timeout_seconds: float = 300.0, on_event: OnEvent = lambda text: None
) -> Running:
    """The deployment as wanted, once it has answered a real request; nothing happens where it is so already.

    Where the port stays, the old server stops first, and comes back when the new one fails. Where the port
    changes, or may be any, the old one serves until the new one has answered.
    Errors: UsageError (host), StageFailed (port in use, the server ends or never answers).
    """
    require_proc()
    _refuse_other_hosts(wanted)
    with ledger.locked(folder, wanted.name, lambda: on_event(_waiting(wanted.name))):
        now = state(folder, wanted.name)
        if now is not None and _difference(now, wanted) is None:
            return now
        old = _cleared(folder, wanted.name)
        new = _Replacement(folder, old, timeout_seconds, on_event).by(wanted)
        return _running(folder, wanted.name, new)


def down(folder: Path, name: str) -> bool:
    """Ends the deployment's processes, all of them; True where there were any."""
    require_proc()
    if not ledger.path_of(folder, name).exists():
        return False
    with ledger.locked(folder, name, lambda: None):
        ended = [entry.end() for entry in ledger.read(folder, name).entries]
        ledger.path_of(folder, name).unlink(missing_ok=True)
    return any(ended)


@dataclass(frozen=True)
class _Replacement:
    """A server in place of `old`, or of none."""

    folder: Path
    old: Entry | None  # alive
    timeout_seconds: float
    on_event: OnEvent

    def by(self, wanted: Wanted) -> Entry:
        if self.old is None or self.old.port != wanted.port:
            return self._beside(wanted)
        self.on_event(f"stopping the one before (process {self.old.pid})")
        self.old.end()
        try:
            return replace(self, old=None)._beside(wanted)
        except BaseException:
            self._restore(wanted.name, self.old)
            raise

    def _beside(self, wanted: Wanted) -> Entry:
        """The new one is ready before the old one, on another port, is stopped."""
        _require_free_port(wanted)
        entry = self._ready(wanted)
        self._note(wanted.name, entry, self.old)
        if self.old is not None:
            self.old.end()
            self._note(wanted.name, entry)
        self.on_event(f"answers on {entry.url}")
        return entry

    def _ready(self, wanted: Wanted) -> Entry:
        """A server that has answered. Where it doesn't, nothing of it is left; the old one is still noted."""
        entry = _entry_of(wanted)
        self._note(wanted.name, self.old, entry)
        try:
            entry = _started(self.folder, wanted, entry)
            self._note(wanted.name, self.old, entry)
            self.on_event(f"starting on {entry.url} (process {entry.pid})")
            _wait_until_ready(self.folder, wanted, entry, self.timeout_seconds)
        except BaseException:
            entry.end()
            self._note(wanted.name, self.old)
            raise
        return entry

    def _restore(self, name: str, old: Entry) -> None:
        """The old server again; where that fails as well, the first failure is the one to tell."""
        self.on_event("the new server failed; starting the one before again")
        before = Wanted(
            name, old.server_impl, old.params, Path(old.model), old.model_digest, old.settings_digest,
            old.host, old.port,
        )  # fmt: skip
        try:
            replace(self, old=None)._beside(before)
        except StageFailed as error:
            self.on_event(f"the one before does not start either: {error.message}")

    def _note(self, name: str, serving: Entry | None, passing: Entry | None = None) -> None:
        ledger.write(self.folder, name, Noted(serving, passing))


def _cleared(folder: Path, name: str) -> Entry | None:
    """The server that is alive; what a killed command or a dead server left behind is ended first."""
    noted = ledger.read(folder, name)
    alive = noted.serving if noted.serving is not None and noted.serving.is_alive() else None
    for entry in noted.entries:
        if entry is not alive:
            entry.end()
    if noted != Noted(alive):
        ledger.write(folder, name, Noted(alive))
    return alive


def _entry_of(wanted: Wanted) -> Entry:
    import time

    return Entry(
        token=os.urandom(16).hex(),
        process=None,
        server_impl=wanted.server_impl,
        params=dict(wanted.params),
        model=str(wanted.model.absolute()),
        model_digest=wanted.model_digest,
        settings_digest=wanted.settings_digest,
        host=wanted.host,
        port=wanted.port or free_port(wanted.host),
        since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _started(folder: Path, wanted: Wanted, entry: Entry) -> Entry:
    """In a session of its own, so that it lives on when this process ends."""
    import subprocess

    from spark_build.core.disk import disk_problems
    from spark_build.serving.processes import Process

    command = _server(wanted).command(Path(entry.model), entry.host, entry.port)
    log = ledger.log_of(folder, wanted.name)
    with disk_problems(str(log)):
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists():
            log.replace(log.with_name(f"{log.name}.1"))  # the one before is kept, no more
        output = open(log, "wb")  # noqa: SIM115 - closed below, in every case
    with output:
        child = subprocess.Popen(
            command, cwd=folder, env=_environment(wanted, entry.token), stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    ledger.CHILDREN[child.pid] = child
    return replace(entry, process=Process.of(child.pid))


def _environment(wanted: Wanted, token: str) -> dict[str, str]:
    """What a server's process sees: little, and no hub."""
    from spark_build.serving.processes import TOKEN

    kept = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")
    found = {n: v for n, v in os.environ.items() if n in kept or n.startswith("CUDA_")}
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    told = {TOKEN: token, "SPARK_DEPLOYMENT": wanted.name, "SPARK_MODEL_DIGEST": wanted.model_digest}
    ours = str(Path(__file__).resolve().parents[2])  # where spark_build is imported from
    fixed = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONPATH": ours, "PYTHONUNBUFFERED": "1"}
    return found | offline | told | fixed


def _wait_until_ready(folder: Path, wanted: Wanted, entry: Entry, timeout_seconds: float) -> None:
    """Errors: StageFailed where it ends, or has not answered in time."""
    import time

    server, deadline = _server(wanted), time.monotonic() + timeout_seconds
    while entry.is_alive():
        if (reason := _why_not_ready(server, entry)) is None:
            return
        if time.monotonic() > deadline:
            raise _failed(folder, wanted, f"has not answered after {timeout_seconds:g} s ({reason})")
        time.sleep(0.1)
    raise _failed(folder, wanted, "ended before it answered")


def _why_not_ready(server: Any, entry: Entry) -> str | None:
    try:
        server.check_ready(entry.url)
    except (ConnectionError, TimeoutError) as error:
        return str(error)
    # the answer may come from a stranger who took the port while ours was still loading
    ours = members(entry.process, entry.token)
    return (
        None if any(listens(process.pid, entry.port) for process in ours) else "another process answers there"
    )


def _failed(folder: Path, wanted: Wanted, what: str) -> StageFailed:
    log = ledger.log_of(folder, wanted.name)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
    shown = "".join(f"\n  | {line}" for line in lines)
    return StageFailed(f"deployment:{wanted.name}: the server {what}{shown}", fix=f"the whole log: {log}")


def _server(wanted: Wanted) -> Any:
    rule = _rule_class(wanted.server_impl)
    return rule(rule.Params(**wanted.params))


def _rule_class(impl: str) -> Any:
    from importlib import import_module, util

    place, _, name = impl.rpartition(":")
    if not place.endswith(".py"):
        return getattr(import_module(place), name)
    spec = util.spec_from_file_location(f"spark_server_{Path(place).stem}", place)
    if spec is None or spec.loader is None or not Path(place).is_file():
        raise UsageError(f"{place}: there is no such file", fix="check the path after `use:`")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def _running(folder: Path, name: str, entry: Entry) -> Running:
    return Running(
        name, entry.pid or 0, entry.host, entry.port, entry.model_digest, entry.settings_digest, entry.since,
        entry.is_healthy(), ledger.log_of(folder, name),
    )  # fmt: skip


def _difference(now: Running | None, wanted: Wanted) -> str | None:
    if now is None:
        return "not running"
    if now.model_digest != wanted.model_digest:
        return f"model {now.model_digest[:12]} → {wanted.model_digest[:12]}"
    if wanted.port not in (0, now.port):
        return f"port {now.port} → {wanted.port}"
    if now.settings_digest != wanted.settings_digest:
        return "settings changed"
    return None if now.healthy else f"does not answer on {now.url}"


def _require_free_port(wanted: Wanted) -> None:
    if wanted.port != 0 and not is_free(wanted.host, wanted.port):
        owner = owner_of(wanted.port) or "another user"
        raise StageFailed(
            f"deployment:{wanted.name}: port {wanted.port} is in use by {owner}",
            fix="end that, or choose another: `with: {port: …}`; 0 takes any that is free",
        )


def _refuse_other_hosts(wanted: Wanted) -> None:
    if wanted.host not in ("127.0.0.1", "localhost"):
        raise UsageError(
            f"deployment:{wanted.name}: host {wanted.host} is not this machine alone",
            fix="servers are bound to 127.0.0.1; put a proxy with authentication before it to share it",
        )


def _waiting(name: str) -> str:
    return f"waiting for another command that acts on deployment:{name}"
