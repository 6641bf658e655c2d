"""Labels of files from where they lie (`label: parent`) and from a table beside them (`join`)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from spark_build.contract import Bad, Needs, Project, Raw, RuleParams, Source, SourceFile
from spark_build.contract.params import Field
from spark_build.core.errors import BadInput, ItemRejected
from spark_build.core.ports import Reporter
from spark_build.core.values import replace
from spark_build.modalities.text.read import read_records
from spark_build.modalities.text.records import Reading
from spark_build.sources._reading import ReadingParams, split_of

TABLE = "join.table"  # the input
_MOST_NAMED = 5


class JoinParams(RuleParams):
    table: str = Field(description="A CSV, TSV, JSON, JSON lines or Parquet file.")
    on: str = Field(description="Its column that tells which item a row is about.")
    to: str = Field(
        "file",
        description="What that is: file (the path within the source), name (its last part), stem (that without "
        "suffix), id, or a field.",
    )
    columns: dict[str, str] | list[str] | None = Field(
        None, description="Field: column, or the columns that become fields; by default all others."
    )
    unmatched: Literal["reject", "keep", "fail"] = Field(
        "reject",
        description="Items without a row are rejected, or kept without those fields; rows without an item are told. "
        "`fail`: either ends the stage.",
    )

    synonyms: ClassVar[Mapping[str, str]] = {
        "file": "table", "path": "table", "csv": "table", "key": "on", "left_on": "to", "right_on": "on",
        "fields": "columns", "missing": "unmatched", "how": "unmatched",
    }  # fmt: skip

    def names(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Field: column."""
        if isinstance(self.columns, dict):
            return self.columns
        return {name: name for name in self.columns or row if name != self.on}


class LabelledParams(ReadingParams):
    label: Literal["parent"] | None = Field(
        None, description="parent: the folder that a file lies in is its label. A split's folder is none."
    )
    label_field: str = Field("label", description="The field that takes that label.")
    join: JoinParams | None = Field(
        None,
        description="A table beside the files, whose columns become fields: {table: labels.csv, on: file}.",
    )

    synonyms: ClassVar[Mapping[str, str]] = {**ReadingParams.synonyms, "labels": "label", "metadata": "join"}

    @field_validator("label_field")
    @classmethod
    def _free_name(cls, value: str) -> str:
        if value in ("id", "source", "meta"):
            raise ValueError(f"a field can't be called '{value}'")
        return value


class FileSource(Source):
    """A source of files: labels from folders as they are read, fields of a table when all are there."""

    unread: ClassVar[tuple[str, ...]] = ("join", TABLE)

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        return with_table(super().needs(params, project), params)

    @classmethod
    def keyed(cls, params: Any) -> dict[str, Any]:
        return without_table(super().keyed(params))

    def field_types(self) -> Mapping[str, str]:
        return {self.params.label_field: "label"} if self.params.label else {}

    def looks_at_all(self) -> bool:
        return self.params.join is not None

    def gather(
        self, records: Sequence[tuple[str, Raw | Bad]], report: Reporter
    ) -> Iterable[tuple[int, Raw | Bad]]:
        return joined(records, self.params.join, self.inputs[TABLE], report)


def with_table(needs: Needs, params: Any) -> Needs:
    if params.join is None:
        return needs
    return replace(needs, paths={**needs.paths, TABLE: params.join.table})


def without_table(keyed: dict[str, Any]) -> dict[str, Any]:
    """The table counts as an input; what is not asked for is no param that was added."""
    kept = {
        name: value for name, value in keyed.items() if value is not None or name not in ("label", "join")
    }
    if not keyed.get("label"):
        kept.pop("label_field", None)
    if kept.get("join"):
        kept["join"] = {name: value for name, value in kept["join"].items() if name != "table"}
    return kept


def labelled(file: SourceFile, records: Iterable[Raw | Bad], params: Any) -> Iterator[Raw | Bad]:
    """With the name of the folder that the file lies in, where it is asked for."""
    if params.label is None:
        yield from records
        return
    label = _parent(file.path)
    for found in records:
        yield found if isinstance(found, Bad) else _with_label(found, label, params.label_field)


def _with_label(found: Raw, label: str | None, field: str) -> Raw | Bad:
    if label is None:
        return Bad("no_label", "it lies in no folder that could be its label", found.source)
    if found.fields.get(field) is not None:
        return Bad(
            "two_labels", f"its own '{field}', and its folder's: name another with label_field", found.source
        )
    return replace(found, fields={**found.fields, field: label})


