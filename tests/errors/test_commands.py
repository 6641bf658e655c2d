"""A user's own commands that go wrong: the command, how it ended, what it said."""

import pytest

from tests.errors.told import assert_is_plain, errors, failed, left_in_work, refused
from tests.spark import Folder

INGEST = "dataset:d/ingest"


def source(folder: Folder, run: str, more: str = "") -> None:
    folder.sparkfile(f"datasets:\n  d:\n    source: {{use: command, with: {{run: {run}{more}}}}}\n")


@pytest.mark.parametrize(
    ("run", "told", "fix"),
    [
        ('"nosuchtool {output}"', "the command ended with exit code 127: nosuchtool {output}\n/bin/sh: ",
         "a program that it calls is not on PATH"),
        ('[nosuchtool, "{output}"]', "the command can't be started: nosuchtool '{output}'\nnosuchtool: No such file",
         "its first word must be a program on PATH"),
        ('"echo half > {output}/a.md; echo oh >&2; exit 3"', "the command ended with exit code 3: ",
         "the log has all that it printed"),
        ('"echo half > {output}/a.md; kill -9 $$"', "the command was killed by SIGKILL: ",
         "the machine may have run out of memory"),
        ('"ls {output}"', "the command wrote no file to {output}", "write there: --out {output}"),
        ('"mkfifo {output}/pipe"', "the command wrote no file to {output}", "write there"),
        ('"ln -s /etc/hostname {output}/a.txt"', "a.txt is a link that leaves the folder (to /etc/hostname)",
         "copy the file there"),
        ('"yes {output} | head -c 9000000; exit 4"', "the command ended with exit code 4: ",
         "the log has all that it printed"),
    ],
)  # fmt: skip
def test_a_command_that_fails_says_how_and_leaves_no_half_result(
    folder: Folder, run: str, told: str, fix: str
) -> None:
    source(folder, run)
    ran = failed(folder)
    assert errors(ran)[INGEST].startswith(told)
    assert "\n  Sparkfile.yaml:5:5: " in ran.err
    assert f"\n  fix: {fix}" in ran.err
    assert len(ran.err) < 10_000
    assert left_in_work(folder) == {"scratch"}
    assert folder.states()[INGEST] == "run"


def test_what_a_command_said_last_stands_once_in_the_message(folder: Folder) -> None:
    source(folder, '"echo the reason {output} >&2; exit 3"')
    ran = failed(folder)
    assert ran.err.count("the reason /") == 1


@pytest.mark.parametrize(
    ("run", "more", "told"),
    [
        ('"exit 3"', "", "Sparkfile.yaml:5:13: run never says {output}\n  fix: tell the command to write there"),
        ('"cat {inputs.raw} > {output}/a"', "", "run: {inputs.raw} is no input of this command\n  fix: add it"),
        ('"cp {inputs.raw} {output}"', ", inputs: {raw: gone.txt}", "gone.txt: not there\n  fix: check the path"),
        ('"echo {params.lr} {output}"', "", "run: {params.lr} has no value\n  fix: add it under params:"),
        ('"echo hi > {output}/a"', ", tools: [nosuchtool]",
         "tool 'nosuchtool': not found on PATH\n"
         "  fix: install nosuchtool, or take out of the Sparkfile what asks for it"),
        ('"echo ${env.NOPE} > {output}/a"', "", "the environment variable NOPE is not set\n  fix: set it: export NOPE"),
        ('""', "", "run: nothing to run"),
    ],
)  # fmt: skip
def test_what_a_command_lacks_is_refused_before_it_runs(
    folder: Folder, run: str, more: str, told: str
) -> None:
    source(folder, run, more)
    ran = folder.spark("build", "--json", code=2)
    assert_is_plain(ran)
    assert ran.err.startswith("Sparkfile.yaml:5:")
    assert told in ran.err


def test_a_secret_that_is_not_set_is_a_failed_stage_and_the_plan_does_not_ask_for_it(folder: Folder) -> None:
    source(folder, '"echo words $TOKEN > {output}/a.md"', ", secrets: [TOKEN]")
    assert folder.states()[INGEST] == "run"
    ran = failed(folder)
    assert "secret TOKEN is not set" in errors(ran)[INGEST]
    assert "fix: export TOKEN=" in ran.err
    folder.env["TOKEN"] = "s3cr3t-words"
    ran = folder.build()
    assert "s3cr3t" not in ran.out + ran.err + folder.spark("log", INGEST, "--text").out


def test_what_a_failed_command_lacked_is_mended_and_the_same_command_goes_on(folder: Folder) -> None:
    source(folder, '"cat words.txt > {output}/a.md"')
    failed(folder)
    folder.write("words.txt", "here they are\n")
    assert INGEST in folder.build().ran


def test_two_wrong_sources_are_told_at_once(folder: Folder) -> None:
    folder.sparkfile(
        "datasets:\n  a: {source: gone}\n  b: {source: {use: command, with: {run: 'x {output}', tools: [nix]}}}\n"
    )
    told = refused(folder, "plan")
    assert "Sparkfile.yaml:4:15: gone: not there" in told
    assert "tool 'nix': not found on PATH" in told
