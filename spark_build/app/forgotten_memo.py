"""What the item memo holds of forgotten records: found by their fields, from each operation on to the next."""

import json
from collections import ChainMap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from spark_build.app.held import Held, blobs_in
from spark_build.contract.items import Item, Raw
from spark_build.contract.media import MARK, content_of
from spark_build.contract.rules import Source, digest_of_fields
from spark_build.core.digest import Digest
from spark_build.core.errors import ItemRejected, SparkError, StoreDamaged
from spark_build.core.record import Record
from spark_build.core.values import Struct, field
from spark_build.rulebook import find
from spark_build.stages.entering import tells_of
from spark_build.stages.fields import own_columns_out, plain_fields, reconverted
from spark_build.stages.forgetting import raw_of
from spark_build.stages.ids import content_id
from spark_build.stages.records import key_of_file, operation_of_read, seen_key, seen_operation
from spark_build.storage.memo import LocalMemo

_MOST_FIELDS = 8  # whose subsets are all tried; of more fields all together, each alone, and each two

Fields = Mapping[str, Any]


class ReadRow(Struct, frozen=True):
    """One record as `read` remembers it."""

    operation: Digest
    key: bytes  # of the file that it stands in
    row: Mapping[str, Any]
    source: str  # what it comes from; '' where nobody knows
    is_newest: bool  # of a file as the newest result has read it
    declared: Mapping[str, str]  # the dataset's `fields`

    @property
    def raw(self) -> Raw:
        return raw_of(self.row)

    @property
    def name(self) -> str:
        """What rows call it."""
        return own_columns_out(self.raw)[1] or self.content

    @property
    def content(self) -> str:
        """The id that it would have by its content."""
        return content_id({name: content_of(value) for name, value in self._fields.items()})

    @property
    def states(self) -> Iterator[Fields]:
        """Its fields as transforms and gates may see them."""
        yield self._fields
        try:
            yield reconverted(self._fields, self.declared)
        except ItemRejected:
            return

    @property
    def _fields(self) -> Fields:
        return plain_fields(own_columns_out(self.raw)[0])


class Entries(Struct):
    """What is to go."""

    keys: dict[Digest, set[bytes]] = field(default_factory=dict)  # by operation
    blobs: set[Digest] = field(default_factory=set)  # that the values refer to

    def add(self, operation: Digest, key: bytes) -> bool:
        """Whether it is new."""
        known = self.keys.setdefault(operation, set())
        is_new = key not in known
        known.add(key)
        return is_new


def read_rows(held: Held, memo: LocalMemo) -> Iterator[ReadRow]:
    """All records that the memo has of the dataset's source, whatever its params were."""
    ingests = [result for result in held.own() if result.is_ingest]
    operations = {_read_operation(held, r.record.manifest["steps"][0]): r.record for r in reversed(ingests)}
    files = [_files_of(held, result.record) for result in ingests]
    paths = dict(ChainMap(*files))
    for operation, record in operations.items():
        declared = record.manifest.get("options", {}).get("fields", {})
        for key, value in memo.entries(operation) if operation else ():
            for row in json.loads(value) or ():
                if "bad" not in row:
                    source = row.get("source") or paths.get(key) or row.get("key", "")
                    yield ReadRow(operation, key, row, source, key in files[0], declared)


def _files_of(held: Held, record: Record) -> dict[bytes, str]:
    """Paths of the files that a result has read, by what the memo calls them."""
    try:
        listing = held.project.objects.tree(record.sources["0.path"])
    except (KeyError, StoreDamaged):
        return {}
    return {key_of_file(entry.path, entry.digest): entry.path for entry in listing}


def _read_operation(held: Held, step: Mapping[str, Any]) -> Digest:
    """'' where the rule is no more."""
    folder = held.project.root / held.project.graph.nodes[f"{held.dataset}/ingest"].folder
    try:
        rule = find("source", step["rule"], folder).rule
    except SparkError:
        return ""
    return operation_of_read(step, rule) if issubclass(rule, Source) else ""


def entries_of(
    memo: LocalMemo,
    read: Sequence[ReadRow],
    rows: Iterable[Fields],
    sources: Collection[str],
    needles: Collection[bytes],
) -> Entries:
    """Of records as they were read and of the rows that came of them; and all that holds one of `needles`."""
    found = Entries()
    for one in read:
        found.add(one.operation, one.key)
        found.blobs.update(blobs_in(one.raw.fields))
        seen = seen_operation(one.operation)
        keys = list({seen_key(one.row, source) for source in ("", *sources)})
        for key, value in zip(keys, memo.get(seen, keys), strict=True):
            if value is not None:
                found.add(seen, key)
    digests = _follow(memo, [*(f for one in read for f in one.states), *rows], found)
    for operation in memo.operations() if needles or digests else ():
        for key, value in memo.entries(operation):
            if tells_of(value, digests) or any(needle in value for needle in needles):
                found.add(operation, key)
    found.keys = {operation: keys for operation, keys in found.keys.items() if keys}
    return found


def _follow(memo: LocalMemo, states: Sequence[Fields], found: Entries) -> set[bytes]:
    """Fields as one operation left them are those that the next one looked at; the digests of all that were met."""
    operations, waiting, seen = memo.operations(), [*states], set[bytes]()
    while waiting:
        state = waiting.pop()
        asked = {digest_of_fields(Item("", "", "", state), names): names for names in _choices(state)}
        if asked.keys() <= seen:
            continue
        seen |= asked.keys()
        keys = list(asked)
        for operation in operations:
            for key, value in zip(keys, memo.get(operation, keys), strict=True):
                if value is not None and found.add(operation, key):
                    for became in _became(state, asked[key], _parsed(value)):
                        found.blobs.update(blobs_in(became))
                        waiting.append(became)
    return seen


def _choices(state: Fields) -> Iterator[tuple[str, ...]]:
    """The fields that an operation may have read; without those that have no value, too."""
    names = sorted(state)
    counts = range(1, len(names) + 1) if len(names) <= _MOST_FIELDS else (1, 2, len(names))
    for count in counts:
        yield from combinations(names, count)


def _became(state: Fields, read: Sequence[str], value: Any) -> Iterator[Fields]:
    """What a transform made of it, beside what it did not look at."""
    pieces = value.get("found") if isinstance(value, dict) else None
    unread = {name: given for name, given in state.items() if name not in read}
    for piece in pieces if isinstance(pieces, list) else ():
        if isinstance(piece, dict) and MARK not in piece:
            yield {**unread, **plain_fields(piece)}


def _parsed(value: bytes) -> Any:
    """JSON, or what a gate that compares items keeps."""
    try:
        return json.loads(value)
    except ValueError:
        return None
