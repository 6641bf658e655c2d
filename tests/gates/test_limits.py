"""Bounds are inclusive, and the first that is broken is the reason."""

import pytest
from gate_corpus import item
from pydantic import ValidationError

from spark_build.gates.limits import Limits, Params

TEXT = "Grüße aus Köln.\n\n\u2003\nZwei Zeilen"  # 31 characters, 5 words, 2 lines with words


def verdict_on(text: str, **params: object) -> tuple[str, str, float | None, float | None]:
    gate = Limits(Params(**params))
    verdict = gate.decide(gate.measure(item(text)), gate.params)
    return verdict.action, verdict.reason, verdict.score, verdict.threshold


def test_figures_are_those_of_python() -> None:
    found = Limits(Params()).measure(item(TEXT))
    assert found == {"characters": len(TEXT), "words": 5, "lines": 2, "bytes": len(TEXT.encode())}


@pytest.mark.parametrize(
    ("name", "value"), [("characters", len(TEXT)), ("words", 5), ("lines", 2), ("bytes", len(TEXT.encode()))]
)
def test_a_bound_is_allowed_itself_and_nothing_beyond(name: str, value: int) -> None:
    assert verdict_on(TEXT, **{f"min_{name}": value, f"max_{name}": value})[0] == "keep"
    assert verdict_on(TEXT, **{f"min_{name}": value + 1}) == ("drop", f"below_min_{name}", value, value + 1)
    assert verdict_on(TEXT, **{f"max_{name}": value - 1}) == ("drop", f"above_max_{name}", value, value - 1)


def test_without_bounds_all_pass() -> None:
    assert verdict_on("")[0] == "keep"


def test_bounds_that_nothing_can_keep_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_words: 9 is more than max_words: 3"):
        Params(min_words=9, max_words=3)


def test_chat_is_measured_by_what_is_said() -> None:
    chat = [{"role": "user", "content": "one two"}, {"role": "assistant", "content": "three"}]
    assert Limits(Params()).measure(item(chat))["words"] == 3
