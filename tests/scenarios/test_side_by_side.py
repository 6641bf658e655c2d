"""Commands side by side in one project: none takes back what another wrote meanwhile."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from spark_build import Project
from spark_build.app.tagging import delete_tag, put_tag
from spark_build.core.address import Address
from spark_build.core.errors import UsageError
from spark_build.pinning import Lock
from spark_build.storage.journal import BuildEntry, Journal
from spark_build.storage.runs import Run, Runs
from spark_build.storage.state import State
from tests.spark import Folder

FAST, SLOW = "model:fast/train", "model:slow/train"


@pytest.fixture
def models(folder: Folder) -> Folder:
    slow = (
        f"touch {folder.path}/began; until [ -e {folder.path}/go ]; do sleep 0.05; done; echo > {{output}}/x"
    )
    folder.sparkfile(f"""\
environment: {{hermetic: off}}
recipes:
  slow: {{use: command, with: {{run: "{slow}"}}}}
  fast: {{use: command, with: {{run: "echo {{params.v}} > {{output}}/x", params: {{v: 2}}}}}}
targets:
  slow: {{recipe: slow}}
  fast: {{recipe: fast}}
""")
    return folder


@contextmanager
def while_slow_builds(folder: Folder) -> Iterator[Project]:
    building = folder.start("build", "model:slow")
    while not (folder.path / "began").exists():
        assert building.poll() is None
    yield Project(folder.path)
    folder.write("go", "")
    _, said = building.communicate(timeout=60)
    assert building.returncode == 0, said


def test_a_build_that_ends_keeps_what_others_wrote_to_the_lock(models: Folder) -> None:
    before = Project(models.path)
    before.build("model:fast")
    put_tag(before, Address.parse("model:fast@goes"))
    with while_slow_builds(models) as project:
        put_tag(project, Address.parse("model:fast@stays"))
        delete_tag(project, Address.parse("model:fast@goes"))
        models.edit("v: 2", "v: 3")
        project.build("model:fast")
        now = project.lock.get("stages", FAST)
    lock = Lock.load(models.path / "Sparkfile.lock")
    assert lock.names("tags") == ["model:fast@stays"]
    assert lock.get("stages", FAST) == now
    assert lock.get("stages", SLOW) is not None
    assert not [path.name for path in models.path.iterdir() if path.name.startswith(".Sparkfile")]
    models.edit("v: 3", "v: 4")
    (reason, *_) = Project(models.path).plan("model:fast")[FAST].reasons
    assert (reason.kind, reason.old, reason.new) == ("param", 3, 4)


def test_a_tag_that_two_set_at_once_is_refused_to_the_later(tmp_path: Path) -> None:
    file, turn = tmp_path / "Sparkfile.lock", str(tmp_path / "turn")
    one, other = Lock.load(file), Lock.load(file)
    one.put("tags", "model:m@prod", {"key": "a", "output": "b"})
    one.save(file, turn)
    other.put("tags", "model:m@prod", {"key": "c", "output": "d"})
    with pytest.raises(UsageError, match="another"):
        other.save(file, turn)
    assert Lock.load(file).tag("model:m@prod") == {"key": "a", "output": "b"}


def test_a_lock_without_news_is_neither_read_nor_written(tmp_path: Path) -> None:
    file = tmp_path / "Sparkfile.lock"
    lock = Lock.load(file)
    lock.put("pins", "hub:a/b", {"revision": "c"})
    assert lock.save(file, str(tmp_path / "turn"))
    file.write_text("of another")
    assert not lock.save(file, str(tmp_path / "no/turn"))
    assert file.read_text() == "of another"
    assert not (tmp_path / "no").exists()


def test_two_journals_of_one_project_keep_each_other_s_keys(tmp_path: Path) -> None:
    states = [State(tmp_path / "state.db") for _ in range(3)]
    journals = [Journal(tmp_path / "builds", state) for state in states]
    assert [journal.last("a") for journal in journals] == [None] * 3
    for journal, state, stage in zip(journals, states, "abc", strict=True):
        journal.write(
            BuildEntry(f"id-{stage}", "2026", 1.0, "spark build", 0, stages={stage: {"key": f"k{stage}"}})
        )
        state.flush()
    last = Journal(tmp_path / "builds", State(tmp_path / "state.db"))
    assert [last.last(stage) for stage in "abc"] == ["ka", "kb", "kc"]


def test_two_builds_of_one_run_keep_each_other_s_stages(tmp_path: Path) -> None:
    def put(stage: str) -> None:
        Runs(tmp_path).put(Run("f" * 64, None, (), 1, "2026", {stage: f"k{stage}"}))

    with ThreadPoolExecutor(8) as together:
        list(together.map(put, map(str, range(40))))
    (run,) = Runs(tmp_path).all()
    assert len(run.stages) == 40
