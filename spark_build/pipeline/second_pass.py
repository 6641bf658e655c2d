"""The second pass: `with:` against the rule's Params, each problem at its line and column."""

import re
from typing import Any, Literal

from spark_build.contract.rules import Rule
from sparkfile_schema import Position, Problem, Sparkfile, Use
from sparkfile_schema.advice import type_advice
from sparkfile_schema.suggest import did_you_mean

Place = tuple[str | int, ...]


def checked_params(file: Sparkfile, rule: type[Rule], use: Use, family: str) -> tuple[Any, list[Problem]]:
    """The rule's Params, or None and every problem that they have."""
    from pydantic import ValidationError

    try:
        return rule.Params(**_given(rule, use)), []
    except ValidationError as error:
        told = [e for e in error.errors() if not _is_told_already(tuple(e["loc"]), use)]
        return None, _joined([_problem_of(file, rule, use, family, found) for found in told])


def _given(rule: type[Rule], use: Use) -> dict[str, Any]:
    """The params that a rule is asked to take: what stands as `${matrix.X}` only where it knows it."""
    known = rule.Params.model_fields
    return {str(k): v for k, v in use.params.items() if k not in use.optional or k in known}


def is_of_matrix(origin: Place) -> bool:
    """Whether a param was written as a value of a target's matrix: targets.NAME.matrix.PARAM.PLACE."""
    return len(origin) == 5 and (origin[0], origin[2]) == ("targets", "matrix")


def _problem_of(file: Sparkfile, rule: type[Rule], use: Use, family: str, found: Any) -> Problem:
    place: Place = tuple(found["loc"])
    where = f"{family} '{use.label}'"
    if found["type"] == "extra_forbidden":
        name = str(place[-1])
        if (origin := _of_matrix(use, place)) is not None:
            return _unknown_in_matrix(file, rule, origin, where)
        close = did_you_mean(name, _known(rule), rule.Params.synonyms)
        fix = (
            f"did you mean '{close}'?"
            if close
            else f"it takes {', '.join(sorted(_known(rule))) or 'nothing'}"
        )
        return Problem(_position(file, use, place, key=True), f"unknown key '{name}' in {where}", fix)
    if found["type"] == "missing":
        dotted = ".".join(map(str, place))
        return Problem(
            _position(file, use, place[:-1]), f"missing key '{dotted}' in {where}", f"add {dotted}: …"
        )
    message = found["msg"].removeprefix("Value error, ")
    name = _dotted(place, rule, use)
    message, _, fix = message.partition("\n  fix: ")
    if found["type"] == "literal_error":
        message, fix = f"{found['input']!r} is not one of {found['ctx']['expected']}", _closest(found)
    elif (kind := _asked_for(found)) is not None and (origin := use.origins.get(place)) is not None:
        fix = type_advice(kind, found["input"], file.written(origin) or "") or fix
    return Problem(
        _position(file, use, place),
        f"{where}: {name}: {message}" if name else f"{where}: {message}",
        fix or None,
    )


def _of_matrix(use: Use, place: Place) -> Place | None:
    """Where in a matrix the param at `place`, or something inside of it, was written."""
    origins = (o for p, o in use.origins.items() if p[: len(place)] == place or place[: len(p)] == p)
    return next((origin for origin in origins if is_of_matrix(origin)), None)


def _unknown_in_matrix(file: Sparkfile, rule: type[Rule], origin: Place, where: str) -> Problem:
    name = str(origin[3])
    close = did_you_mean(name, _known(rule), rule.Params.synonyms)
    fix = f"did you mean '{close}'?" if close else f"it takes {', '.join(sorted(_known(rule)))}"
    message = f"'{name}' of the matrix is no param of {where}, and nothing here names ${{matrix.{name}}}"
    return Problem(file.position(origin[:4], key=True), message, fix)


_MISSING = re.compile(r"missing key '[^'.]+'")


def _joined(found: list[Problem]) -> list[Problem]:
    """One problem per place: a value that fits no member of a union is reported by each of them."""
    by_place: dict[str, list[Problem]] = {}
    for one in found:
        missing = _MISSING.match(one.message)  # each key that is missing is a problem of its own
        by_place.setdefault(f"{one.at} {missing[0] if missing else ''}", []).append(one)
    return [_one_of(problems) for problems in by_place.values()]


def _one_of(problems: list[Problem]) -> Problem:
    first = problems[0]
    if len(problems) == 1 or any(p.message.startswith("unknown key") for p in problems):
        return first
    heads = {p.message.rpartition(": ")[0] for p in problems}
    if len(heads) > 1:
        return first
    message = f"{heads.pop()}: " + "; or ".join(
        dict.fromkeys(p.message.rpartition(": ")[2] for p in problems)
    )
    return Problem(first.at, message, next((p.fix for p in problems if p.fix), None))


def _position(file: Sparkfile, use: Use, place: Place, *, key: bool = False) -> Position:
    """Of the nearest part of `place` that was written; unions add members of their own to a loc."""
    for length in range(len(place), 0, -1):
        origin = use.origins.get(place[:length])
        if origin is not None:
            return file.position(origin, key=key)
    inner = file.position((*use.path, "with"))
    return inner if use.params else file.position(use.path)


_ASKED_FOR: dict[str, Literal["text", "number", "boolean"]] = {
    "string_type": "text", "float_type": "number", "float_parsing": "number", "int_type": "number",
    "int_parsing": "number", "bool_type": "boolean", "bool_parsing": "boolean",
}  # fmt: skip


def _dotted(place: Place, rule: type[Rule], use: Use) -> str:
    """`tokenizer.vocab_size`: the part of a loc that was written; unions add members of their own to it."""
    for length in range(len(place), 0, -1):
        if place[:length] in use.origins:
            return ".".join(map(str, place[:length]))
    return ".".join(str(p) for p in place[:1] if p in rule.Params.model_fields)


def _asked_for(found: Any) -> Literal["text", "number", "boolean"] | None:
    is_number = isinstance(found["input"], int | float)
    return "text" if found["type"] == "value_error" and is_number else _ASKED_FOR.get(found["type"])


def _is_told_already(place: Place, use: Use) -> bool:
    """The first pass has a problem there, or above it."""
    return any(place[: len(unreadable)] == unreadable for unreadable in use.unreadable)


def _closest(found: Any) -> str:
    choices = [word.strip("' ") for word in str(found["ctx"]["expected"]).replace(" or ", ", ").split(",")]
    close = did_you_mean(str(found["input"]), choices)
    return f"did you mean '{close}'?" if close else ""


def _known(rule: type[Rule]) -> list[str]:
    return list(rule.Params.model_fields)


def problem(file: Sparkfile, at: str | Place, message: str, fix: str | None) -> Problem:
    """A problem at a path of the document, or at a place that is text already (`FILE:LINE:COLUMN`)."""
    if isinstance(at, tuple):
        return Problem(file.position(at), message, fix)
    name, line, column = [*at.rsplit(":", 2), "1", "1"][:3]
    if not (line.isdigit() and column.isdigit()):
        return Problem(Position(at, 0, 0), message, fix)
    return Problem(Position(name, int(line), int(column)), message, fix)
