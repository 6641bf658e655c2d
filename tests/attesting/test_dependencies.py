"""What stands among the dependencies where Records tell of more than folders: hub ids, pins, what nobody knows now."""

from typing import Any

from spark_build.core.record import Record
from spark_build.core.tree import Entry, Tree
from spark_build.engine.graph import Input, Node, Step
from spark_build.report.dependencies import Made, dependencies

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
REVISION = "5" * 40


def made(inputs: dict[str, Any], declared: dict[str, Input] | None = None, **more: Any) -> Made:
    """A training by one step that read `inputs`."""
    record = Record(
        key=C,
        loose_key=C,
        stage="model:x/train",
        manifest={"kind": "train", "revision": 1, "steps": [{"rule": "own", "inputs": inputs}]},
        output=C,
        parts={"model/": A},
        size=1,
        seconds=1.0,
        started="2026-11-27T21:27:54+00:00",
    )
    step = Step("own", "recipe", "./own.py:Own", inputs=declared or {})
    node = Node("model:x/train", "train", (step,), 1) if declared is not None else None
    return Made("model:x/train", record, node, **more)


def told(one: Made) -> list[dict[str, Any]]:
    return [d for d in dependencies([one]) if d["annotations"]["kind"] != "runner"]


def test_a_hub_id_is_told_by_its_revision_as_git_has_it() -> None:
    given = Input(hub="org/base", revision=REVISION)
    (found,) = told(made({"base": {"revision": REVISION}}, {"base": given}))
    assert found["name"] == "org/base"
    assert found["uri"] == f"https://huggingface.co/org/base/tree/{REVISION}"
    assert found["digest"] == {"gitCommit": REVISION}


def test_a_hub_id_that_the_sparkfile_names_otherwise_by_now_lends_no_name_to_an_older_result() -> None:
    given = Input(hub="org/other", revision="6" * 40)
    (found,) = told(made({"base": {"revision": REVISION}}, {"base": given}))
    assert found["name"] == "model:x/train 0.base"
    assert found["digest"] == {"gitCommit": REVISION}


def test_what_a_stage_gave_that_has_no_record_any_more_is_told_by_its_parts() -> None:
    given = Input(stage="dataset:d/version", parts=("data/train-*",))
    (found,) = told(made({"data": {"data/train-*": A, "data/validation-*": None}}, {"data": given}))
    assert (found["name"], found["digest"]) == ("dataset:d/version data/train-*", {"blake3": A})


def test_a_stage_that_is_in_no_sparkfile_any_more_keeps_every_digest() -> None:
    found = told(made({"data": {"data/train-*": A}, "words": B}))
    assert {(d["name"], d["digest"]["blake3"]) for d in found} == {
        ("model:x/train 0.data data/train-*", A),
        ("model:x/train 0.words", B),
    }


def test_what_was_pinned_from_outside_is_told_with_its_files_and_what_the_pin_says() -> None:
    given = Input(artifact=B, artifact_parts={"files/": A}, name="source:http 12")
    tree = Tree.of([Entry("files/page.html", 3, C)])
    pin = {"pin": "source:http 12", "at": {"revision": REVISION}}
    one = made({"path": {"files/": A}}, {"path": given}, files={"0.path": tree}, outside={"0.path": pin})
    file, result = told(one)
    assert (file["name"], file["digest"]) == ("model:x/train 0.path/files/page.html", {"blake3": C})
    assert result["digest"] == {"blake3": B}
    assert result["annotations"]["at"] == {"revision": REVISION}


def test_a_single_file_is_one_dependency_with_the_digest_that_the_key_holds() -> None:
    given = Input(path="lists/words.txt")
    one = made({"words": B}, {"words": given}, files={"0.words": Tree.of([Entry("words.txt", 3, A)])})
    (found,) = told(one)
    assert (found["name"], found["digest"]) == ("lists/words.txt", {"blake3": A})
    assert found["annotations"]["listing"] == B


def test_steps_that_have_changed_places_keep_their_inputs() -> None:
    one = made({"words": B}, {"words": Input(path="words.txt")})
    steps = [{"rule": "other"}, *one.record.manifest["steps"]]
    record = Record(**{**one.record.to_json(), "manifest": {**one.record.manifest, "steps": steps}})
    (found,) = told(Made(one.stage, record, one.node))
    assert found["name"] == "words.txt"
