"""The state: an index that every command may begin anew."""

from pathlib import Path

from spark_build.storage.state import State


def test_facts_that_are_forgotten_are_gone_at_once_and_for_good(tmp_path: Path) -> None:
    state = State(tmp_path / "state.db")
    for name in ("a/1", "a/2", "b/1"):
        state.put(name, b"x")
    state.flush()
    state.put("a/3", b"x")
    state.forget("a/")
    assert (state.get("a/1"), state.get("a/3"), state.get("b/1")) == (None, None, b"x")
    state.put("a/2", b"y")
    assert state.named("a/") == {"a/2": b"y"}
    state.flush()
    assert State(tmp_path / "state.db").named("") == {"a/2": b"y", "b/1": b"x"}
