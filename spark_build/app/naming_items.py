"""Which records are meant by what a user types, and the marks by which each is known from now on."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from spark_build.app.forgotten_memo import ReadRow, read_rows
from spark_build.app.held import Held, Known, Result, content_of_row, is_content_id
from spark_build.core.address import target_of, typed
from spark_build.core.digest import Digest
from spark_build.core.errors import UsageError
from spark_build.core.forgotten import Tombstone, content_mark, file_mark, id_mark
from spark_build.core.values import Struct
from spark_build.sources._rows import record_of
from spark_build.storage.memo import LocalMemo

_SHORTEST_BEGINNING = 6  # of an id, as for `spark why`
_REPEATED = re.compile(r"(.+)-\d+")  # an id that another has, too (see stages/ids.py)


class Choice(Struct, frozen=True):
    """One record, and what is left of it."""

    known: Known
    tombstone: Tombstone


class _Row(Struct, frozen=True):
    result: Result
    id: str
    known: Known


def marks_of_name(item: str) -> set[Digest]:
    """By which an item that somebody names may have been forgotten."""
    name = record_of(item)
    return {content_mark(name), id_mark(name), file_mark(item)}


class Naming(Struct, dict=True):
    """The records of a dataset in this store, as its results and its memo name them."""

    held: Held
    memo: LocalMemo
    dataset: str

    def chosen(self, items: Sequence[str], by: str, standing: Mapping[str, Tombstone]) -> list[Choice]:
        """A choice for each record that is not forgotten yet. Errors: UsageError, with all items that are unknown."""
        if not self._rows:
            raise UsageError(
                f"{self.dataset} has no result in this store",
                fix=f"spark build {typed(self.dataset)}, then again; several items can be named at once",
            )
        meant = {item: self._meant(item) for item in items}
        marks = {mark for tombstone in standing.values() for mark in tombstone.marks}
        unknown = [i for i in items if not meant[i] and marks.isdisjoint(marks_of_name(i))]
        if unknown:
            names = ", ".join(f"'{item}'" for item in unknown)
            fix = "an id, the beginning of one, or a file, as spark why takes it"
            if self.held.lacks_something:  # it went with what was forgotten before
                fix = f"spark build {typed(self.dataset)}, then again; {fix}"
            raise UsageError(f"no item {names} in any result of {self.dataset} here", fix=fix)
        records = dict.fromkeys(known for several in meant.values() for known in several)
        choices = [Choice(known, self._tombstone(known, by)) for known in records]
        there = {tombstone.name for tombstone in standing.values()}
        return list({c.tombstone.name: c for c in choices if c.tombstone.name not in there}.values())

    @cached_property
    def _rows(self) -> list[_Row]:
        return [
            _Row(result, str(row["id"]), Known.of(row))
            for result in self.held.results
            if target_of(result.stage) == self.dataset
            for shard in result.shards
            for row in self.held.names_of(shard)
        ]

    @cached_property
    def _read(self) -> list[ReadRow]:
        return [*read_rows(self.held, self.memo, self.dataset)]

    # which ones

    def _meant(self, item: str) -> list[Known]:
        """By an id, a file, or the beginning of an id; all that any result knows under it."""
        if exact := self._where(lambda row: item in (row.id, row.known.name)):
            return exact
        if of_file := self._where(lambda row: row.known.source == item):
            if (count := self._most_of_file(item)) > 1:
                raise UsageError(
                    f"{item} holds {count} items",
                    fix="name them by id; or take the file out of the source, and build",
                )
            return of_file
        is_long = len(item) >= _SHORTEST_BEGINNING
        begun = self._where(lambda row: row.id.startswith(item)) if is_long else []
        if len(names := sorted({known.name for known in begun})) > 1:
            raise UsageError(
                f"'{item}' begins {len(names)} ids: {names[0]}, {names[1]} …", fix="say more of it"
            )
        return begun

    def _where(self, is_meant: Any) -> list[Known]:
        return list(dict.fromkeys(row.known for row in self._rows if is_meant(row)))

    def _most_of_file(self, source: str) -> int:
        """How many records of a file any one result has."""
        names: dict[Digest, set[str]] = {}
        for row in self._rows:
            if row.known.source == source:
                names.setdefault(row.result.record.key, set()).add(row.known.name)
        return max(map(len, names.values()), default=0)

    # how each is known

    def _tombstone(self, known: Known, by: str) -> Tombstone:
        """By all of content, id and file that tell it from others, or by what was asked for."""
        is_shared = self._is_shared(known)
        content = self._content(known, is_shared=is_shared) if by != "id" else None
        is_own = not is_content_id(known.name)
        # where ids are row numbers, another record has this one's after an edit
        uses_id = is_own and by != "content" and (by == "id" or not (is_shared or self._is_position(known)))
        is_file = by != "content" and self._most_of_file(known.source) == 1
        tombstone = Tombstone(
            content_mark(content) if content is not None else None,
            id_mark(known.name) if uses_id else None,
            file_mark(known.source) if is_file else None,
        )
        if tombstone.marks:
            return tombstone
        if by == "id":
            raise UsageError(
                f"'{known.name}' is no id of its own: it comes from the content", fix="--by content"
            )
        raise UsageError(
            f"'{known.name}' can't be known again by its content: what its source gave is not remembered",
            fix="--by id, if no other record has that id",
        )

    def _content(self, known: Known, *, is_shared: bool) -> str | None:
        """The id that its content gives it, as the newest result that knows it has it."""
        if is_content_id(known.name):
            return known.name
        read = [one for one in self._read if one.name == known.name and one.source in (known.source, "")]
        newest = [one.content for one in read if one.is_newest] or [one.content for one in read]
        whole = next(self._whole(known), None)
        if whole is not None and (is_shared or not newest):
            return whole
        return None if is_shared else next(iter(newest), None)

    def _whole(self, known: Known) -> Iterator[str]:
        """By rows that are the record as it was read."""
        for result in self.held.results:
            if result.has_whole_records and target_of(result.stage) == self.dataset:
                for shard in result.shards:
                    names = map(Known.of, self.held.names_of(shard))
                    if shard.path.startswith("data/") and known in names:
                        rows = self.held.rows_of(shard.digest)
                        yield from (content_of_row(row) for row in rows if Known.of(row) == known)

    def _names_beside(self, known: Known) -> list[Known]:
        """All records of the newest result that knows it."""
        key = next(row.result.record.key for row in self._rows if row.known == known)
        return [row.known for row in self._rows if row.result.record.key == key]

    def _is_shared(self, known: Known) -> bool:
        """Whether several records of the source have its id, so that they got numbers."""
        names = {one.name for one in self._names_beside(known)}
        base = _REPEATED.fullmatch(known.name)
        return f"{known.name}-2" in names or (base is not None and base[1] in names)

    def _is_position(self, known: Known) -> bool:
        """Whether the ids of its file are whole numbers without a gap, from 0 or 1."""
        names = {one.name for one in self._names_beside(known) if one.source == known.source}
        if not all(name.isdecimal() for name in names):
            return False
        numbers = {int(name) for name in names}
        return numbers in (set(range(len(numbers))), set(range(1, len(numbers) + 1)))
