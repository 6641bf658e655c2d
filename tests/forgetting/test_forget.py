"""`spark forget`: what becomes of the store, of later builds, and of those who share the lock."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from spark_build import Project
from spark_build.app.forgetting import forget
from spark_build.contract.items import Item
from spark_build.contract.rows import DatasetFolder
from spark_build.contract.rules import digest_of_fields
from spark_build.core.digest import digest_bytes
from spark_build.core.errors import SparkError, UsageError
from spark_build.engine.results import BuildResult
from spark_build.report.causes import causes_text
from spark_build.report.forgotten import Forgotten
from spark_build.storage import leases
from tests.forgetting.searching import holding
from tests.spark import Folder, documents

TEXT = "Wolpertinger"  # in every sentence of the document that has to go
SPARKFILE = """\
datasets:
  notes:
    source: data
    transforms: [{use: chunk, with: {tokens: 40, stride: 0}}]
    gates: [near-dup, short]
gates:
  near-dup: {use: near_duplicates, with: {threshold: 0.9}}
  short: {use: quality, with: {rules: [word_count], min_words: 5}}
"""
ROWS = """\
datasets:
  calls: {source: calls.jsonl}
  long: {source: dataset:calls, gates: [short]}
  both: {source: {use: mix, with: {datasets: {calls: 0.5, long: 0.5}, stop: all_exhausted}}}
gates:
  short: {use: quality, with: {rules: [word_count], min_words: 1}}
targets:
  reader:
    recipe: {use: command, with: {run: "cp {inputs.dataset}/spark.json {output}/model.json; true > {output}/m"}}
    dataset: calls
