"""All that a store has of forgotten records: shards, files that they refer to, memo entries."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from spark_build.app.forgotten_memo import ReadRow, entries_of, read_rows
from spark_build.app.held import (
    Held,
    Known,
    Result,
    blobs_in,
    content_of_row,
    fields_of,
    is_content_id,
    texts_in,
    without_nothing,
)
from spark_build.core.digest import Digest
from spark_build.core.forgotten import content_mark, file_mark, id_mark
from spark_build.core.tree import Entry
from spark_build.core.values import Struct, field
from spark_build.report.forgotten import Elsewhere
from spark_build.sources._rows import record_of
from spark_build.stages.forgetting import marks_of
from spark_build.storage.memo import LocalMemo

_SHORTEST_TEXT = 24  # characters of a value by which alone what holds it is known
_SHORTEST_NAME = 6  # of an id by which alone what holds it is known


class Found(Struct, dict=True):
    """What of the store is to go, and what stays though it holds the same."""

    results: dict[str, Result] = field(default_factory=dict)  # that hold an item, by key
    shards: set[Digest] = field(default_factory=set)
    compared: set[Digest] = field(default_factory=set)  # of the shards, those that only name one
    tables: set[Digest] = field(default_factory=set)  # of the shards, those whose rows are as stages see them
    blobs: set[Digest] = field(default_factory=set)
    elsewhere: dict[Digest, Elsewhere] = field(default_factory=dict)
    memo: dict[Digest, set[bytes]] = field(default_factory=dict)
    known: set[Known] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a row, of whichever dataset, is one of them."""
        own = Known.of(row)
        return any(known.is_in(own) for known in self._by_name.get(own.name, ()))

    def is_told_by(self, row: Mapping[str, Any]) -> bool:
        """The same of a row's names; or it was rejected because it is like one of them."""
        return self.holds(row) or record_of(str(row.get("matched") or "")) in self._by_name

    @cached_property
    def _by_name(self) -> dict[str, list[Known]]:
        """Once all are known."""
        named: dict[str, list[Known]] = {}
        for known in self.known:
            named.setdefault(known.name, []).append(known)
        return named

    @property
    def names(self) -> set[str]:
        """Ids of their own; one that is a digest tells nothing."""
        own = {known.name for known in self.known}
        return {name for name in own if len(name) >= _SHORTEST_NAME and not is_content_id(name)}

    @property
    def needles(self) -> list[bytes]:
        """What a log must not hold: a name, or a line of a text."""
        lines = {line for text in self.texts for line in text.splitlines() if len(line) >= _SHORTEST_TEXT}
        return [text.encode() for text in lines | self.names]

    @property
    def needles_in_json(self) -> list[bytes]:
        texts = [json.dumps(text, ensure_ascii=False).encode() for text in {*self.texts, *self.names}]
        # a value may go on behind a text, and not behind a name
        return [text if json.loads(text) in self.names else text[1:-1] for text in texts]

    @property
    def objects(self) -> set[Digest]:
        return (self.shards | self.blobs) - self.elsewhere.keys()


