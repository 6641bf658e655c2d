"""Wrong words on the command line: exit code 2, what is wrong, and what there is instead."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.errors.told import assert_is_plain, refused
from tests.spark import Folder, documents

SPARKFILE = """\
datasets:
  good: {source: good, splits: {train: 0.5, test: 0.5}, gates: [short]}
gates:
  short: {use: quality, with: {rules: [word_count], min_words: 3}}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A built dataset; the tests only ask."""
    folder = Folder(tmp_path_factory.mktemp("project"))
    folder.sparkfile(SPARKFILE)
    documents(folder, 10, name="good")
    folder.build()
    folder.spark("tag", "good@v1")
    return folder


NO_TARGET = "nothing here is called 'nix'\n  fix: there are dataset:good"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("bild", "spark: 'bild' is not known here\n  fix: did you mean 'build'?"),
        ("", "the following arguments are required: COMMAND\n  fix: spark --help"),
        ("build --what", "unrecognized arguments: --what\n  fix: spark --help"),
        ("build -j 0", "a whole number from 1 is meant, not '0'"),
        ("build -j x", "a whole number from 1 is meant, not 'x'"),
        ("build --limit 0", "a whole number from 1 is meant, not '0'"),
        ("plan --limit -3", "argument --limit: "),
        ("show good --limit 0", "a whole number from 1 is meant, not '0'"),
        ("graph --format png", "'png' is not known here\n  fix: there are text, dot, mermaid"),
        ("store", "the following arguments are required: ACTION"),
        ("store tidy", "'tidy' is not known here\n  fix: there are check, gc, push, pull, publish, policy"),
        ("why", "the following arguments are required: STAGE"),
        ("get good", "the following arguments are required: --to"),
        ("worker", "worker needs a job"),
        ("build nix", NO_TARGET),
        ("plan nix", NO_TARGET),
        ("plan -B nix", NO_TARGET),
        ("build -B nix", NO_TARGET),
        ("why nix", NO_TARGET),
        ("show nix", NO_TARGET),
        ("log nix", NO_TARGET),
        ("ls nix", NO_TARGET),
        ("status nix", NO_TARGET),
        ("graph nix", NO_TARGET),
        ("runs nix", NO_TARGET),
        ("get nix --to out", NO_TARGET),
        ("tag nix@v1", NO_TARGET),
        ("build goood", "nothing here is called 'goood'\n  fix: did you mean 'good'?"),
        ("build model:good", "fix: did you mean 'dataset:good'?"),
        ("build dataset:good/train", "'dataset:good' has no stage 'train'\n  fix: it has ingest, filter, version"),
        ("log good/train", "'dataset:good' has no stage 'train'"),
        ("build dataset:good/ingest/x", "'dataset:good/ingest/x' is no address"),
        ("up nix", "nothing here is called 'deployment:nix'"),
        ("up", "this Sparkfile declares no deployments"),
        ("down nix", "no deployment 'nix'"),
        ("update nix", "the Sparkfile names no 'nix'\n  fix: it names no hub id"),
        ("plan --profile nix", "no profile 'nix'"),
        ("plan --set nix=1", "--set nix: unknown key 'nix'"),
        ("plan --set nix", "--set nix: PATH=VALUE is expected"),
        ("plan --set =1", "PATH=VALUE is expected"),
        ("plan --set gates.short.with.min_wrds=2", "unknown key 'min_wrds' in gate 'short'\n  fix: did you mean 'min_"),
        ("plan --set datasets.good.source=nowhere", "--set datasets.good.source: nowhere: not there"),
        ("build --locked --set gates.short.with.min_words=2", "--locked goes with neither --profile, --set nor"),
        ("show good --split nix", "the dataset has no split 'nix'\n  fix: it has test, train"),
        ("why good nothere", "no item 'nothere' came into the dataset"),
        ("tag good", "'good' names no tag\n  fix: spark tag good@v1"),
        ("tag good@", "'good@' is no address"),
        ("tag --delete", "--delete of which tag?"),
        ("tag --delete good@v2", "no tag 'dataset:good@v2'\n  fix: there are dataset:good@v1"),
        ("get good@v9 --to out", "no tag 'good@v9'\n  fix: there are dataset:good@v1"),
        ("get good --to good", "good is there already and not empty"),
        ("get good --to Sparkfile.yaml", "Sparkfile.yaml is there already"),
        ("worker gone.json", "gone.json: No such file or directory"),
        ("worker Sparkfile.yaml", "Sparkfile.yaml is no job of this version"),
        ("worker good", "good: Is a directory"),
        ("-f other.yaml plan", "no other.yaml in "),
        ("-C nowhere plan", "nowhere is no folder"),
        ("-C nowhere doctor", "nowhere is no folder"),
        ("-C Sparkfile.yaml build", "Sparkfile.yaml is no folder"),
        ("-C Sparkfile.yaml init", "Sparkfile.yaml is no folder"),
        ("init", "Sparkfile.yaml is there already"),
    ],
)  # fmt: skip
def test_wrong_words_are_refused_with_what_there_is(built: Folder, words: str, told: str) -> None:
    assert told in refused(built, *words.split())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("get good --to Sparkfile.yaml/x", "a file stands where a folder is meant"),
        ("schema --out good", "good: is a folder\n  fix: name a file"),
        ("schema --out Sparkfile.yaml/x", "something is there already"),
    ],
)
def test_places_that_cant_be_written_are_named(built: Folder, words: str, told: str) -> None:
    assert told in refused(built, *words.split(), code=1)


def test_nothing_was_changed_by_all_that(built: Folder) -> None:
    assert {p.name for p in built.path.iterdir()} == {"Sparkfile.yaml", "Sparkfile.lock", "good", ".spark"}
    assert set(built.states().values()) == {"fresh"}


def test_a_tag_of_a_dataset_is_found_without_its_kind(built: Folder, tmp_path: Path) -> None:
    built.spark("get", "good@v1", "--to", str(tmp_path / "out"))
    assert (tmp_path / "out" / "README.md").exists()


def test_a_tag_is_not_moved_to_another_result(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE)
    documents(folder, 4, name="good")
    folder.build()
    folder.spark("tag", "good@v1")
    folder.write("good/more.md", "one more document of words\n")
    folder.build()
    assert "names another result already" in refused(folder, "tag", "good@v1")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("show good", "dataset:good/version is not built as the Sparkfile stands\n  fix: spark build good"),
        ("log good", "dataset:good/version has no log: it has not run here"),
        ("tag good@v1", "dataset:good/version is not built as the Sparkfile stands"),
    ],
)
def test_what_is_not_built_is_said_with_the_command_that_builds_it(
    folder: Folder, words: str, told: str
) -> None:
    folder.sparkfile(SPARKFILE)
    documents(folder, 1, name="good")
    assert told in refused(folder, *words.split(), code=1)


def test_a_lock_that_lacks_the_target_is_a_requirement_that_is_not_met(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE)
    documents(folder, 1, name="good")
    assert "Sparkfile.lock knows no 'good'" in refused(folder, "get", "good", "--to", "x", "--locked", code=4)
    assert "dataset:good/ingest: not in the lock" in refused(folder, "build", "--locked", code=4)


@pytest.mark.parametrize(
    "command", ["plan", "build", "check", "ls", "status", "runs", "up", "down", "update"]
)
def test_a_folder_without_a_sparkfile_says_how_to_begin(folder: Folder, command: str) -> None:
    told = refused(folder, command)
    assert told.startswith(f"no Sparkfile.yaml in {folder.path}\n  fix: spark init makes one")


def test_a_sparkfile_that_is_a_folder_is_named(folder: Folder) -> None:
    (folder.path / "Sparkfile.yaml").mkdir()
    assert refused(folder, "plan") == "Sparkfile.yaml is a folder\n  fix: -f FILE names another Sparkfile\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "Sparkfile.yaml:1:1: the file is empty"),
        (b"\xff\xfe\x00\x80", "Sparkfile.yaml:1:1: the file is not UTF-8: byte 0xff"),
        (b"\x00\x01", "Sparkfile.yaml:1:1: "),
        (b"version: 1\n  project: x\n", "Sparkfile.yaml:2:"),
        (b"[]\n", "Sparkfile.yaml:1:1: "),
    ],
)
def test_a_file_that_is_no_sparkfile_is_refused_with_its_place(
    folder: Folder, text: bytes, told: str
) -> None:
    folder.write("Sparkfile.yaml", text)
    assert told in refused(folder, "plan")


def test_check_json_lists_the_problems_on_standard_output(folder: Folder) -> None:
    folder.sparkfile("datasets: {d: {sauce: data}}\n")
    ran = folder.spark("check", "--json", code=2)
    assert_is_plain(ran)
    assert any("unknown key 'sauce'" in problem for problem in json.loads(ran.out)["problems"])


def test_a_sparkfile_without_targets_has_nothing_to_do(folder: Folder) -> None:
    folder.sparkfile("")
    for command in ("plan", "build", "status", "ls", "graph", "down", "update"):
        assert_is_plain(folder.spark(command))
    assert folder.build().lines == [
        {"event": "done", "ran": 0, "restored": 0, "fresh": 0, "failed": 0, "skipped": 0}
    ]


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("looked"))
    folder.sparkfile(SPARKFILE)
    documents(folder, 2, name="good")
    folder.build()
    subprocess.run(["git", "init", "-q"], cwd=folder.path, check=True)
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "plan", "status", "ls", "runs", "graph", "check", "doctor", "down", "update", "tag", "accept --list",
        "why dataset:good", "why dataset:good doc0000.md",
        "show dataset:good", "get dataset:good --to got", "store check", "lock setup", "verify dataset:good",
        "diff dataset:good dataset:good",
    ],
)  # fmt: skip
def test_json_is_one_object_on_standard_output(looked_at: Folder, command: str) -> None:
    ran = looked_at.spark(*command.split(), "--json", code=None)
    assert_is_plain(ran)
    assert json.loads(ran.out)["version"] == 1, ran.err


def test_what_is_refused_leaves_standard_output_empty_under_json_too(looked_at: Folder) -> None:
    ran = looked_at.spark("why", "dataset:good", "good/doc0000.md", "--json", code=2)
    assert_is_plain(ran)
    assert ran.out == ""


def test_a_remote_store_that_is_no_s3_url_is_refused(folder: Folder) -> None:
    folder.sparkfile(f"store: {{remote: 'ftp://bucket/x'}}\n{SPARKFILE}")
    documents(folder, 2, name="good")
    assert "Sparkfile.yaml:3:17: store.remote: 'ftp://bucket/x' is no S3 URL" in refused(folder, "plan")
    assert folder.states("--offline")


def test_long_work_is_asked_for_and_yes_runs_it(folder: Folder) -> None:
    folder.sparkfile(f"limits: {{ask_above: 0.1s}}\n{SPARKFILE}")
    documents(folder, 3, name="good")
    folder.build()
    documents(folder, 1, start=9, name="good")
    told = refused(folder, "build")
    assert "above limits.ask_above (0.1 s):" in told
    assert "dataset:good/ingest: good: 1 added (doc0009.md)" in told
    assert told.endswith("fix: --yes runs it all the same\n")
    assert "dataset:good/ingest" in folder.build("--yes").ran