"""


def build(folder: Folder, *targets: str) -> BuildResult:
    project = Project(folder.path)
    result = project.build(*targets)
    project.close()
    assert result.exit_code == 0, {s: r.error for s, r in result.results.items()}
    return result


def forgotten(folder: Folder, dataset: str, *items: str, **options: Any) -> Forgotten:
    project = Project(folder.path)
    told = forget(project, f"dataset:{dataset}", items, **options)
    project.close()
    return told


def version_of(result: BuildResult) -> str:
    record = result.results["dataset:notes/version"].record
    assert record is not None
    return record.output


def rows(folder: Folder, dataset: str) -> DatasetFolder:
    return Project(folder.path).dataset(dataset)


def texts(folder: Folder, dataset: str) -> set[str]:
    found = rows(folder, dataset)
    return {row["text"] for split in found.splits for row in found.rows(split)}


def reasons(folder: Folder, dataset: str) -> list[str]:
    return [row["reason"] for row in rows(folder, dataset).rejected()]


def store(folder: Folder) -> Path:
    return folder.path / ".spark"


@pytest.fixture
def notes(folder: Folder, built_notes: Folder) -> Folder:
    return copied(built_notes, folder)


@pytest.fixture
def calls(folder: Folder, built_calls: Folder) -> Folder:
    return copied(built_calls, folder)


def copied(built: Folder, to: Folder) -> Folder:
    """A project that was moved has nothing to run."""
    shutil.copytree(built.path, to.path, dirs_exist_ok=True)
    return to


@pytest.fixture(scope="module")
def built_notes(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("notes"))
    folder.sparkfile(SPARKFILE)
    documents(folder, 12)
    words = " ".join(f"{TEXT} number {n} was seen in the wood of {n * 7} trees." for n in range(30))
    folder.write("data/seen.md", f"# A {TEXT}\n\n{words}\n")
    build(folder)
    return folder


def write_calls(folder: Folder, *calls: tuple[str, str]) -> None:
    lines = (json.dumps({"id": name, "text": text}) for name, text in calls)
    folder.write("calls.jsonl", "".join(f"{line}\n" for line in lines))


CALLS = [
    (f"call-{name}", f"this is what {name} said on the phone that day")
    for name in ("ann", "bob", "cy", "dee")
]


@pytest.fixture(scope="module")
def built_calls(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("calls"))
    folder.sparkfile(ROWS)
    write_calls(folder, *CALLS)
    build(folder)
    return folder


def test_no_byte_of_the_store_holds_it_and_no_other_item_is_handled_again(notes: Folder) -> None:
    assert len(holding(store(notes), TEXT)) >= 4  # objects, and the memo of reading and cutting
    pieces = [Item("", "", "", {"text": text}) for text in texts(notes, "notes") if TEXT in text]
    digests = [digest_of_fields(piece, ["text"]) for piece in pieces]
    assert all(holding(store(notes), digest) for digest in digests)
    told = forgotten(notes, "notes", "seen.md")
    assert told.objects >= 2
    assert holding(store(notes), TEXT) == []
    project = Project(notes.path)
    ingest, *others = project.plan().stages
    assert causes_text(ingest.reasons, ingest.state) == ["1 item was forgotten at Sparkfile.lock"]
    assert {stage.state for stage in others} == {"maybe"}
    result = build(notes)
    items = {stage.rpartition("/")[2]: r.record.items for stage, r in result.results.items() if r.record}
    assert items["ingest"] == {"handled": 1, "remembered": 12}  # it was looked at, to know it
    assert items["filter"]["handled"] == 0
    assert holding(store(notes), TEXT) == []
    assert not any(holding(store(notes), digest) for digest in digests)  # nor what it could be told by
    assert reasons(notes, "notes").count("forgotten") == 1


def test_the_next_builds_leave_it_out_cold_or_from_the_last_result(notes: Folder) -> None:
    forgotten(notes, "notes", "seen.md")
    build(notes)
    documents(notes, 1, start=50)
    result = build(notes)
    ingest = result.results["dataset:notes/ingest"].record
    assert ingest is not None
    assert ingest.items is not None
    assert ingest.items["handled"] == 1
    log = (store(notes) / "logs" / str(ingest.log)).read_text()
    assert "not gone on" not in log
    assert holding(store(notes), TEXT) == []
    warm = version_of(result)
    clone = clone_of(notes)
    assert version_of(build(clone)) == warm
    assert holding(store(clone), TEXT) == []


def clone_of(folder: Folder) -> Folder:
    """With the lock and the sources, and no store."""
    to = folder.path.with_name("clone")
    shutil.copytree(folder.path, to, ignore=shutil.ignore_patterns(".spark"))
    return Folder(to)


def test_it_comes_back_once_its_tombstone_is_gone(notes: Folder) -> None:
    before = version_of(build(notes))
    forgotten(notes, "notes", "seen.md")
    build(notes)
    lock = notes.path / "Sparkfile.lock"
    kept = [block for block in lock.read_text().split("\n\n") if not block.startswith("[forgotten.")]
    lock.write_text("\n\n".join(kept))
    assert version_of(build(notes)) == before


def test_whatever_lies_about_in_the_store_is_gone(notes: Folder) -> None:
    rows(notes, "notes")  # laid out as a view
    left = [f"work/{'a' * 64}/scratch/half", "tmp/half", "damaged/what", f"logs/{'b' * 16}-1.log"]
    for name in left:
        notes.write(f".spark/{name}", f"it says {TEXT} number 1 was seen in the wood")
    forgotten(notes, "notes", "seen.md")
    assert [name for name in left if (store(notes) / name).exists()] == []


def test_a_document_that_was_edited_stays_out(notes: Folder) -> None:
    forgotten(notes, "notes", "seen.md")
    notes.edit("the wood of 7 trees", "the wood of seven trees", "data/seen.md")
    build(notes)
    assert holding(store(notes), TEXT) == []


CHAIN = """\
datasets:
  letters:
    source: letters.jsonl
    fields: {text: text, answer: text, kind: text}
    transforms: [{use: normalize_text}, {use: "./own.py:Shout"}, {use: chunk, with: {tokens: 60, stride: 0}}]
    gates: [pii, near-dup, short, known]
  exam: {source: exam.jsonl}
gates:
  pii: {use: pii, with: {action: redact, fields: [text]}}
  near-dup: {use: near_duplicates, with: {threshold: 0.9}}
  short: {use: quality, with: {rules: [word_count], min_words: 1}}
  known: {use: decontaminate, with: {against: exam}}
"""
OWN = """\
from spark_build.contract import RuleParams, Transform
class Shout(Transform):
    def apply(self, item):
        return [{"text": item["text"] + " MARK", "answer": item["answer"]}]
