"""Records of a source: each file is read once in its life, and remembered by its path and digest."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from spark_build.contract.context import Context
from spark_build.contract.items import Bad, Raw, SourceFile
from spark_build.contract.rules import Source
from spark_build.core.digest import Digest, canonical_row, digest_bytes, digest_json
from spark_build.core.errors import BadInput, ItemRejected, SparkError
from spark_build.core.forgotten import REASON
from spark_build.core.job import Job, JobStep
from spark_build.core.ports import Blobs, Services
from spark_build.core.spool import Spool
from spark_build.core.values import Struct
from spark_build.stages.contexts import step_context
from spark_build.stages.fields import checked_json
from spark_build.stages.forgetting import ROW, Forgotten, drop_made
from spark_build.stages.items_memo import remember
from spark_build.stages.listing import check_unchanged, files_of
from spark_build.stages.loading import failed, shown_path
from spark_build.stages.media import is_usable, referred
from spark_build.stages.progress import Progress
from spark_build.stages.spreading import Work

_LONG_BYTES = 64 << 20  # of one file's records, as JSON
_LONG = b"null"  # in place of so many: the file is read again instead


class Record(Struct, frozen=True):
    source: str
    position: int
    found: Raw | Bad
    is_new: bool  # it was read now, and its content was not known

    @property
    def identity(self) -> tuple[str, int | str]:
        """Of all records of the source: a row of another dataset may stand elsewhere, and keeps its id."""
        own_id = self.found.id if isinstance(self.found, Raw) and self.found.source is not None else None
        return self.source, self.position if own_id is None else own_id


class ReadFile(Struct, frozen=True):
    file: SourceFile
    rows: Iterable[bytes | dict[str, Any]]  # each as JSON, or parsed
    is_new: bool


def read_records(
    job: Job, context: Context, services: Services, step: JobStep, source: Source
) -> list[Record]:
    """Every record in canonical order. Errors: BadInput where there is no file, or not one record."""
    context = step_context(context, job, step)
    place = source.fetch(context)
    if not place.exists():
        raise BadInput(f"{shown_path(job, place)}: not there", fix="check the source's path")
    listing = Path(job.options["listing"]) if is_listed(job, context, place) else None
    files = files_of(place, listing)
    if not files:
        raise BadInput(
            f"{shown_path(job, place)} holds no files",
            fix="put documents there, or point the source elsewhere",
        )
    operation, forgotten = read_operation(step, source), Forgotten.of(job)
    records = records_of_files(services, step, source, files, operation, forgotten, job.limit)
    if source.looks_at_all():
        records = [_unless(record, forgotten) for record in _gathered(source, records, services)]
    if source.limits_items:
        records = records[: job.limit]
    if not records:
        raise BadInput(
            f"{shown_path(job, place)}: no record in {len(files):,} files",
            fix="check the source's patterns, and that the files are of a kind that it reads",
        )
    return records


def records_of_files(
    services: Services,
    step: JobStep,
    source: Source,
    files: Sequence[SourceFile],
    operation: Digest,
    forgotten: Forgotten,
    limit: int | None = None,
) -> list[Record]:
    if not source.is_remembered or source.limits_items:
        limit = None  # of datasets that are limited themselves; or it comes later
    read = _read_files(services, step, source, files, operation, forgotten, limit)
    return list(_records(services, operation, read, limit))


def _gathered(source: Source, records: Sequence[Record], services: Services) -> list[Record]:
    pairs = [(record.source, record.found) for record in records]
    return [
        Record(found.source or records[number].source, position, found, records[number].is_new)
        for position, (number, found) in enumerate(source.gather(pairs, services.report))
    ]


def _unless(record: Record, forgotten: Forgotten) -> Record:
    """What a record became together with others may be forgotten, too."""
    if isinstance(record.found, Raw) and forgotten.holds(record.found):
        return Record(record.source, record.position, Bad(REASON), record.is_new)
    return record


def count_remembered(services: Services, operation: Digest, files: Sequence[SourceFile]) -> int | None:
    """How many records these files had; None where one of them is not remembered."""
    values = services.memo.get(operation, [_key_of(file) for file in files])
    if None in values or _LONG in values:
        return None
    return sum(len(json.loads(value)) for value in values if value is not None)


def is_listed(job: Job, context: Context, place: Path) -> bool:
    """Whether the build has digested the files there already."""
    return "listing" in job.options and place == context.inputs.get("path")


def read_operation(step: JobStep, source: Source) -> Digest:
    """Scopes the memo of `read`: the step without inputs that name the files; keys hold their digests."""
    return operation_of_read(step.manifest, type(source)) if step.manifest else step.operation


def operation_of_read(manifest: Mapping[str, Any], source: type[Source]) -> Digest:
    """The same of a step that a Record tells of."""
    only_fetch = ("inputs", "env", "tools", "options") if source.inputs_are_for_fetch else ()
    kept = {name: value for name, value in manifest.items() if name not in only_fetch}
    for part in ("params", "inputs"):
        if part in kept and (names := set(source.unread) & kept[part].keys()):
            kept[part] = {name: value for name, value in kept[part].items() if name not in names}
    if source.fetch is Source.fetch and "inputs" in kept:
        kept["inputs"] = {name: digest for name, digest in kept["inputs"].items() if name != "path"}
    return digest_json(["read", kept])


def _read_files(
    services: Services,
    step: JobStep,
    source: Source,
    files: Sequence[SourceFile],
    operation: Digest,
    forgotten: Forgotten,
    limit: int | None,
) -> Iterator[ReadFile]:
    if limit is not None:  # any few files, but always the same ones
        files = sorted(files, key=lambda file: digest_bytes(file.path.encode()))[:limit]
        files.sort(key=lambda file: file.path)
    if not source.is_remembered:
        for file in files:
            yield ReadFile(file, _read(step, source, file, services.blobs, forgotten), is_new=True)
        return
    values, new = remember(
        services,
        operation,
        [_key_of(file) for file in files],
        Work(
            partial(read_at_once, forgotten),
            Source,
            step,
            source,
            files.__getitem__,
            services.blobs,
            is_pure=not source.uses_model_of(source.params),
        ),
        usable=forgotten.usable(is_usable(services.blobs)),
        stays=forgotten.may_stay,
        progress=Progress(services.report, len(files), "files"),
    )
    for position, file in enumerate(files):
        value = values[position]
        is_long = value == _LONG
        rows = _read(step, source, file, services.blobs, forgotten) if is_long else json.loads(value)
        yield ReadFile(file, rows, position in new)


def _key_of(file: SourceFile) -> bytes:
    return key_of_file(file.path, file.digest)


def key_of_file(path: str, digest: Digest) -> bytes:
    """Of what was read of it."""
    return bytes.fromhex(digest_json([path, digest]))


def read_at_once(
    forgotten: Forgotten, step: JobStep, source: Source, files: Sequence[SourceFile], blobs: Blobs
) -> Iterator[bytes]:
    """What stands in each, as it is remembered."""
    return (_read_at_once(step, source, file, blobs, forgotten) for file in files)


def _read_at_once(
    step: JobStep, source: Source, file: SourceFile, blobs: Blobs, forgotten: Forgotten
) -> bytes:
    """A JSON list of the file's records, or that they are too many to be remembered: reading them is as quick."""
    rows, size = [], 0
    for row in _read(step, source, file, blobs, forgotten):
        rows.append(row)
        size += len(row)
        if size > _LONG_BYTES and len(rows) > 1:
            return _LONG
    return b"[" + b",".join(rows) + b"]"


