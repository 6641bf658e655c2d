"""Commands as they really run: processes, environment, output, progress, failure."""

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from spark_build.contract import Context
from spark_build.contract.command import CommandParams, run_command
from spark_build.core.errors import StageFailed, Unavailable, UsageError
from spark_build.metrics.command import Command as MetricCommand
from spark_build.metrics.command import Params as MetricParams
from spark_build.packaging.command import Command as ExporterCommand
from spark_build.packaging.command import Params as ExporterParams
from spark_build.recipes.command import Command as RecipeCommand
from spark_build.recipes.command import Params as RecipeParams


@dataclass
class Heard:
    """A reporter that keeps what it was told."""

    progressed: list[tuple[int, int | None]] = field(default_factory=list)
    metrics: list[tuple[str, float, int | None]] = field(default_factory=list)

    def progress(self, done: int, total: int | None, unit: str = "items") -> None:
        self.progressed.append((done, total))

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        self.metrics.append((name, value, step))

    def log(self, text: str) -> None: ...

    def checkpoint(self, step: int) -> None: ...

    def note(self, name: str, value: Any) -> None: ...


@pytest.fixture
def context(tmp_path: Path) -> Context:
    for name in ("project dir", "output", "scratch", "in put"):
        (tmp_path / name).mkdir()
    return Context(
        inputs={"raw": tmp_path / "in put"},
        output=tmp_path / "output",
        scratch=tmp_path / "scratch",
        report=Heard(),
        seed=7,
        base_dir=tmp_path / "project dir",
    )


def run(context: Context, run: str | list[str], **params: Any) -> None:
    run_command(CommandParams(run=run, **params), context, context.output)


def test_placeholders_become_paths_and_values_that_the_shell_takes_whole(context: Context) -> None:
    run(
        context,
        "printf '%s\\n' {inputs.raw} {params.text} {params.deep.lr} {params.on} {scratch} {seed} >{output}/o",
        params={"text": "it's $HOME; `x`", "deep": {"lr": 1e-4}, "on": True},
    )
    lines = (context.output / "o").read_text().splitlines()
    expected = [str(context.inputs["raw"]), "it's $HOME; `x`", "0.0001", "true", str(context.scratch), "7"]
    assert lines == expected


def test_a_list_runs_without_a_shell(context: Context) -> None:
    code = "import sys; open(sys.argv[1] + '/out', 'w').write(sys.argv[2])"
    run(context, [sys.executable, "-c", code, "{output}", "$HOME *"])
    assert (context.output / "out").read_text() == "$HOME *"


def test_it_runs_in_the_sparkfile_s_folder(context: Context) -> None:
    run(context, "pwd -P > {output}/out")
    assert (context.output / "out").read_text().strip() == str(context.base_dir.resolve())


