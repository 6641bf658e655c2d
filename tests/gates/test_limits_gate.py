"""Bounds are inclusive, and the first that is broken is the reason."""

from pathlib import Path

import pytest
from gate_corpus import item
from pydantic import ValidationError

from spark_build.contract import Item, Media
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


def of_media(*facts: dict[str, float], size: int = 1000, **fields: object) -> Item:
    media = {f"m{n}": Media("video", Path("x"), ".mp4", own, size=size) for n, own in enumerate(facts)}
    return Item("m", "m", "train", {**fields, **media})


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"min_width": 64, "max_height": 48, "min_pixels": 3072, "max_duration": 2.5, "max_bytes": 1000}, ""),
        ({"min_width": 65}, "below_min_width"),
        ({"max_pixels": 3071}, "above_max_pixels"),
        ({"max_duration": 2.4}, "above_max_duration"),
        ({"min_frame_rate": 24}, "below_min_frame_rate"),
        ({"min_sample_rate": 16_000}, ""),  # it has no sound
        ({"max_bytes": 999}, "above_max_bytes"),
        ({"min_words": 3}, ""),  # it has no text
    ],
)
def test_media_are_measured_by_what_is_known_of_them(params: dict[str, float], reason: str) -> None:
    gate = Limits(Params(**params))
    found = gate.measure(of_media({"width": 64, "height": 48, "duration": 2.5, "frame_rate": 12.0}))
    assert gate.decide(found, gate.params).reason == reason


def test_each_of_several_media_keeps_to_the_bounds() -> None:
    gate = Limits(Params(min_width=64, max_width=100))
    for widths, reason in (((64, 100), ""), ((63, 100), "below_min_width"), ((64, 101), "above_max_width")):
        found = gate.measure(of_media(*({"width": width, "height": 1} for width in widths)))
        assert gate.decide(found, gate.params).reason == reason


def test_a_caption_is_measured_beside_its_picture() -> None:
    found = Limits(Params()).measure(of_media({"width": 5, "height": 4}, text="two words"))
    assert (found["words"], found["pixels"], found["bytes"]) == (2, [20, 20], [1000, 1000])
