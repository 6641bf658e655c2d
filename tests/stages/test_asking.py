"""A rule of one's own that pays for what it finds: what is kept, in whatever order it comes, and however it ends."""

import pytest

from tests.spark import Folder

RULE = """
from pathlib import Path
from typing import Any

from spark_build.contract import AskingTransform, Decides, RuleParams
from spark_build.contract.params import Field
from spark_build.core.errors import ItemRejected, TransientError, Unanswered


class Params(RuleParams):
    asked: str = Field(description="Where questions are noted.")
    suffix: Decides[str] = Field("", description="Behind each answer.")


class Oracle(AskingTransform):
    Params = Params

    def ask(self, items: Any, context: Any) -> Any:
        assert not hasattr(self.params, "suffix")
        numbered = list(enumerate(item["text"].strip() for item in items))
        for number, text in reversed(numbered):
            with open(self.params.asked, "a") as file:
                file.write(f"{text}\\n")
            if text == "odd":
                yield number, ItemRejected("odd", "it is odd")
            elif text == "later":
                yield number, Unanswered("nobody was there")
            elif text == "break":
                raise ValueError("broken")
            elif text == "fail":
                raise TransientError("not now", fix="build again")
            else:
                yield number, {"answer": text.upper()}

    def becomes(self, item: Any, found: Any, params: Any) -> Any:
        if params.suffix == "none":
            raise ItemRejected("unwanted")
        return [{"text": item["text"], "answer": found["answer"] + params.suffix}]
"""


@pytest.fixture
def project(folder: Folder) -> Folder:
    folder.write("oracle.py", RULE)
    folder.sparkfile(
        "datasets:\n  d:\n    source: data\n    transforms:\n"
        f"      - {{use: './oracle.py:Oracle', with: {{asked: {folder.path}/../asked}}}}\n"
    )
    return folder


def documents(folder: Folder, *texts: str) -> None:
    for number, text in enumerate(texts):
        folder.write(f"data/{number}.txt", text)


def asked(folder: Folder) -> list[str]:
    return (folder.path.parent / "asked").read_text().split()


def answers(folder: Folder) -> list[str]:
    return sorted(row["answer"] for row in folder.spark("show", "dataset:d", "--json").lines[0]["rows"])


@pytest.mark.parametrize(
    ("ends_by", "said"), [("fail", "not now"), ("break", "failed asking: ValueError: broken")]
)
def test_what_was_found_before_the_end_is_kept(project: Folder, ends_by: str, said: str) -> None:
    documents(project, "a", ends_by, "c", "odd")
    failed = project.build(code=1)
    assert said in failed.err
    assert asked(project) == ["odd", "c", ends_by]
    documents(project, "a", "b")
    project.build()
    assert asked(project) == ["odd", "c", ends_by, "b", "a"]
    assert answers(project) == ["A", "B", "C"]


def test_an_unanswered_item_is_rejected_and_asked_about_again(project: Folder) -> None:
    documents(project, "a", "later")
    project.build()
    rejected = project.spark("show", "dataset:d", "--rejected", "--json").lines[0]["rows"]
    assert [row["reason"] for row in rejected] == ["unanswered"]
    documents(project, "a", "later", "c")
    project.build()
    assert sorted(set(asked(project))) == ["a", "c", "later"]
    assert (asked(project).count("a"), asked(project).count("c")) == (1, 1)
    assert asked(project).count("later") > 1


def test_what_an_item_becomes_may_change_without_asking(project: Folder) -> None:
    documents(project, "a", "b")
    project.build()
    project.edit("/asked}", "/asked, suffix: '!'}")
    project.build()
    assert answers(project) == ["A!", "B!"]
    project.edit("'!'", "none")
    assert "unwanted" in project.build(code=1).err
    assert len(asked(project)) == 2
