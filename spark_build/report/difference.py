"""Where two Artifacts begin to differ: a file, and in it the tensor, row, line or byte."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.tree import Entry, Tree
from spark_build.core.values import Struct, asdict
from spark_build.report.words import count, number, printable

if TYPE_CHECKING:
    import numpy as np

Place = Callable[[Entry], Path]  # where a file's content lies

_LONGEST = 120  # characters of a value
_ROWS_AT_ONCE = 1024
_BYTES_SHOWN = 16
_NUMPY = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?", "F8_E4M3": "u1", "F8_E5M2": "u1",
}  # fmt: skip


class Difference(Struct, frozen=True):
    """The first one, `old` before and `new` now; None where a field does not apply."""

    kind: str  # missing added mode tensor row line byte figure
    file: str | None = None
    name: str | None = None  # of a tensor, a column, a figure
    index: tuple[int, ...] | None = None  # within a tensor
    row: int | None = None  # from 0
    line: int | None = None  # from 1
    offset: int | None = None  # bytes
    old: Any = None
    new: Any = None
    deviation: float | None = None  # the largest one of a tensor; of a figure, relative
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        told = {n: value for n, value in asdict(self).items() if value not in (None, "", math.inf)}
        return {**told, "old": _plain(self.old), "new": _plain(self.new)}

    def __str__(self) -> str:
        file = printable(self.file or "")
        if self.kind in ("missing", "added"):
            return f"{file} is {'not there now' if self.kind == 'missing' else 'new'}"
        values = f"{_shown(self.old)} → {_shown(self.new)}"
        note = f"; {self.note}" if self.note else ""
        return f"{file}{': ' if file else ''}{self._where()} {values}{note}"

    def _where(self) -> str:
        name = printable(self.name or "")
        if self.kind == "tensor":
            return f"tensor {name}[{', '.join(map(str, self.index or ()))}]"
        if self.kind == "row":
            return f"row {self.row}, column {name}" if name else f"row {self.row}"
        if self.kind == "line":
            return f"line {self.line}"
        return f"byte {self.offset}" if self.kind == "byte" else name or self.kind


def first_difference(old: Tree, new: Tree, old_place: Place, new_place: Place) -> Difference | None:
    """In the order of paths; None where the trees are equal."""
    before, now = ({entry.path: entry for entry in tree} for tree in (old, new))
    for path in sorted({*before, *now}):
        a, b = before.get(path), now.get(path)
        if a is None or b is None:
            return Difference("added" if a is None else "missing", path)
        if a.digest != b.digest:
            return content_difference(path, old_place(a), new_place(b))
        if a.executable != b.executable:
            return Difference("mode", path, "executable", old=a.executable, new=b.executable)
    return None


def content_difference(path: str, old: Path, new: Path) -> Difference:
    """Where two files that are not equal begin to differ, in the words of their format."""
    suffix = path.rpartition(".")[2].lower()
    try:
        found = _BY_FORMAT[suffix](path, old, new) if suffix in _BY_FORMAT else _line(path, old, new)
    except (ValueError, OSError, KeyError):  # a file that is not what its name says
        found = None
    return found or _byte(path, old, new)


# tensors


def _tensor(path: str, old: Path, new: Path) -> Difference | None:
    """The tensor with the largest deviation of all, and where in it that is."""
    before, now = _tensors(old), _tensors(new)
    for name in sorted(before.keys() ^ now.keys()):
        return Difference("added" if name in now else "missing", path, name, note=f"tensor {name}")
    worst: Difference | None = None
    differing = 0
    for name in sorted(before):
        found = _of_tensor(path, name, before[name], now[name])
        if found is not None:
            differing += 1
            worst = found if worst is None or (found.deviation or 0) > (worst.deviation or 0) else worst
    if worst is None:
        return None
    note = f"deviation {number(worst.deviation or 0)}, {differing} of {count(len(before), 'tensor')} differ"
    return Difference(**{**asdict(worst), "note": note})


def _of_tensor(
    path: str, name: str, old: "np.ndarray[Any, Any]", new: "np.ndarray[Any, Any]"
) -> Difference | None:
    import numpy as np

    if old.dtype != new.dtype or old.shape != new.shape:
        shapes = [f"{array.dtype} {list(array.shape)}" for array in (old, new)]
        return Difference("tensor", path, name, (), old=shapes[0], new=shapes[1], deviation=math.inf)
    with np.errstate(all="ignore"):
        apart = np.abs(old.astype(np.float64) - new.astype(np.float64))
    same = (old == new) | (np.isnan(apart) & (old != old) & (new != new))
    apart = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
    if same.all():
        return None
    at = np.unravel_index(int(np.argmax(np.where(same, -1.0, apart))), old.shape)
    index = tuple(int(i) for i in at)
    return Difference(
        "tensor", path, name, index, old=old[at].item(), new=new[at].item(), deviation=float(apart[at])
    )


def _tensors(file: Path) -> "Mapping[str, np.ndarray[Any, Any]]":
    import numpy as np

    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    whole = np.memmap(file, np.uint8, "r")
    found = {}
    for name, told in header.items():
        if name != "__metadata__":
            start, end = (8 + length + offset for offset in told["data_offsets"])
            array = whole[start:end].view(_NUMPY[told["dtype"]]).reshape(told["shape"])
            found[name] = _from_bfloat16(array) if told["dtype"] == "BF16" else array
    return found


def _from_bfloat16(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    import numpy as np

    return (array.astype(np.uint32) << 16).view(np.float32)


# rows


def _parquet(path: str, old: Path, new: Path) -> Difference | None:
    import pyarrow.parquet as pq

    before, now = pq.read_table(old), pq.read_table(new)
    if before.schema != now.schema:
        return Difference(
            "row", path, row=0, old=str(before.schema), new=str(now.schema), note="the columns differ"
        )
    for start in range(0, max(before.num_rows, now.num_rows), _ROWS_AT_ONCE):
        a, b = before.slice(start, _ROWS_AT_ONCE), now.slice(start, _ROWS_AT_ONCE)
        if not a.equals(b):
            return _row(path, start, a.to_pylist(), b.to_pylist())
    return None


def _json_lines(path: str, old: Path, new: Path) -> Difference | None:
    before, now = (list(map(json.loads, file.read_text("utf-8").splitlines())) for file in (old, new))
    return _row(path, 0, before, now)


def _row(path: str, start: int, old: list[Any], new: list[Any]) -> Difference | None:
    for index in range(max(len(old), len(new))):
        if index >= len(old) or index >= len(new):
            rows = [rows[index] if index < len(rows) else None for rows in (old, new)]
            return Difference(
                "row", path, row=start + index, old=rows[0], new=rows[1], note="one has more rows"
            )
        a, b = old[index], new[index]
        if a != b and isinstance(a, dict) and isinstance(b, dict):
            column = next(
                name for name in {**a, **b} if a.get(name) != b.get(name) or (name in a) != (name in b)
            )
            return Difference("row", path, column, row=start + index, old=a.get(column), new=b.get(column))
        if a != b:
            return Difference("row", path, row=start + index, old=a, new=b)
    return None


# lines and bytes


def _line(path: str, old: Path, new: Path) -> Difference | None:
    before, now = (file.read_bytes().decode("utf-8").splitlines(keepends=True) for file in (old, new))
    for index in range(max(len(before), len(now))):
        a, b = (lines[index] if index < len(lines) else None for lines in (before, now))
        if a != b:
            return Difference("line", path, line=index + 1, old=a, new=b)
    return None


def _byte(path: str, old: Path, new: Path) -> Difference:
    offset = 0
    with old.open("rb") as before, new.open("rb") as now:
        while True:
            a, b = before.read(1 << 20), now.read(1 << 20)
            if a != b or not a:
                break
            offset += len(a)
    within = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    pieces = [data[within : within + _BYTES_SHOWN].hex(" ") or "the end" for data in (a, b)]
    return Difference("byte", path, offset=offset + within, old=pieces[0], new=pieces[1])


_BY_FORMAT: Mapping[str, Callable[[str, Path, Path], Difference | None]] = {
    "safetensors": _tensor,
    "parquet": _parquet,
    "jsonl": _json_lines,
}


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return printable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _plain(value: Any) -> Any:
    """As JSON takes it: no NaN, no bytes, nothing longer than a few lines."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _shown(value)


__all__ = ["Difference", "content_difference", "first_difference"]
