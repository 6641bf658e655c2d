"""Ctrl-C while the remote store is silent: what is under way there is not waited for, and what was built stands."""

import signal
import subprocess
import time

import pytest

from tests.remote.conftest import Team
from tests.services.fault_proxy import FaultProxy
from tests.services.faults import no_answer
from tests.spark import Folder

SILENT_SECONDS = 120.0
SOON_SECONDS = 30.0  # a request alone would take longer than this


def interrupted(
    folder: Folder, proxy: FaultProxy, what: str, *words: str
) -> "subprocess.CompletedProcess[str]":
    """The command, interrupted once it has made a request that is not answered."""
    proxy.forget()
    command = folder.start(*words)
    end = time.monotonic() + 60
    while not any(request.fault for request in proxy.requests):
        assert command.poll() is None, f"{what}: ended before: {command.communicate()}"
        assert time.monotonic() < end
        time.sleep(0.01)
    time.sleep(0.2)
    began = time.monotonic()
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=SILENT_SECONDS)
    assert time.monotonic() - began < SOON_SECONDS, err
    assert command.returncode == 130, err
    assert "Traceback" not in err
    return subprocess.CompletedProcess(words, command.returncode, out, err)


@pytest.fixture
def pair(quick_team: Team) -> tuple[Folder, Folder]:
    """One who has pushed all, and one who has nothing yet."""
    first = quick_team.project()
    first.build()
    return first, quick_team.clone(first)


@pytest.mark.parametrize(
    ("on", "key", "words"),
    [
        ("GetObject", "*", ("plan",)),
        ("GetObject", "*", ("store", "pull")),
        ("GetObject", "*/packs/*", ("build", "--json")),
        ("GetObject", "*/packs/*", ("get", "model:small", "--to", "out")),
    ],
)
def test_who_fetches_is_let_go(
    quick_team: Team, pair: tuple[Folder, Folder], on: str, key: str, words: tuple[str, ...]
) -> None:
    first, second = pair
    with FaultProxy(quick_team.service) as proxy:
        second.env.update({"AWS_ENDPOINT_URL": proxy.url, "SPARK_REMOTE_SECONDS": f"{SILENT_SECONDS}"})
        proxy.inject(no_answer(), on=on, key=key, times=None)
        interrupted(second, proxy, " ".join(words), *words)
    second.env["AWS_ENDPOINT_URL"] = first.env["AWS_ENDPOINT_URL"]
    assert not second.build().ran


def test_who_uploads_is_let_go_and_keeps_what_was_built(quick_team: Team) -> None:
    first = quick_team.project()
    direct = dict(first.env)
    with FaultProxy(quick_team.service) as proxy:
        first.env.update({"AWS_ENDPOINT_URL": proxy.url, "SPARK_REMOTE_SECONDS": f"{SILENT_SECONDS}"})
        first.spark("plan")
        proxy.inject(no_answer(), on="PutObject", key="*/packs/*", times=None)
        ended = interrupted(first, proxy, "build", "build", "--json", "dataset:notes")
    assert "spark store push" in ended.stderr
    first.env = direct
    assert set(first.build("dataset:notes").outcomes.values()) <= {"fresh", "ran"}
    first.spark("store", "push", "dataset:notes")
    assert not quick_team.clone(first).build("dataset:notes").ran
