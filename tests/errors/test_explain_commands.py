"""Errors of `accept`, `diff` and plan files on the command line: where, what, fix."""

import pytest

from tests.errors.told import refused
from tests.spark import Folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("project"))
    folder.sparkfile(
        "targets:\n  a: {recipe: {use: command, with: {run: 'echo words > {output}/a'}}}\n"
        "deployments:\n  chat: {model: a, use: transformers_serve}\n"
    )
    folder.build()
    folder.write("notes.txt", "no plan\n")
    return folder


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["accept"], 2, "accept which stage?"),
        (["accept", "model:a/train"], 2, "an acceptance needs a reason"),
        (["accept", "model:a/train", "--reason", ""], 2, "an acceptance needs a reason"),
        (["accept", "model:a/train", "--reason", "so"], 2, "model:a/train is fresh: there is nothing to accept"),
        (["accept", "model:a", "--reason", "so"], 2, "'model:a' is no stage\n  fix: name one: model:a/train"),
        (["accept", "deployment:chat", "--reason", "so"], 2, "'deployment:chat' is a deployment"),
        (["accept", "--list", "model:a/train"], 2, "--list stands alone"),
        (["accept", "--revoke", "model:a/train"], 2, "nothing of model:a/train was accepted"),
        (["accept", "--revoke", "model:a/train", "--reason", "so"], 2, "--revoke takes only a stage"),
        (["diff", "@1", "nonsense"], 2, "'nonsense' is nothing that has results\n  fix: a build (`spark runs`;"),
        (["diff", "@1", "deployment:chat"], 2, "'deployment:chat' is a deployment"),
        (["diff", "@1", "@2"], 2, "no build '@2'\n  fix: spark runs lists them"),
        (["build", "--plan", "notes.txt"], 2, "notes.txt is no plan: it holds no JSON"),
        (["build", "--plan", "."], 2, ". is a folder, not a plan"),
        (["plan", "--locked", "--out", "p.json"], 2, "a plan file goes without --locked"),
        (["plan", "--out", "no/such/folder/p.json"], 2, "no/such/folder is no folder"),
        (["plan", "--out", "."], 2, ". is a folder"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_wrong_and_how_to_mend_it(
    project: Folder, words: list[str], code: int, told: str
) -> None:
    assert told in refused(project, *words, code=code)
