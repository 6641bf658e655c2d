"""Deployments as processes: real servers (tests/support/small_server.py), real ports, real signals."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spark_build.core.errors import StageFailed, UsageError
from spark_build.serving import ledger, processes, runtime
from spark_build.serving.runtime import Wanted
from tests.ports import free_port

SERVER = "small_server:SmallServer"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "deployments"
    for path in (tmp_path / "deployments").glob("*.json"):
        runtime.down(tmp_path / "deployments", path.stem)


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    (tmp_path / "model").mkdir()
    return Wanted("chat", SERVER, {}, tmp_path / "model", "a" * 64, "settings", port=free_port())


def up(folder: Path, wanted: Wanted, **behaviour: Any) -> runtime.Running:
    asked = replace(wanted, params={**wanted.params, **behaviour})
    return runtime.up(folder, asked, timeout_seconds=20)


def told(running: runtime.Running) -> Any:
    return ledger.get(running.host, running.port, "/health")[1].get("model_digest")


def processes_of(folder: Path, name: str = "chat") -> list[processes.Process]:
    return [
        p
        for entry in ledger.read(folder, name).entries
        for p in processes.members(entry.process, entry.token)
    ]


def in_another_process(code: str, folder: Path, wanted: Wanted) -> "subprocess.Popen[str]":
    """`code` sees runtime, folder and wanted."""
    fields = {**vars(wanted), "model": str(wanted.model)}
    head = (
        "import json, sys; from pathlib import Path; from spark_build.serving import runtime\n"
        f"folder, fields = Path({str(folder)!r}), json.loads({json.dumps(fields)!r})\n"
        "wanted = runtime.Wanted(**{**fields, 'model': Path(fields['model'])})\n"
    )
    paths = os.pathsep.join(p for p in sys.path if p)
    return subprocess.Popen(
        [sys.executable, "-c", head + code],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_up_starts_the_server_and_it_has_answered(folder: Path, wanted: Wanted) -> None:
    running = up(folder, wanted)
    assert running.healthy
    assert (running.port, told(running)) == (wanted.port, wanted.model_digest)
    assert runtime.state(folder, "chat") == running


def test_a_second_up_does_nothing(folder: Path, wanted: Wanted) -> None:
    events: list[str] = []
    first = up(folder, wanted)
    assert runtime.up(folder, wanted, on_event=events.append) == first
    assert events == []


def test_another_model_takes_the_place_on_the_same_port(folder: Path, wanted: Wanted) -> None:
    first = up(folder, wanted)
    second = up(folder, replace(wanted, model_digest="b" * 64))
    assert (second.port, told(second)) == (first.port, "b" * 64)
    assert processes.Process.of(first.pid) is None


def test_changed_settings_start_it_anew(folder: Path, wanted: Wanted) -> None:
    first = up(folder, wanted)
    assert up(folder, replace(wanted, settings_digest="others")).pid != first.pid


def test_a_server_that_fails_to_start_gives_the_one_before_its_place_back(
    folder: Path, wanted: Wanted
) -> None:
    up(folder, wanted)
    with pytest.raises(
        StageFailed, match=r"ended before it answered\n  \| no such weights: layer 7"
    ) as failed:
        up(folder, replace(wanted, model_digest="b" * 64), behaviour="fails")
    now = runtime.state(folder, "chat")
    assert now is not None
    assert (now.healthy, told(now)) == (True, wanted.model_digest)
    assert str(ledger.log_of(folder, "chat")) in str(failed.value.fix)


def test_with_any_port_the_one_before_serves_until_the_new_one_has_answered(
    folder: Path, wanted: Wanted
) -> None:
    first = up(folder, replace(wanted, port=0))
    seen: dict[str, Any] = {}

    def look(text: str) -> None:
        seen[text.split()[0]] = told(first)

    second = runtime.up(
        folder, replace(wanted, port=0, model_digest="b" * 64, params={"start_seconds": 0.5}), on_event=look
    )
    assert seen == {"starting": wanted.model_digest, "answers": None}
    assert told(second) == "b" * 64
    assert processes.Process.of(first.pid) is None


def test_a_port_in_use_is_named_with_its_owner(folder: Path, wanted: Wanted) -> None:
    with socket.create_server(("127.0.0.1", wanted.port)):
        with pytest.raises(
            StageFailed, match=f"port {wanted.port} is in use by process {os.getpid()} "
        ) as failed:
            up(folder, wanted)
        assert "`with: {port: …}`" in str(failed.value.fix)
    assert runtime.state(folder, "chat") is None


def test_a_server_that_never_answers_fails_and_leaves_nothing(folder: Path, wanted: Wanted) -> None:
    with pytest.raises(StageFailed, match=r"has not answered after 0\.5 s"):
        runtime.up(folder, replace(wanted, params={"behaviour": "never_answers"}), timeout_seconds=0.5)
    assert processes_of(folder) == []
    assert runtime.state(folder, "chat") is None


def test_a_stranger_who_takes_the_port_meanwhile_is_not_taken_for_the_server(
    folder: Path, wanted: Wanted
) -> None:
    strangers: list[subprocess.Popen[bytes]] = []

    def take_the_port(text: str) -> None:
        command = ["-m", "small_server", "model", "127.0.0.1", str(wanted.port), "serves", "0"]
        paths = os.pathsep.join(p for p in sys.path if p)
        env = {**os.environ, "PYTHONPATH": paths, "SPARK_MODEL_DIGEST": wanted.model_digest}
        strangers.append(subprocess.Popen([sys.executable, *command], env=env))

    slow = replace(wanted, params={"start_seconds": 2.0})
    try:
        with pytest.raises(StageFailed, match="ended before it answered"):
            runtime.up(folder, slow, on_event=take_the_port)
        assert strangers[0].poll() is None
    finally:
        for stranger in strangers:
            stranger.kill()
            stranger.wait()


def test_a_host_beyond_this_machine_is_refused(folder: Path, wanted: Wanted) -> None:
    with pytest.raises(UsageError, match=r"host 0\.0\.0\.0 is not this machine alone"):
        up(folder, replace(wanted, host="0.0.0.0"))


def test_down_ends_children_too_whatever_they_left(folder: Path, wanted: Wanted) -> None:
    running = up(folder, wanted, behaviour="has_children")
    before = processes_of(folder)
    assert len(before) == 4
    assert runtime.down(folder, "chat")
    assert [p for p in before if p.is_alive()] == []
    assert ledger.get(running.host, running.port, "/health") == (None, {})


def test_down_of_what_does_not_run_says_so(folder: Path, wanted: Wanted) -> None:
    assert not runtime.down(folder, "chat")
    up(folder, wanted)
    assert runtime.down(folder, "chat")
    assert not runtime.down(folder, "chat")


def test_what_ignores_sigterm_is_killed(folder: Path, wanted: Wanted) -> None:
    up(folder, wanted, behaviour="ignores_sigterm")
    serving = ledger.read(folder, "chat").serving
    assert serving is not None
    assert processes.end(serving.process, serving.token, grace_seconds=0.3)
    assert not serving.is_alive()


def test_children_of_a_server_that_was_killed_are_ended_by_down(folder: Path, wanted: Wanted) -> None:
    running = up(folder, wanted, behaviour="has_children")
    before = processes_of(folder)
    os.kill(running.pid, signal.SIGKILL)
    assert wait_for(lambda: runtime.state(folder, "chat") is None)
    orphans = processes_of(folder)
    assert runtime.down(folder, "chat")
    assert [p for p in orphans if p.is_alive()] == []
    # the one that threw its environment away can't be told from a stranger's any more
    (left,) = (p for p in before if p.is_alive())
    assert len(orphans) == 2
    os.kill(left.pid, signal.SIGKILL)


def test_a_server_that_died_is_started_again(folder: Path, wanted: Wanted) -> None:
    first = up(folder, wanted)
    os.kill(first.pid, signal.SIGKILL)
    assert wait_for(lambda: runtime.needs_change(folder, wanted) == "not running")
    assert up(folder, wanted).pid != first.pid


def test_the_server_outlives_the_command_that_started_it(folder: Path, wanted: Wanted) -> None:
    command = in_another_process("runtime.up(folder, wanted)", folder, wanted)
    assert command.wait(20) == 0
    now = runtime.state(folder, "chat")
    assert now is not None
    assert now.healthy


def test_two_commands_at_once_start_one_server(folder: Path, wanted: Wanted) -> None:
    slow = replace(wanted, params={"start_seconds": 0.5})
    commands = [in_another_process("print(runtime.up(folder, wanted).pid)", folder, slow) for _ in range(2)]
    pids = {command.communicate(timeout=20)[0].strip() for command in commands}
    assert len(pids) == 1
    assert len(processes_of(folder)) == 1


def test_a_command_killed_while_it_starts_a_server_leaves_none_behind(folder: Path, wanted: Wanted) -> None:
    never = replace(wanted, params={"behaviour": "never_answers"})
    command = in_another_process("runtime.up(folder, wanted)", folder, never)
    assert wait_for(lambda: processes_of(folder) != [])
    command.kill()
    command.communicate()
    begun = processes_of(folder)
    assert up(folder, wanted).healthy
    assert [p for p in begun if p.is_alive()] == []


def test_a_later_process_with_the_same_number_is_not_taken_for_the_server(
    folder: Path, wanted: Wanted
) -> None:
    up(folder, wanted)
    runtime.down(folder, "chat")
    other = subprocess.Popen(["sleep", "60"])
    try:
        note(folder, wanted, pid=other.pid, started=1)
        assert runtime.state(folder, "chat") is None
        runtime.down(folder, "chat")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"model_digest": "b" * 64}, "model aaaaaaaaaaaa → bbbbbbbbbbbb"),
        ({"settings_digest": "others"}, "settings changed"),
        ({"port": 1}, "port {port} → 1"),
        ({"port": 0}, None),
    ],
)
def test_needs_change_says_why(
    folder: Path, wanted: Wanted, changed: dict[str, Any], reason: str | None
) -> None:
    up(folder, wanted)
    expected = None if reason is None else reason.format(port=wanted.port)
    assert runtime.needs_change(folder, replace(wanted, **changed)) == expected


def test_a_server_that_hangs_needs_a_change(
    folder: Path, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "HEALTH_SECONDS", 0.3)
    running = up(folder, wanted)
    os.kill(running.pid, signal.SIGSTOP)
    assert runtime.needs_change(folder, wanted) == f"does not answer on {running.url}"
    os.kill(running.pid, signal.SIGCONT)


def test_a_name_with_dots_has_files_of_its_own(folder: Path, wanted: Wanted) -> None:
    up(folder, replace(wanted, name="chat.v1.0"))
    assert runtime.state(folder, "chat.v1.0") is not None
    assert runtime.state(folder, "chat") is None


def test_a_damaged_note_counts_as_none(folder: Path) -> None:
    folder.mkdir()
    (folder / "chat.json").write_text('{"serving": {"pid": ')
    assert runtime.state(folder, "chat") is None


def test_asking_imports_no_heavy_library(folder: Path, wanted: Wanted) -> None:
    code = (
        "assert runtime.needs_change(folder, wanted) == 'not running'\n"
        "heavy = {'pydantic', 'torch', 'transformers', 'http.client', 'subprocess', 'asyncio', 'starlette'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert in_another_process(code, folder, wanted).communicate()[0].strip() == "[]"


def note(folder: Path, wanted: Wanted, pid: int, started: int) -> None:
    process = processes.Process(pid, started, processes.boot_id())
    entry = ledger.Entry(
        "token", process, SERVER, {}, str(wanted.model), wanted.model_digest, wanted.settings_digest,
        "127.0.0.1", wanted.port, "2026-01-01T00:00:00Z",
    )  # fmt: skip
    ledger.write(folder, "chat", ledger.Noted(entry))


def wait_for(condition: Any, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())