def test_it_sees_only_what_is_fixed_and_what_it_names(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAMED", "yes")
    monkeypatch.setenv("UNNAMED", "no")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    run(context, "env > {output}/out", env=["NAMED", "NOT_SET"])
    seen = dict(line.split("=", 1) for line in (context.output / "out").read_text().splitlines())
    assert seen["NAMED"] == "yes"
    assert (seen["TZ"], seen["LC_ALL"], seen["CUDA_VISIBLE_DEVICES"]) == ("UTC", "C.UTF-8", "")
    assert not {"UNNAMED", "NOT_SET"} & set(seen)


def test_a_secret_reaches_the_command_and_never_the_log(
    context: Context, capfd: pytest.CaptureFixture[str]
) -> None:
    context.secrets = {"TOKEN": "hunter2-long"}
    script = (
        "printf %s \"$TOKEN\" > {output}/out; printf 'a hunter2'; sleep 0.4; echo -long b; echo $TOKEN >&2"
    )
    run(context, script, secrets=["TOKEN"])
    assert (context.output / "out").read_text() == "hunter2-long"
    assert capfd.readouterr().out == "a *** b\n***\n"


def test_a_secret_that_is_not_set_is_named(context: Context) -> None:
    with pytest.raises(Unavailable, match="the secret TOKEN is not set"):
        run(context, "true {output}", secrets=["TOKEN"])


def test_a_failed_command_shows_what_it_was_and_its_last_words(
    context: Context, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StageFailed) as failed:
        run(context, "echo first; echo 'no such column' >&2; exit 3; {output}")
    assert failed.value.message == (
        "the command ended with exit code 3: echo first; echo 'no such column' >&2; exit 3; {output}\n"
        "first\nno such column"
    )
    assert capfd.readouterr().out == "first\nno such column\n"


@pytest.mark.parametrize(
    "script",
    ["kill -9 $$; {output}", [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)", "{output}"]],
)
def test_a_command_that_was_killed_says_by_what(context: Context, script: str | list[str]) -> None:
    with pytest.raises(
        StageFailed, match=r"the command was killed by SIGKILL: .*\n  fix: .* run out of memory"
    ):
        run(context, script)


def test_a_program_that_is_not_there_is_named(context: Context) -> None:
    with pytest.raises(StageFailed, match=r"no-such-tool: No such file or directory\n  fix: its first word"):
        run(context, ["no-such-tool", "{output}"])
    with pytest.raises(
        StageFailed, match=r"exit code 127.*\n(.|\n)*fix: a program that it calls is not on PATH"
    ):
        run(context, "no-such-tool {output}")


def test_a_child_left_in_the_background_does_not_hold_the_stage(context: Context) -> None:
    began = time.monotonic()
    run(context, "sleep 30 & echo $! > {output}/pid")
    took = time.monotonic() - began
    import os
    import signal

    os.kill(int((context.output / "pid").read_text()), signal.SIGKILL)
    assert took < 10


def test_a_role_that_the_target_does_not_give_is_named_before_the_run(context: Context) -> None:
    with pytest.raises(
        UsageError, match=r"\{inputs\.prefs\} is no input of this command\n  fix: .*there are raw"
    ):
        run(context, "touch {output}/ran {inputs.prefs}")
    assert not (context.output / "ran").exists()


@pytest.mark.parametrize("place", ["{output}/", "{scratch}/", ""])
def test_a_progress_file_is_followed_wherever_it_is_written(context: Context, place: str) -> None:
    (context.scratch / "log.jsonl").write_text('{"step": 99, "loss": 9}\n')  # of an attempt before
    lines = [
        '{"step": 1, "total": 2, "loss": 0.5}',
        "no JSON",
        '{"step": 2, "total": 2, "loss": 0.25, "ok": true}',
    ]
    script = "; ".join(f"echo '{line}' >> {place}log.jsonl" for line in lines) + "; : {output}"
    run(context, script, progress="log.jsonl")
    heard = context.report
    assert isinstance(heard, Heard)
    assert heard.progressed == [(1, 2), (2, 2)]
    assert heard.metrics == [("loss", 0.5, 1), ("loss", 0.25, 2)]
    assert not (context.output / "log.jsonl").exists()  # a report on the run is no part of its result


def test_progress_is_heard_while_the_command_runs(context: Context) -> None:
    heard_at: list[float] = []
    report = context.report
    assert isinstance(report, Heard)
    object.__setattr__(report, "progress", lambda *_, **__: heard_at.append(time.monotonic()))
    run(context, "echo '{\"step\": 1}' > {scratch}/p.jsonl; sleep 1.5; : {output}", progress="p.jsonl")
    assert time.monotonic() - heard_at[0] > 0.7


def test_a_recipe_s_output_is_the_model(context: Context) -> None:
    RecipeCommand(RecipeParams(run="echo w > {output}/weights")).train(context)
    assert (context.output / "model" / "weights").read_text() == "w\n"


def test_a_recipe_that_writes_nothing_has_failed(context: Context) -> None:
    with pytest.raises(StageFailed, match=r"the command wrote no file to \{output\}"):
        RecipeCommand(RecipeParams(run="echo {output}")).train(context)


def test_a_metric_gives_the_figures_that_it_wrote(context: Context) -> None:
    rule = MetricCommand(MetricParams(run='echo \'{"wer": 0.25, "n": 3}\' > {output}/metrics.json'))
    assert rule.evaluate(context) == {"wer": 0.25, "n": 3.0}
    assert not (context.output / "metrics.json").exists()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "metrics.json is not JSON: "),
        ("[1]", "metrics.json holds no object with figures"),
        ('{"f1": {"a": 1}}', 'metrics.json: f1 is {"a": 1}\n  fix: finite numbers alone, not nested'),
        ('{"f1": NaN}', "metrics.json: f1 is NaN\n  fix: finite numbers alone, not nested"),
        ('{"f1": "0.9"}', 'metrics.json: f1 is "0.9"'),
        ('{"ok": true}', "metrics.json: ok is true"),
    ],
)
def test_a_metric_that_writes_no_figures_has_failed(context: Context, written: str, message: str) -> None:
    (context.base_dir / "given").write_text(written)
    with pytest.raises(StageFailed) as failed:
        MetricCommand(MetricParams(run="cp given {output}/metrics.json")).evaluate(context)
    assert str(failed.value).startswith(message)


def test_a_metric_never_takes_the_figures_of_another_command(context: Context) -> None:
    (context.output / "metrics.json").write_text(json.dumps({"wer": 1}))
    with pytest.raises(StageFailed, match=r"wrote no \{output\}/metrics\.json"):
        MetricCommand(MetricParams(run="true {output}")).evaluate(context)


def test_an_exporter_packs_the_model_into_its_output(context: Context, tmp_path: Path) -> None:
    (tmp_path / "in put" / "weights").write_text("w")
    context.inputs = {"model": tmp_path / "in put"}
    ExporterCommand(ExporterParams(run="cp {inputs.model}/weights {output}/packed")).export(context)
    assert (context.output / "packed").read_text() == "w"
