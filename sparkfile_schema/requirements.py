"""`require:` — bounds for recorded figures, such as "> 0.9", "<= 40%" or {min: 0.9}."""

from __future__ import annotations

import re

from sparkfile_schema.keys import BOUNDS
from sparkfile_schema.model import Requirement
from sparkfile_schema.nodes import Scalar
from sparkfile_schema.reader import Part, Reader
from sparkfile_schema.scalars import quote, shown

_NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_BOUND = re.compile(rf"\s*(<=|>=|<|>|≤|≥)\s*({_NUMBER})\s*(%?)\s*")
_SHARE = re.compile(rf"\s*({_NUMBER})\s*%\s*")
_LONGEST = 80
_FORMS = 'a bound such as "> 0.9", "<= 40%" or {min: 0.9}'


def read_requirements(reader: Reader, part: Part) -> tuple[Requirement, ...]:
    """The requirements of a mapping from figures to bounds."""
    fix = 'such as {items: "> 100"}'
    found = [read_requirement(reader, entry, name) for name, entry in reader.mapping(part, fix).items()]
    return tuple(requirement for requirement in found if requirement)


def read_requirement(reader: Reader, part: Part, name: str) -> Requirement | None:
    if part.is_map:
        return _range(reader, part, name)
    found = (
        _BOUND.fullmatch(part.value) if isinstance(part.value, str) and len(part.value) <= _LONGEST else None
    )
    figure = float(found[2]) / (100 if found[3] else 1) if found else float("inf")
    if not found or figure in (float("inf"), float("-inf")):
        reader.expected(part, _FORMS, _bound_fix(part))
        return None
    sign = found[1].replace("≤", "<=").replace("≥", ">=")
    text, is_open = str(part.value).strip(), len(sign) == 1
    if sign[0] == ">":
        return Requirement(name, figure, None, is_open, False, text, part.path)
    return Requirement(name, None, figure, False, is_open, text, part.path)


def _range(reader: Reader, part: Part, name: str) -> Requirement | None:
    bounds = reader.section(part, BOUNDS)
    read = {key: _figure(reader, bound) for key, bound in bounds.items()}
    low, high = read.get("min"), read.get("max")
    if part.is_map and not reader.mapping(part):
        reader.problem(part.at, f"{part.what} bounds nothing", "add min: or max:")
    if low is not None and high is not None and low > high:
        reader.problem(part.at, f"{part.what} can't hold: min is above max", "swap them")
    if low is None and high is None:
        return None
    texts = [
        f"{sign} {bounds[key].value}"
        for key, sign in (("min", ">="), ("max", "<="))
        if read.get(key) is not None
    ]
    return Requirement(name, low, high, False, False, " and ".join(texts), part.path)


def _figure(reader: Reader, part: Part) -> float | None:
    share = (
        _SHARE.fullmatch(part.value) if isinstance(part.value, str) and len(part.value) <= _LONGEST else None
    )
    return float(share[1]) / 100 if share else reader.number(part)


def _bound_fix(part: Part) -> str:
    """A bare figure lacks its sign, `= 3` and `=> 3` have a wrong one."""
    if not isinstance(part.node, Scalar) or part.node.value is None or len(part.node.written) > _LONGEST:
        return "write a sign and a number"
    found = re.fullmatch(rf"\s*(==?|=>|=<|)\s*({_NUMBER}\s*%?)\s*", part.node.written)
    if not found:
        return "write a sign and a number"
    sign = {"=>": ">=", "=<": "<="}.get(found[1])
    if sign:
        return f"write {quote(f'{sign} {found[2]}')}"
    return f"say which side is meant: {quote(f'>= {found[2]}')} or {quote(f'<= {found[2]}')}"


def check_share(reader: Reader, requirement: Requirement, part: Part) -> None:
    """'rejected' is a share of the items, so a bound above 1 says nothing."""
    bounds = [bound for bound in (requirement.low, requirement.high) if bound is not None]
    if any(not 0 <= bound <= 1 for bound in bounds):
        fix = 'write a percentage or a fraction, such as "< 40%" or "< 0.4"'
        reader.problem(part.at, f"{shown(requirement.name)} is a share of the items, from 0 to 1", fix)
