"""What a stage in Python reads and calls without declaring it: warned of, refused under `hermetic: strict`."""

import os
import py_compile
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from spark_build.core.job import Job, JobStep
from spark_build.executors.audit import UndeclaredAccess, watching
from spark_build.executors.hermetic import MOST_NAMED, Allowance, Undeclared
from spark_build.executors.undeclared import allowance_of


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("data/a.txt", "lookup.txt", "helper.py", ".spark/objects/x"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    return tmp_path


def allowance(project: Path, *, hosts: tuple[str, ...] = (), is_strict: bool = False) -> Allowance:
    return Allowance.of(str(project), ["data", "helper.py"], hosts, is_strict=is_strict, store=".spark")


def files_of(seen: Undeclared) -> list[str]:
    return list(seen.files)


@pytest.mark.parametrize("name", ["data/a.txt", "helper.py", ".spark/objects/x"])
def test_what_is_declared_may_be_read(project: Path, name: str) -> None:
    with watching(allowance(project, is_strict=True)) as seen:
        (project / name).read_text()
    assert not seen


def test_another_project_file_is_noted_by_its_path_in_the_project(project: Path) -> None:
    with watching(allowance(project)) as seen:
        (project / "lookup.txt").read_text()
    assert files_of(seen) == ["lookup.txt"]


def test_under_strict_it_can_not_be_opened(project: Path) -> None:
    with watching(allowance(project, is_strict=True)), pytest.raises(UndeclaredAccess, match=r"lookup\.txt"):
        (project / "lookup.txt").read_text()


def test_a_relative_path_counts_from_the_working_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "data")
    with watching(allowance(project)) as seen, open("../lookup.txt"):
        pass
    assert files_of(seen) == ["lookup.txt"]


def test_a_link_outside_of_the_inputs_is_told_and_one_into_them_is_not(project: Path) -> None:
    (project / "alias.txt").symlink_to("data/a.txt")
    (project / "data" / "way-out.txt").symlink_to("../lookup.txt")
    with watching(allowance(project)) as seen:
        (project / "alias.txt").read_text()
        (project / "data" / "way-out.txt").read_text()
    assert not seen  # the link itself lies in a declared folder: its target is part of the folder's digest


def test_a_link_that_a_stage_makes_counts_as_what_it_leads_to(project: Path) -> None:
    link = project / ".spark" / "work" / "scratch" / "link"
    link.parent.mkdir(parents=True)
    link.symlink_to(project / "lookup.txt")
    with watching(allowance(project)) as seen:
        link.read_text()
    assert files_of(seen) == ["lookup.txt"]


