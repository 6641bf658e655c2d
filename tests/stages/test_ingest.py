import json
import os

import pytest
from stage_bench import Bench, step
from stage_rules import calls

from spark_build.core.errors import BadInput, StageFailed, TransientError
from spark_build.core.tree import Tree


def some_documents(bench: Bench, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        bench.write(f"data/{number:05d}.txt", f"this is document number {number}")


def test_a_folder_of_documents_becomes_rows_in_order_of_their_files(bench: Bench) -> None:
    bench.write("data/b.txt", "two")
    bench.write("data/a/z.txt", "one")
    ran = bench.ingest()
    assert [(row["source"], row["text"]) for row in ran.rows()] == [("a/z.txt", "one"), ("b.txt", "two")]
    assert ran.outcome.metrics == {"items": 2.0, "items.train": 2.0, "rejected": 0.0}
    assert not (ran.output / "rejected").exists()


def test_dot_files_and_back_ups_are_not_looked_at(bench: Bench) -> None:
    for name in ("a.txt", ".hidden.txt", ".git/x.txt", "b.txt~", "__pycache__/c.txt"):
        bench.write(f"data/{name}", name)
    assert [row["source"] for row in bench.ingest().rows()] == ["a.txt"]


def test_one_file_is_a_source_as_well(bench: Bench) -> None:
    bench.write("data.jsonl", '{"text": "x"}\n')
    ran = bench.ingest(bench.files("data.jsonl"))
    assert [row["source"] for row in ran.rows()] == ["data.jsonl"]


def test_adding_documents_handles_these_alone_and_gives_what_a_cold_build_gives(bench: Bench) -> None:
    some_documents(bench, 200)
    assert bench.ingest(splits={"ratios": {"train": 0.8, "test": 0.2}}).handled == 200
    some_documents(bench, 10, start=200)
    warm = bench.ingest(splits={"ratios": {"train": 0.8, "test": 0.2}})
    assert (warm.handled, warm.remembered) == (10, 200)
    cold = bench.cold().ingest(splits={"ratios": {"train": 0.8, "test": 0.2}})
    assert cold.handled == 210
    assert cold.tree == warm.tree


def test_a_row_added_to_a_file_of_rows_handles_one_item(bench: Bench) -> None:
    rows = [json.dumps({"text": f"row {i}"}) for i in range(50)]
    bench.write("data/a.jsonl", "\n".join(rows))
    assert bench.ingest().handled == 50
    bench.write("data/a.jsonl", "\n".join([*rows[:20], '{"text": "new"}', *rows[20:]]))
    assert (warm := bench.ingest()).handled == 1
    assert warm.tree == bench.cold().ingest().tree


def test_the_listing_of_the_build_saves_hashing_and_gives_the_same(bench: Bench) -> None:
    bench.write("data/a.txt", "one")
    bench.write("data/.hidden", "two")
    plain = bench.ingest()
    from spark_build.core.digest import digest_file

    listing = [[n, 3, digest_file(bench.project / "data" / n), False] for n in (".hidden", "a.txt")]
    file = bench.folder / "listing.json"
    file.write_text(json.dumps(listing))
    assert bench.ingest(listing=str(file)).tree == plain.tree


def test_a_renamed_operation_input_does_not_make_files_be_read_again(bench: Bench) -> None:
    """The manifest holds the folder's digest, which every added file changes."""
    some_documents(bench, 3)
    manifests = [{"rule": "Lines", "revision": 1, "inputs": {"path": d * 64}} for d in "ab"]
    source = [
        step("Lines", inputs={"path": str(bench.project / "data")}, manifest=manifest)
        for manifest in manifests
    ]
    bench.ingest(source[0])
    assert bench.ingest(source[1]).handled == 0


def test_files_that_a_source_fetches_are_remembered_by_their_content(bench: Bench) -> None:
    assert bench.ingest(step("Fetched")).handled == 3
    assert bench.ingest(step("Fetched")).handled == 0


def test_ids_come_from_content_and_are_unique(bench: Bench) -> None:
    bench.write("data/a.jsonl", '{"text": "x"}\n{"text": "y"}\n{"text": "x"}\n{"text": "z", "id": 7}\n')
    ids = [row["id"] for row in bench.ingest().rows()]
    assert ids[2] == f"{ids[0]}-2"
    assert len(ids[0]) == 32
    assert ids[3] == "7"


def test_a_rows_own_source_and_meta_go_to_meta(bench: Bench) -> None:
    bench.write("data/a.jsonl", '{"text": "x", "source": "web", "meta": 3}\n')
    (row,) = bench.ingest().rows()
    assert row["source"] == "a.jsonl"
    assert row["meta"] == {"source": "web", "meta": 3}


def test_fields_are_typed_by_all_of_their_values(bench: Bench) -> None:
    rows = [
        {"t": "x", "n": 1, "mixed": 1, "chat": [{"role": "user", "content": "hi"}], "any": {"a": [1]}},
        {"t": None, "n": 2.5, "mixed": "two", "chat": [], "any": True, "big": 2**60},
    ]
    bench.write("data/a.jsonl", "\n".join(map(json.dumps, rows)))
    ran = bench.ingest()
    assert ran.dataset.fields == {
        "any": "json", "big": "json", "chat": "messages", "mixed": "json", "n": "number", "t": "text",
    }  # fmt: skip
    first, second = ran.rows()
    assert first["any"] == {"a": [1]}
    assert second["any"] is True
    assert second["big"] == 2**60
    assert (first["chat"], second["chat"]) == ([{"role": "user", "content": "hi"}], [])


def test_messages_are_seen(bench: Bench) -> None:
    bench.write("data/a.jsonl", '{"chat": [{"role": "user", "content": "hi"}]}\n')
    assert bench.ingest().dataset.fields == {"chat": "messages"}


def test_declared_types_convert_and_reject_what_does_not_fit(bench: Bench) -> None:
    rows = [
        {"label": 3, "n": "1.5"},
        {"label": True, "n": 2},
        {"label": "x", "n": "many"},
        {"label": None, "n": 1},
    ]
    bench.write("data/a.jsonl", "\n".join(map(json.dumps, rows)))
    ran = bench.ingest(fields={"label": "label", "n": "number"})
    assert [(row["label"], row["n"]) for row in ran.rows()] == [("3", 1.5), ("true", 2.0)]
    assert [(r["gate"], r["reason"], r["detail"]) for r in ran.dataset.rejected()] == [
        ("fields", "field_type", "n: 'many' is no number"),
        ("fields", "missing_field", "label: null"),
    ]


def test_an_unreadable_row_is_rejected_with_its_reason_and_without_a_path_of_this_machine(
    bench: Bench,
) -> None:
    bench.write("data/a.jsonl", '{"text": "x"}\nno json\n')
    ran = bench.ingest()
    (row,) = ran.dataset.rejected()
    assert (row["source"], row["gate"], row["reason"]) == ("a.jsonl", "Lines", "not_json")
    assert row["detail"].startswith("line 2 of a.jsonl: ")
    assert str(bench.folder).encode() not in b"".join(f.read_bytes() for f in ran.output.rglob("*.parquet"))
    assert ran.outcome.metrics["rejected"] == 0.5


def test_values_that_are_no_json_are_rejected(bench: Bench) -> None:
    bench.write("data/a.txt", "")
    ran = bench.ingest(bench.files(rule="Odd"))
    assert [row["text"] for row in ran.rows()] == ["fine"]
    assert [row["reason"] for row in ran.dataset.rejected()] == ["bad_value"] * 3


def test_on_error_fail_names_the_first_bad_records(bench: Bench) -> None:
    bench.write("data/a.jsonl", '{"text": "x"}\nno json\n')
    with pytest.raises(BadInput, match=r"1 of 2 records can't be used .*a.jsonl: not_json \(line 2"):
        bench.ingest(on_error="fail")


def test_a_folder_without_files_is_refused(bench: Bench) -> None:
    (bench.project / "data").mkdir()
    with pytest.raises(BadInput, match=r"^data holds no files\n  fix: put documents there"):
        bench.ingest()


def test_a_folder_that_is_not_there_is_refused(bench: Bench) -> None:
    with pytest.raises(BadInput, match="data: not there"):
        bench.ingest()


def test_a_source_without_one_record_is_refused(bench: Bench) -> None:
    bench.write("data/a.jsonl", "")
    with pytest.raises(BadInput, match="data: no record in 1 files"):
        bench.ingest()


def test_a_source_whose_every_record_is_rejected_is_refused(bench: Bench) -> None:
    bench.write("data/a.jsonl", "x\ny\n")
    with pytest.raises(BadInput, match=r"every one of 2 records was rejected: not_json \(2\)"):
        bench.ingest()


def test_a_link_that_leaves_the_folder_is_refused(bench: Bench) -> None:
    bench.write("data/a.txt", "x")
    os.symlink(bench.write("outside.txt", "x"), bench.project / "data" / "link.txt")
    with pytest.raises(BadInput, match=r"link.txt is a link that leaves the folder"):
        bench.ingest()


def test_a_link_inside_the_folder_is_read(bench: Bench) -> None:
    os.symlink(bench.write("data/a.txt", "x"), bench.project / "data" / "b.txt")
    assert [row["source"] for row in bench.ingest().rows()] == ["a.txt", "b.txt"]


def test_a_file_that_changes_while_it_is_read_is_not_remembered(bench: Bench) -> None:
    bench.write("data/a.txt", "one")
    bench.write("data/b.txt", "half")
    with pytest.raises(TransientError, match=r"b\.txt changed while it was read"):
        bench.ingest(bench.files(rule="Changing"))
    assert bench.ingest(bench.files(rule="Changing")).handled == 1  # a.txt was kept
    bench.write("data/b.txt", "half")
    with pytest.raises(TransientError, match=r"b\.txt changed"):
        bench.ingest(bench.files(rule="Changing"))


def test_a_transient_error_is_not_remembered_and_keeps_what_was_read(bench: Bench) -> None:
    some_documents(bench, 3)
    down = bench.write("data/.down", "")
    with pytest.raises(TransientError, match="the shelf is away"):
        bench.ingest(bench.files(rule="Flaky"))
    down.unlink()
    assert bench.ingest(bench.files(rule="Flaky")).handled == 3


def test_a_crash_of_a_source_names_rule_and_file(bench: Bench) -> None:
    bench.write("data/a.txt", "x")
    with pytest.raises(
        StageFailed, match=r"'Crashing' failed on a.txt: ZeroDivisionError: a slip of the author"
    ):
        bench.ingest(bench.files(rule="Crashing"))


def test_a_transform_is_remembered_by_the_fields_it_reads(bench: Bench) -> None:
    bench.write("data/a.jsonl", '{"text": "x", "label": "a"}\n')
    bench.ingest(bench.files(), step("Upper"))
    bench.write("data/a.jsonl", '{"text": "x", "label": "b"}\n')
    before = calls["upper"]
    (row,) = bench.ingest(bench.files(), step("Upper")).rows()
    assert (row["text"], row["label"]) == ("X", "b")
    assert calls["upper"] == before


def test_pieces_of_a_record_stay_in_its_split_and_in_order(bench: Bench) -> None:
    for number in range(40):
        bench.write(f"data/{number}.txt", f"a{number} b c d e")
    ran = bench.ingest(bench.files(), step("Words"), splits={"ratios": {"train": 0.5, "test": 0.5}})
    rows = {split: ran.rows(split) for split in ("train", "test")}
    assert not {r["source"] for r in rows["train"]} & {r["source"] for r in rows["test"]}
    first = rows["train"][0]["source"].removesuffix(".txt")
    assert [r["text"] for r in rows["train"][:3]] == [f"a{first} b", "c d", "e"]
    assert [r["id"][-2:] for r in rows["train"][:3]] == ["#0", "#1", "#2"]
    assert ran.handled == 40


def test_what_a_transform_refuses_or_drops_is_told(bench: Bench) -> None:
    bench.write("data/a.jsonl", '{"text": "ok"}\n{"text": "so forbidden"}\n{"text": ""}\n')
    ran = bench.ingest(bench.files(), step("Words", label="windows"))
    assert [(r["gate"], r["reason"]) for r in ran.dataset.rejected()] == [
        ("windows", "forbidden"), ("windows", "dropped"),
    ]  # fmt: skip


def test_a_transform_for_one_split_leaves_the_others_alone(bench: Bench) -> None:
    bench.write("data/train/a.txt", "x")
    bench.write("data/test/a.txt", "x y z")
    ran = bench.ingest(bench.files(), step("Upper", options={"only": "train"}), splits={"keep": True})
    assert [row["text"] for row in ran.rows("train")] == ["X"]
    assert [row["text"] for row in ran.rows("test")] == ["x y z"]


def test_a_transform_can_not_read_what_its_memo_does_not_cover(bench: Bench) -> None:
    bench.write("data/a.jsonl", '{"text": "x", "label": "a"}\n')
    with pytest.raises(StageFailed, match=r"'Nosy' failed on item .*KeyError: 'label'"):
        bench.ingest(bench.files(), step("Nosy"))


def test_an_edit_of_one_document_changes_one_item(bench: Bench) -> None:
    some_documents(bench, 20)
    bench.ingest()
    bench.write("data/00007.txt", "quite another text")
    assert bench.ingest().handled == 1


def test_moving_the_project_handles_nothing(bench: Bench) -> None:
    some_documents(bench, 5)
    first = bench.ingest()
    bench.project = bench.project.rename(bench.folder / "elsewhere")
    again = bench.ingest()
    assert again.handled == 0
    assert again.tree == first.tree


def test_a_limit_takes_a_few_records_and_always_the_same(bench: Bench) -> None:
    some_documents(bench, 50)
    trees: list[Tree] = []
    for _ in range(2):
        ran = bench.run("ingest", [bench.files()], {}, {}, limit=7)
        assert ran.outcome.metrics["items"] == 7
        trees.append(ran.tree)
    assert trees[0] == trees[1]


def test_progress_ends_with_the_total(bench: Bench) -> None:
    some_documents(bench, 5)
    assert bench.ingest().heard.of("progress")[-1] == (5, 5, "files")