def _read(
    step: JobStep, source: Source, file: SourceFile, blobs: Blobs, forgotten: Forgotten
) -> Iterator[bytes]:
    """The file's records as JSON; media that they refer to are in the store then."""
    try:
        for found in source.read(file):
            if isinstance(found, Raw) and forgotten.holds(found):
                drop_made(found)
                yield _encoded_bad(Bad(REASON, source=found.source), file) if found.source else ROW
            else:
                yield _encoded(found, file, blobs)
    except ItemRejected as rejected:
        yield _encoded_bad(Bad(rejected.reason, rejected.detail), file)
    except SparkError:
        raise
    except Exception as error:
        check_unchanged(file)
        raise failed(step, f"on {file.path}", error) from error
    check_unchanged(file)


def _encoded(found: Raw | Bad, file: SourceFile, blobs: Blobs) -> bytes:
    if isinstance(found, Bad):
        return _encoded_bad(found, file)
    try:
        fields = referred(found.fields, blobs)
        row = {"fields": fields, "key": found.key, "id": found.id, "split": found.split, "meta": found.meta}
        row["source"] = found.source
        return checked_json({name: value for name, value in row.items() if value not in (None, {})})
    except ItemRejected as rejected:
        return _encoded_bad(Bad(rejected.reason, rejected.detail), file)


def _encoded_bad(bad: Bad, file: SourceFile) -> bytes:
    # no path of this machine reaches an Artifact
    detail = bad.detail.replace(str(file.location), file.path)
    told = [bad.reason, detail.encode(errors="replace").decode(), *([bad.source] if bad.source else [])]
    return checked_json({"bad": told})


def _decoded(row: Mapping[str, Any], spool: Spool) -> Raw | Bad:
    if "bad" in row:
        return Bad(*row["bad"])
    return Raw(
        spool.fields(row.get("fields", {})),
        row.get("key", ""),
        row.get("id"),
        row.get("split"),
        row.get("meta", {}),
        row.get("source"),
    )


def _records(
    services: Services, operation: Digest, read: Iterable[ReadFile], limit: int | None
) -> Iterator[Record]:
    count = 0
    for one in read:
        found, new = _rows(services, operation, one)
        for position, row in enumerate(found):
            if limit is not None and count >= limit:
                return
            count += 1
            if row.source is None:
                yield Record(one.file.path, position, row, position in new)
            else:  # of which other files may tell as well
                yield Record(row.source, count, row, position in new)


def seen_key(row: Mapping[str, Any], file: str) -> bytes:
    """Of a record in the memo of those that were seen."""
    # a row that says where it comes from is the same in whichever file it stands
    return bytes.fromhex(digest_bytes(canonical_row(["" if "source" in row else file, row])))


def seen_operation(operation: Digest) -> Digest:
    return digest_json(["rows seen", operation])


def _rows(services: Services, operation: Digest, read: ReadFile) -> tuple[list[Raw | Bad], set[int]]:
    """A file's records, and positions of those whose content is new to it: where a file grew, these alone count as
    handled."""
    found, keys = list[Raw | Bad](), list[bytes]()
    for given in read.rows:
        row = json.loads(given) if isinstance(given, bytes) else given
        found.append(_decoded(row, services.spool))
        if read.is_new:
            keys.append(seen_key(row, read.file.path))
    if not read.is_new:
        return found, set()
    if len(found) == 1 and isinstance(found[0], Raw) and found[0].key == read.file.path:
        return found, {0}  # a document: the file is the item
    seen = seen_operation(operation)
    _, new = remember(services, seen, keys, lambda positions: [b""] * len(positions), batch=len(keys) or 1)
    return found, new
