"""What is uploaded beside a stage that runs is told while it runs, by the thread that builds."""

import threading
from itertools import pairwise

import pytest

from spark_build.app import Project
from spark_build.app.building import Silent
from spark_build.engine.results import StageResult
from tests.remote.conftest import Team

SPARKFILE = """\
store: {{remote: "s3://{bucket}/team"}}
environment: {{hermetic: off}}
targets:
  large: {{recipe: {{use: command, with: {{run: "head -c 40000000 /dev/urandom > {{output}}/x"}}}}}}
  slow:
    recipe:
      use: command
      with: {{run: "test -s {{inputs.large}}/x && sleep 3 && date > {{output}}/y", inputs: {{large: "model:large"}}}}
"""


class Listening(Silent):
    def __init__(self) -> None:
        self.heard: list[tuple[str, int, int]] = []
        self.threads: set[threading.Thread] = set()
        self.before_slow_ended = 0

    def uploading(self, stage: str, done: int, total: int) -> None:
        self.threads.add(threading.current_thread())
        self.heard.append((stage, done, total))

    def finished(self, result: StageResult) -> None:
        if result.stage == "model:slow/train":
            self.before_slow_ended, self.threads_before = len(self.heard), set(self.threads)


def test_an_upload_is_told_while_a_later_stage_runs(
    quick_team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in quick_team.service.environment.items():
        monkeypatch.setenv(name, value)
    project = quick_team.project()
    project.sparkfile(SPARKFILE.format(bucket=quick_team.bucket))
    listening = Listening()
    assert Project(project.path).build(listener=listening).exit_code == 0
    early = listening.heard[: listening.before_slow_ended]
    assert {stage for stage, _, _ in early} == {"model:large/train"}
    assert early[-1][1] == early[-1][2] >= 40_000_000
    assert all(now >= before for (_, before, _), (_, now, _) in pairwise(early))
    assert listening.threads_before == {threading.main_thread()}
