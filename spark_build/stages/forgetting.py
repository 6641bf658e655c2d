"""Records that are to be forgotten: known by their marks as they are read, before anything of them is kept."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spark_build.contract.items import Raw
from spark_build.contract.media import MARK, Media, content_of, is_made
from spark_build.core.digest import Digest, canonical_json, digest_file
from spark_build.core.forgotten import REASON, content_mark, file_mark, id_mark
from spark_build.core.job import Job
from spark_build.core.values import Struct
from spark_build.stages.fields import own_columns_out, plain_fields
from spark_build.stages.ids import content_id

ROW = canonical_json({"bad": [REASON, ""]})  # in place of such a record: nothing of it


class Forgotten(Struct, frozen=True):
    """The marks of a dataset's tombstones."""

    marks: frozenset[Digest] = frozenset()

    @classmethod
    def of(cls, job: Job) -> "Forgotten":
        return cls(frozenset(job.options.get(REASON) or ()))

    def holds(self, raw: Raw) -> bool:
        """Whether this record is one of them."""
        return bool(self.marks) and not self.marks.isdisjoint(marks_of(raw))

    def holds_row(self, row: Mapping[str, Any]) -> bool:
        """The same of a record as it is remembered."""
        return bool(self.marks) and "bad" not in row and self.holds(raw_of(row))

    def may_stay(self, value: bytes) -> bool:
        """Whether what was read of a file is to be remembered: where a record was left out, it is read again, so that
        it comes back once it is no longer forgotten.
        """
        return not self.marks or ROW not in value

    def usable(self, otherwise: Callable[[Sequence[bytes]], list[bool]]) -> Callable[[Any], list[bool]]:
        """Of remembered files: those that are so `otherwise`, and hold no such record."""
        if not self.marks:
            return otherwise

        def check(values: Sequence[bytes]) -> list[bool]:
            clean = [not any(map(self.holds_row, json.loads(value) or ())) for value in values]
            return [one and other for one, other in zip(clean, otherwise(values), strict=True)]

        return check


def marks_of(raw: Raw) -> set[Digest]:
    """By content, by its own id, and by the file that it is, where it is one."""
    fields, own_id, _ = own_columns_out(raw)
    marks = {file_mark(raw.key)} | ({id_mark(own_id)} if own_id is not None else set())
    try:
        content = {name: content_of(_referred(value)) for name, value in plain_fields(fields).items()}
        return marks | {content_mark(content_id(content))}
    except (TypeError, ValueError, RecursionError):  # no JSON: it will be rejected for that
        return marks


def raw_of(row: Mapping[str, Any]) -> Raw:
    return Raw(row.get("fields", {}), row.get("key", ""), row.get("id"))


def drop_made(raw: Raw) -> None:
    """Files that a source made for a record that nobody takes."""
    for value in raw.fields.values():
        if isinstance(value, Media) and is_made(value.path):
            value.path.unlink(missing_ok=True)


def _referred(value: Any) -> Any:
    """A media file by its digest; nothing of it is taken into the store for that."""
    if not isinstance(value, Media):
        return value
    return {MARK: value.kind, "digest": value.digest or digest_file(value.path)}