"""


def letter(name: str, n: int) -> dict[str, str]:
    words = " ".join(f"{name} writes about {n}{k} from {name}@example.org;" for k in range(40))
    return {
        "id": f"{name}@example.org",
        "text": f"Dear  all,\n\n{words}",
        "answer": f"noted {name}",
        "kind": "letter",
    }


def test_nothing_is_left_of_it_after_a_chain_of_transforms_and_redacting_gates(folder: Folder) -> None:
    folder.sparkfile(CHAIN)
    folder.write("own.py", OWN)
    names = ["Aberforth", "Brunhilde", "Calpurnia", "Dagobert", "Eleonore", "Friedemann"]
    letters = [letter(name, n) for n, name in enumerate(names)]
    folder.write("letters.jsonl", "".join(json.dumps(one) + "\n" for one in letters))
    folder.write(
        "exam.jsonl", "".join(json.dumps({"text": f"question {n} of the exam"}) + "\n" for n in range(3))
    )
    build(folder)
    assert len(holding(store(folder), "Calpurnia")) > 5
    told = forgotten(folder, "letters", "Calpurnia@example.org")
    assert told.items[0].known_by == ("content", "id")
    assert holding(store(folder), "Calpurnia") == []
    result = build(folder)
    assert holding(store(folder), "Calpurnia") == []
    assert {r.record.items["handled"] for s, r in result.results.items() if "filter" in s and r.record} == {0}


def test_the_lock_says_neither_what_nor_whose_it_was(calls: Folder) -> None:
    forgotten(calls, "calls", "call-bob", reason="request 17")
    blocks = (calls.path / "Sparkfile.lock").read_text().split("\n\n")
    (block,) = [block for block in blocks if block.startswith("[forgotten.")]
    assert 'reason = "request 17"' in block
    assert "bob" not in block


def test_a_row_is_known_again_by_its_id_and_by_its_content(calls: Folder) -> None:
    forgotten(calls, "calls", "call-bob")
    write_calls(
        calls, *CALLS[:1], ("call-bob", "another text under the same id"), ("call-x", CALLS[1][1]), *CALLS[2:]
    )
    build(calls)
    assert texts(calls, "calls") == {text for name, text in CALLS if "bob" not in name}
    assert reasons(calls, "calls") == ["forgotten", "forgotten"]


def test_what_is_made_of_the_dataset_is_without_it_too(calls: Folder) -> None:
    bob = CALLS[1][1]
    assert bob in texts(calls, "long")
    assert bob in texts(calls, "both")
    told = forgotten(calls, "calls", "call-bob")
    assert {stage.partition("/")[0] for stage, _ in told.results} == {
        "dataset:calls",
        "dataset:long",
        "dataset:both",
    }
    assert holding(store(calls), bob) == []
    build(calls)
    assert holding(store(calls), bob) == []
    assert bob not in texts(calls, "both") | texts(calls, "long")


def test_models_that_were_trained_with_it_are_named_with_their_tags(calls: Folder) -> None:
    calls.spark("tag", "model:reader@v1")
    told = forgotten(calls, "calls", "call-bob")
    assert [(model.model, model.tags) for model in told.models] == [("model:reader", ("v1",))]
    build(calls)
    write_calls(calls, *CALLS, ("call-new", "somebody else called later"))
    build(calls)
    told = forgotten(calls, "calls", "call-new")
    assert [(model.model, model.tags) for model in told.models] == [("model:reader", ())]


def test_row_numbers_are_no_ids(folder: Folder) -> None:
    folder.sparkfile("datasets:\n  calls: {source: calls.jsonl}\n")
    write_calls(folder, *((str(n), text) for n, (_, text) in enumerate(CALLS, 1)))
    build(folder)
    told = forgotten(folder, "calls", "2")
    assert told.items[0].known_by == ("content",)
    write_calls(folder, *((str(n), text) for n, (_, text) in enumerate([("", "a new one"), *CALLS], 1)))
    build(folder)
    assert texts(folder, "calls") == {"a new one", *(text for name, text in CALLS if "bob" not in name)}


def test_an_id_alone_or_the_content_alone_may_be_meant(calls: Folder) -> None:
    def known_by(by: str) -> tuple[str, ...]:
        return forgotten(calls, "calls", "call-bob", by=by, dry=True).items[0].known_by

    assert (known_by("id"), known_by("content"), known_by("both")) == (
        ("id",),
        ("content",),
        ("content", "id"),
    )


def test_who_forgets_one_after_another_is_told_to_build_between(calls: Folder) -> None:
    forgotten(calls, "calls", "call-bob")
    with pytest.raises(UsageError, match="no result in this store") as refused:
        forgotten(calls, "calls", "call-ann")
    assert "spark build dataset:calls" in str(refused.value)
    build(calls, "dataset:calls")
    forgotten(calls, "calls", "call-ann")
    build(calls, "dataset:calls")
    assert texts(calls, "calls") == {text for _, text in CALLS[2:]}


def test_another_checkout_forgets_what_the_lock_says(notes: Folder) -> None:
    to = notes.path.with_name("colleague")
    shutil.copytree(notes.path, to)
    forgotten(notes, "notes", "seen.md")
    shutil.copy(notes.path / "Sparkfile.lock", to)
    colleague = Folder(to)
    build(colleague)
    assert TEXT not in " ".join(texts(colleague, "notes"))
    assert holding(store(colleague), TEXT) != []
    told = forgotten(colleague, "notes")
    assert told.items == ()
    assert holding(store(colleague), TEXT) == []
    assert {r.outcome for r in build(colleague).results.values()} == {"fresh"}


def test_a_dry_run_says_the_same_and_changes_nothing(notes: Folder) -> None:
    before = snapshot(notes.path)
    dry = notes.spark("forget", "notes", "seen.md", "--dry-run", "--json").out
    assert snapshot(notes.path) == before
    told = {**json.loads(notes.spark("forget", "notes", "seen.md", "--json").out), "dry_run": True}
    assert told == json.loads(dry)
    assert told["items"] == [
        {"id": told["items"][0]["id"], "source": "seen.md", "known_by": ["content", "file"]}
    ]


def snapshot(folder: Path) -> dict[str, str]:
    """But for what was only looked up."""
    files = (p for p in folder.rglob("*") if p.is_file() and "state.db" not in str(p))
    return {str(p): digest_bytes(p.read_bytes()) for p in files}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("notes", "nobody.md"), 2, "no item 'nobody.md'"),
        (("notes",), 2, "nothing of dataset:notes is forgotten"),
        (("notes", "seen.md", "--locked"), 4, "would change"),
        (("notes", "seen.md", "--set", "project=x"), 2, "for good"),
        (("noten", "seen.md"), 2, "noten"),
    ],
)
def test_what_can_not_be_done_is_refused(notes: Folder, words: tuple[str, ...], code: int, said: str) -> None:
    ran = notes.spark("forget", *words, code=code)
    assert said in ran.err
    assert "fix:" in ran.err


def test_a_file_of_many_rows_is_no_item(calls: Folder) -> None:
    with pytest.raises(UsageError, match=r"calls\.jsonl holds 4 items"):
        forgotten(calls, "calls", "calls.jsonl")


def test_a_dataset_without_result_is_refused(folder: Folder) -> None:
    folder.sparkfile("datasets:\n  calls: {source: calls.jsonl}\n")
    write_calls(folder, *CALLS)
    with pytest.raises(UsageError, match="has no result"):
        forgotten(folder, "calls", "call-bob")


def test_a_running_build_is_waited_for(calls: Folder) -> None:
    lease = leases.take(store(calls) / "work" / ("0" * 64))
    assert lease is not None
    with pytest.raises(SparkError, match="a build is running"):
        forgotten(calls, "calls", "call-bob")
    lease.release()
    assert forgotten(calls, "calls", "call-bob").items


def test_why_tells_that_an_item_was_forgotten(calls: Folder) -> None:
    forgotten(calls, "calls", "call-bob", reason="request 17")
    build(calls)
    assert "forgotten" in calls.spark("why", "dataset:calls", "call-bob").out


def test_two_branches_forget_two_items_or_the_same(calls: Folder) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=calls.path, check=True, capture_output=True)

    for words in (("init", "-qb", "main"), ("config", "user.email", "a@b.c"), ("config", "user.name", "a")):
        git(*words)
    git("add", "-A")
    git("commit", "-qm", "base")
    git("branch", "theirs")
    for branch, items in (("main", ("call-ann", "call-bob")), ("theirs", ("call-bob", "call-cy"))):
        git("checkout", "-q", branch)
        build(calls, "dataset:calls")
        forgotten(calls, "calls", *items, reason=branch)
        git("commit", "-qam", branch)
    subprocess.run(["git", "merge", "-q", "main"], cwd=calls.path, check=False, capture_output=True)
    build(calls)
    assert texts(calls, "calls") == {CALLS[3][1]}
    assert (calls.path / "Sparkfile.lock").read_text().count("[forgotten.") == 3