def test_a_link_from_outside_of_the_project_counts_as_what_it_leads_to(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    link = tmp_path_factory.mktemp("outside") / "link"
    link.symlink_to(project)
    with watching(allowance(project)) as seen:
        (link / "lookup.txt").read_text()
        (link / "data" / "a.txt").read_text()
    assert files_of(seen) == ["lookup.txt"]


def test_what_leads_into_the_project_is_not_outside_of_it_declared_or_not(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("system")
    (elsewhere / "link.txt").symlink_to(project / "data" / "a.txt")
    (elsewhere / "own.txt").write_text("x")
    judge = allowance(project).is_outside
    assert judge(str(elsewhere / "own.txt"))
    assert judge(str(elsewhere / "is-not-there.txt"))
    assert not judge(str(elsewhere / "link.txt"))
    assert not judge(str(project / "data" / "a.txt"))
    assert not judge(f"{elsewhere}/../{os.path.relpath(project / 'lookup.txt', elsewhere.parent)}")


def test_an_input_laid_out_as_a_link_into_the_store_may_be_read(project: Path) -> None:
    link = project / ".spark" / "work" / "inputs"
    link.parent.mkdir(parents=True)
    link.symlink_to(project / ".spark" / "objects")
    with watching(allowance(project, is_strict=True)) as seen:
        (link / "x").read_text()
    assert not seen


def test_what_python_compiled_counts_as_its_source(project: Path) -> None:
    (project / "other.py").write_text("")
    compiled = [py_compile.compile(str(project / name), optimize=2) for name in ("other.py", "helper.py")]
    with watching(allowance(project)) as seen:
        for path in compiled:
            Path(path or "").read_bytes()
    assert files_of(seen) == ["other.py"]


def test_writing_is_no_reading(project: Path) -> None:
    with watching(allowance(project)) as seen, open(project / "lookup.txt", "w") as file:
        file.write("new")
    assert not seen


def test_a_file_that_is_not_there_was_not_read(project: Path) -> None:
    with watching(allowance(project)) as seen, pytest.raises(FileNotFoundError):
        (project / "absent.txt").read_text()
    assert not seen


def test_a_database_that_a_library_opens_is_seen(project: Path) -> None:
    sqlite3.connect(project / "facts.db").execute("CREATE TABLE t (a)").connection.close()
    with watching(allowance(project)) as seen:
        sqlite3.connect(project / "facts.db").close()
    assert files_of(seen) == ["facts.db"]


def test_an_environment_inside_the_project_is_no_project_file(project: Path) -> None:
    module = project / ".venv" / "lib" / "tool.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    (project / ".venv" / "pyvenv.cfg").write_text("")
    with watching(allowance(project)) as seen:
        module.read_text()
    assert not seen


def test_reads_of_other_threads_are_seen(project: Path) -> None:
    with watching(allowance(project)) as seen:
        thread = threading.Thread(target=(project / "lookup.txt").read_text)
        thread.start()
        thread.join()
    assert files_of(seen) == ["lookup.txt"]


def test_nothing_is_noted_after_the_stage(project: Path) -> None:
    with watching(allowance(project)) as seen:
        pass
    (project / "lookup.txt").read_text()
    assert not seen


def test_many_files_are_named_in_part_and_counted(project: Path) -> None:
    seen = Undeclared(f"{n:03}" for n in range(MOST_NAMED + 7))
    assert seen.to_json() == {"files": [f"{n:03}" for n in range(MOST_NAMED)], "more_files": 7}


# the network


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server in another session, as a server of this machine is."""
    ready, told = os.pipe()
    server = os.fork()
    if server == 0:
        os.setsid()
        listening = socket.create_server(("127.0.0.1", 0))
        os.write(told, str(listening.getsockname()[1]).encode())
        threading.Event().wait()
    yield int(os.read(ready, 16))
    os.kill(server, 9)
    os.waitpid(server, 0)


def test_a_host_that_is_not_named_is_noted(project: Path, port: int) -> None:
    with watching(allowance(project)) as seen:
        socket.create_connection(("127.0.0.1", port)).close()
    assert list(seen.hosts) == [f"127.0.0.1:{port}"]


def test_under_strict_it_is_not_called(project: Path, port: int) -> None:
    with (
        watching(allowance(project, is_strict=True)),
        pytest.raises(UndeclaredAccess, match="hermetic: strict"),
    ):
        socket.create_connection(("127.0.0.1", port))


def test_a_host_that_is_named_may_be_called(project: Path, port: int) -> None:
    with watching(allowance(project, hosts=("127.0.0.1",), is_strict=True)) as seen:
        socket.create_connection(("127.0.0.1", port)).close()
    assert not seen


def test_a_stage_may_talk_to_itself(project: Path) -> None:
    with watching(allowance(project, is_strict=True)) as seen, socket.create_server(("127.0.0.1", 0)) as own:
        socket.create_connection(own.getsockname()).close()
    assert not seen


def test_a_name_is_judged_when_it_is_looked_up(project: Path) -> None:
    with watching(allowance(project, hosts=("example.org",))) as seen:
        for name in ("api.example.org", "elsewhere.invalid"):
            with pytest.raises(socket.gaierror):
                socket.getaddrinfo(name, 443)
    assert list(seen.hosts) == ["elsewhere.invalid"]


# what a job declares


def job(project: Path, **rest: object) -> Job:
    step = JobStep(
        "r", "m:R", {"url": "https://data.example.com/x.csv", "deep": [{"server": "10.0.0.7:80"}]}, "0"
    )
    folders = {"output": "o", "scratch": "s", "events": "e", "result": "r", "store": str(project / ".spark")}
    return Job("s", "filter", "0" * 64, {}, (step,), {}, project=str(project), **{**folders, **rest})  # type: ignore[arg-type]


def test_hosts_in_params_are_named(project: Path) -> None:
    found = allowance_of(job(project), {})
    assert found is not None
    assert found.hosts == ("10.0.0.7", "data.example.com")


def test_a_host_in_a_variable_that_the_rule_names_is_named(project: Path) -> None:
    found = allowance_of(
        job(project, env=("ENDPOINT",)), {"ENDPOINT": "http://minio.local:9000", "OTHER": "a.b.com"}
    )
    assert found is not None
    assert found.is_named("minio.local")
    assert not found.is_named("a.b.com")


def test_off_looks_at_nothing(project: Path) -> None:
    assert allowance_of(job(project, hermetic="off"), {}) is None
