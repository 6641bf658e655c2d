"""`spark store check --remote` and `gc --remote`, as people use them."""

import json

from tests.remote.conftest import Team


def test_what_is_damaged_there_is_named_with_whom_it_hurts_and_put_right(team: Team) -> None:
    first = team.project()
    first.build()
    assert first.spark("store", "check", "--remote").out == "nothing is damaged\n"
    for name in team.names():
        if "/packs/" in name or "/objects/" in name or name.endswith("00000.json"):
            team.change(name, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    told = json.loads(first.spark("store", "check", "--remote", "--json", code=4).out)
    hurt = {stage for finding in told["findings"] for stage in finding["stages"]}
    assert {"dataset:notes/version", "model:small/train", "model:large/train"} == hurt
    assert "healed" in first.spark("store", "check", "--remote", "--repair").out
    assert first.spark("store", "check", "--remote").out == "nothing is damaged\n"
    assert not team.clone(first).build().ran


def test_a_damaged_record_is_put_right_by_who_has_it(quick_team: Team) -> None:
    first = quick_team.project()
    first.build("model:small")
    [*records] = quick_team.names("team/trusted/records/")
    quick_team.change(records[0], lambda data: data[:-9] + b"x" + data[-8:])
    assert "1 damaged" in first.spark("store", "check", "--remote", code=4).out
    first.spark("store", "check", "--remote", "--repair", code=None)
    assert first.spark("store", "check", "--remote").out == "nothing is damaged\n"


def test_a_sample_reads_some_of_it(quick_team: Team) -> None:
    first = quick_team.project()
    first.build()
    assert first.spark("store", "check", "--remote", "--sample", "5%").out == "nothing is damaged\n"


def test_gc_leaves_what_the_lock_names_and_what_is_young(quick_team: Team) -> None:
    first = quick_team.project()
    first.build()
    first.edit("cat ", "cat -n ")
    first.build()
    before = quick_team.names()
    first.spark("store", "gc", "--remote")
    assert [n for n in quick_team.names() if "epoch" not in n] == before
    dry = json.loads(
        first.spark("store", "gc", "--remote", "--keep-days", "0", "--keep-builds", "0", "-n", "--json").out
    )
    assert dry["removed"]["records"] == 1
    gone = json.loads(
        first.spark("store", "gc", "--remote", "--keep-days", "0", "--keep-builds", "0", "--json").out
    )
    assert gone["removed"] == dry["removed"]
    second = quick_team.clone(first)
    assert not second.build().ran
    assert first.spark("store", "check", "--remote").out == "nothing is damaged\n"