def _parent(path: str) -> str | None:
    folders = PurePosixPath(path).parts[:-1]
    is_split = (
        len(folders) <= 1 + (folders[:1] == ("data",)) and split_of(f"{'/'.join(folders)}/x") is not None
    )
    return None if not folders or is_split else folders[-1]


# a table


def joined(
    records: Sequence[tuple[str, Raw | Bad]], params: JoinParams, table: Path, report: Reporter
) -> Iterator[tuple[int, Raw | Bad]]:
    """Errors: BadInput for a table that can't be used, and with `unmatched: fail` for what has no partner."""
    rows = _rows(params, table)
    used: set[str] = set()
    lonely: list[str] = []
    found: list[tuple[int, Raw | Bad]] = []
    for number, (source, record) in enumerate(records):
        if isinstance(record, Raw):
            key = _key(record, source, params.to)
            row = rows.get(key) if key is not None else None
            if row is not None and key is not None:
                used.add(key)
                record = _with_row(record, row, params, source)
            else:
                lonely.append(source)
                record = (
                    record
                    if params.unmatched == "keep"
                    else Bad("no_row", _no_row(params, key), record.source)
                )
        found.append((number, record))
    _tell(params, lonely, [key for key in rows if key not in used], len(records), report)
    return iter(found)


def _rows(params: JoinParams, table: Path) -> dict[str, Mapping[str, Any]]:
    name = PurePosixPath(params.table).name
    if not table.is_file():
        raise BadInput(
            f"{name}: no file", fix="join.table names a CSV, TSV, JSON, JSON lines or Parquet file"
        )
    rows: dict[str, Mapping[str, Any]] = {}
    for number, record in enumerate(read_records(params.table, table, Reading(id_column=params.on)), 1):
        if isinstance(record, ItemRejected):
            if record.reason == "empty" and number > 1:
                continue  # a row that says nothing but whom it is about
            raise BadInput(
                f"{name}: {record}", fix="mend the table; a row that is not read would be a label lost"
            )
        key = record.id
        if not record.is_row or key is None:
            known = ", ".join(record.fields) if record.is_row else "it is no table"
            raise BadInput(f"{name}, row {number}: no '{params.on}' ({known})", fix="join.on names a column")
        if key in rows:
            raise BadInput(f"{name}: two rows for '{key}'", fix="keep one of them")
        rows[key] = record.fields
    return rows


def _key(record: Raw, source: str, to: str) -> str | None:
    path = PurePosixPath(source)
    if to in ("file", "name", "stem"):
        return {"file": source, "name": path.name, "stem": path.stem}[to]
    value = record.id or record.fields.get("id") if to == "id" else record.fields.get(to)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None else str(value)


def _with_row(record: Raw, row: Mapping[str, Any], params: JoinParams, source: str) -> Raw:
    names = params.names(row)
    if missing := [column for column in names.values() if column not in row]:
        raise BadInput(f"the table has no column '{missing[0]}'", fix=f"it has {', '.join(row)}")
    if taken := [field for field in names if record.fields.get(field) is not None]:
        raise BadInput(
            f"'{taken[0]}' is a field of {source} already",
            fix=f"join: {{columns: {{other_name: {names[taken[0]]}}}}}",
        )
    return replace(
        record, fields={**record.fields, **{field: row[column] for field, column in names.items()}}
    )


def _no_row(params: JoinParams, key: str | None) -> str:
    table = PurePosixPath(params.table).name
    return f"{table} has no '{params.on}' that is '{key}'" if key is not None else f"it has no '{params.to}'"


def _tell(
    params: JoinParams, lonely: Sequence[str], rows: Sequence[str], total: int, report: Reporter
) -> None:
    table = PurePosixPath(params.table).name
    told = []
    if lonely:
        told.append(f"{len(lonely):,} of {total:,} records have no row in {table} ({_some(lonely)})")
    if rows:
        told.append(f"{len(rows):,} rows of {table} are about no record ({_some(sorted(rows))})")
    if told and params.unmatched == "fail":
        raise BadInput("; ".join(told), fix="mend the table, or say `unmatched: reject` or `keep`")
    for text in told:
        report.log(f"warning: {text}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (" …" if len(names) > _MOST_NAMED else "")
