"""Plain scalars mean what the YAML 1.2 core schema says, and no more."""

from __future__ import annotations

import pytest

from sparkfile_schema import type_advice
from sparkfile_schema.scalars import quote, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1e-4", 1e-4), ("2.0e-4", 2e-4), (".5", 0.5), ("5.", 5.0), ("+1.5", 1.5), ("1E3", 1000.0)),
        *(("12", 12), ("-3", -3), ("010", 10), ("0o17", 15), ("0x1F", 31)),
        *(("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63))),
        *(("true", True), ("False", False), ("null", None), ("~", None), ("", None)),
    ],
)
def test_numbers_booleans_and_nothing(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize(
    "text", ["yes", "no", "on", "off", "1_000", "1:30", "2026-01-01", "1.2.3", "e5", "0b1", "tRue", ".", "-"]
)
def test_what_yaml_1_1_read_otherwise_is_text(text: str) -> None:
    assert resolve(text) == text


@pytest.mark.parametrize(
    ("wanted", "value", "written", "advice"),
    [
        ("text", 1.1, "1.10", 'quote it: "1.10"'),
        ("text", True, "true", 'quote it: "true"'),
        ("number", "1_000", "1_000", "write 1000, without quotes"),
        ("number", "10%", "10%", "write 0.1"),
        ("number", "many", "many", None),
        ("boolean", "yes", "yes", "write true; YAML 1.2 reads yes as text"),
        ("boolean", "Off", "Off", "write false; YAML 1.2 reads Off as text"),
        ("boolean", "true", "true", "write true, without quotes"),
    ],
)
def test_advice_says_how_to_write_the_type_that_is_meant(
    wanted: str, value: object, written: str, advice: str | None
) -> None:
    assert type_advice(wanted, value, written) == advice  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "quoted"), [("a", '"a"'), ('say "x"', "'say \"x\"'"), ("\\d'", "'\\d'''")])
def test_quoted_text_reads_as_itself(text: str, quoted: str) -> None:
    assert quote(text) == quoted