class Search(Struct, dict=True):
    """Everything of these marks in the store."""

    held: Held
    memo: LocalMemo
    marks: frozenset[Digest]

    def found(self) -> Found:
        found = Found()
        read = [
            one for one in read_rows(self.held, self.memo) if not self.marks.isdisjoint(marks_of(one.raw))
        ]
        found.known |= {Known(one.name, one.source) for one in read} | set(self._named())
        rows = self._rows(found)
        found.texts = self._texts(found, rows, read)
        states = [state for row in rows for state in (fields_of(row), without_nothing(fields_of(row)))]
        sources = {known.source for known in found.known}
        entries = entries_of(self.memo, read, states, sources, found.needles_in_json)
        found.memo = entries.keys
        found.blobs |= entries.blobs
        self._spare(found)
        return found

    def _named(self) -> Iterator[Known]:
        """Records as the dataset's own rows name them."""
        seen = set[Digest]()
        for result in self.held.own():
            for shard in result.shards:
                if shard.digest not in seen:
                    seen.add(shard.digest)
                    yield from self._named_in(result, shard)

    def _named_in(self, result: Result, shard: Entry) -> Iterator[Known]:
        names = self.held.names_of(shard)
        yield from (Known.of(row) for row in names if self._names(row))
        has_own_ids = not all(is_content_id(Known.of(row).name) for row in names)
        if has_own_ids and result.has_whole_records and shard.path.startswith("data/"):
            rows = self.held.rows_of(shard.digest)
            yield from (Known.of(row) for row in rows if content_mark(content_of_row(row)) in self.marks)

    def _names(self, row: Mapping[str, Any]) -> bool:
        name = record_of(str(row["id"]))
        marks = {content_mark(name), id_mark(name), id_mark(str(row["id"])), file_mark(str(row["source"]))}
        return not self.marks.isdisjoint(marks)

    def _rows(self, found: Found) -> list[dict[str, Any]]:
        """Rows of the items as stages see them; shards and results that hold them are noted."""
        rows, clean = [], set[Digest]()
        for result in self.held.results:
            for shard in result.shards:
                if shard.digest in clean:
                    continue
                if shard.digest not in found.shards:
                    if not any(map(found.is_told_by, self.held.names_of(shard))):
                        clean.add(shard.digest)
                        continue
                    found.shards.add(shard.digest)
                    found.compared |= {shard.digest} if result.only_compares else set()
                    if shard.path.startswith("data/"):
                        own = [row for row in self.held.rows_of(shard.digest) if found.holds(row)]
                        found.blobs |= set(_blobs_of_rows(own, result))
                        if result.holds_references:
                            found.tables.add(shard.digest)
                            rows += own
                found.results[result.record.key] = result
        return rows

    def _texts(self, found: Found, rows: Sequence[Mapping[str, Any]], read: Sequence[ReadRow]) -> set[str]:
        """Values that nothing else in these shards has: what holds one of them is of these records."""
        values = [*map(fields_of, rows), *(one.raw.fields for one in read)]
        texts = {text for value in values for text in texts_in(value) if len(text) >= _SHORTEST_TEXT}
        for digest in found.tables if texts else ():
            for row in self.held.rows_of(digest):
                if not found.holds(row):
                    texts.difference_update(texts_in(fields_of(row)))
        return texts

    def _spare(self, found: Found) -> None:
        """Nothing that somebody else needs goes without being asked for."""
        objects = (found.shards - found.compared) | found.blobs
        for target, tree in self.held.others:
            for entry in tree:
                if entry.digest in objects:
                    found.elsewhere.setdefault(entry.digest, Elsewhere(entry.digest, target, entry.path))
        for result in self.held.results if found.blobs else ():
            for shard in result.shards if result.holds_references else ():
                if shard.path.startswith("data/"):
                    self._spare_shared(found, result, self.held.rows_of(shard.digest))

    def _spare_shared(self, found: Found, result: Result, rows: Sequence[Mapping[str, Any]]) -> None:
        """A file that another item has, too."""
        for row in rows:
            shared = found.blobs.intersection(blobs_in(fields_of(row)))
            if shared and not found.holds(row):
                where = result.target, str(row["source"]), str(row["id"])
                for digest in shared:
                    found.elsewhere.setdefault(digest, Elsewhere(digest, *where))


def _blobs_of_rows(rows: Sequence[Mapping[str, Any]], result: Result) -> Iterator[Digest]:
    """Media that rows refer to; of a version, those that lie beside its shards."""
    for row in rows:
        yield from blobs_in(fields_of(row))
        facts = row.get("meta", {}).get("media", {}) if not result.holds_references else {}
        yield from (known["digest"] for known in facts.values() if "digest" in known)
