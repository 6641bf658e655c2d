"""The `run:` of a command: its placeholders, and what is put in their place."""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from spark_build.core.values import Struct

Run = str | list[str]

# not behind a dollar: ${output} is the shell's
_PLACEHOLDER = re.compile(
    r"(?<!\$)\{(?:(inputs|params)\.([A-Za-z0-9_][A-Za-z0-9_.-]*)|(output|scratch|seed))\}"
)


class Placeholder(Struct, frozen=True):
    kind: str  # inputs params output scratch seed
    name: str = ""  # 'raw', 'optimizer.lr'

    def __str__(self) -> str:
        return f"{{{self.kind}.{self.name}}}" if self.name else f"{{{self.kind}}}"


ValueOf = Callable[[Placeholder], str]


def fill(run: Run, value_of: ValueOf) -> Run:
    """`run` with its placeholders replaced; quoted for the shell where it is a string. Other braces stay."""
    if isinstance(run, list):
        return [_PLACEHOLDER.sub(lambda found: value_of(_of(found)), word) for word in run]
    quotes = _quotes(run)
    return _PLACEHOLDER.sub(lambda found: _quoted(value_of(_of(found)), quotes[found.start()]), run)


def placeholders(run: Run) -> Iterator[Placeholder]:
    for text in [run] if isinstance(run, str) else run:
        yield from (_of(found) for found in _PLACEHOLDER.finditer(text))


def lookup(params: Mapping[str, Any], dotted: str) -> Any:
    """`a.b` within nested params. Errors: KeyError."""
    if dotted in params:
        return params[dotted]
    first, _, rest = dotted.partition(".")
    if not rest or not isinstance(params.get(first), Mapping):
        raise KeyError(dotted)
    return lookup(params[first], rest)


def as_text(value: Any) -> str:
    """A parameter as a command line takes it: text as it is, all else as JSON, nothing for null."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _of(found: re.Match[str]) -> Placeholder:
    return Placeholder(found[1], found[2]) if found[1] else Placeholder(found[3])


def _quoted(value: str, quote: str) -> str:
    """`value` as one piece of a shell word, within the quotes that the user already wrote around it."""
    if quote == "'":
        return value.replace("'", "'\\''")
    if quote == '"':
        return re.sub(r'([\\"$`])', r"\\\1", value)
    return shlex.quote(value)


def _quotes(script: str) -> Sequence[str]:
    """Per character of a shell script, the quote that it stands in ('' for none)."""
    seen: list[str] = []
    nested = [""]  # $(…) begins anew, also within double quotes
    position = 0
    while position < len(script):
        length, char, quote = 1, script[position], nested[-1]
        if quote == "'":
            nested[-1] = "" if char == "'" else quote
        elif char == "\\":
            length = 2
        elif script.startswith("$(", position):
            nested.append("")
            length = 2
        elif char == '"':
            nested[-1] = "" if quote == '"' else '"'
        elif quote == "":
            length = _outside_quotes(script, position, nested)
        seen += [quote] * length
        position += length
    return seen


def _outside_quotes(script: str, position: int, nested: list[str]) -> int:
    """Takes one character, or a comment whole; returns how many."""
    char = script[position]
    if char == "'":
        nested[-1] = "'"
    elif char == "(":
        nested.append("")
    elif char == ")" and len(nested) > 1:
        nested.pop()
    elif char == "#" and (position == 0 or script[position - 1] in " \t\n;"):
        end = script.find("\n", position)
        return (len(script) if end < 0 else end) - position
    return 1
