"""Which records are meant by what a user types, and the marks by which each is known from now on."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from spark_build.app.forgotten_memo import ReadRow, read_rows
from spark_build.app.held import Held, Known, Result, content_of_row, is_content_id
from spark_build.core.address import typed
from spark_build.core.digest import Digest
from spark_build.core.errors import UsageError
from spark_build.core.forgotten import Tombstone, content_mark, file_mark, id_mark
from spark_build.core.tree import Entry
from spark_build.core.values import Struct, field
from spark_build.sources._rows import record_of
from spark_build.storage.memo import LocalMemo

_SHORTEST_BEGINNING = 6  # of an id, as for `spark why`
_REPEATED = re.compile(r"(.+)-\d+")  # an id that another has, too (see stages/ids.py)


class Choice(Struct, frozen=True):
    """One record, and what is left of it."""

    known: Known
    tombstone: Tombstone


class _Meant(Struct):
    """The records that one item may mean, by how it names them."""

    exact: dict[Known, None] = field(default_factory=dict)
    of_file: dict[Known, None] = field(default_factory=dict)
    begun: dict[Known, None] = field(default_factory=dict)


def marks_of_name(item: str) -> set[Digest]:
    """By which an item that somebody names may have been forgotten."""
    name = record_of(item)
    return {content_mark(name), id_mark(name), file_mark(item)}


class Naming(Struct, dict=True):
    """The records of a dataset in this store, as its results and its memo name them."""

    held: Held
    memo: LocalMemo
    items: Sequence[str]
    by: str  # content, id, both

    def chosen(self, standing: Mapping[str, Tombstone]) -> list[Choice]:
        """A choice for each record that is not forgotten yet. Errors: UsageError, with all items that are unknown."""
        marks = {mark for tombstone in standing.values() for mark in tombstone.marks}
        unknown = [i for i in self.items if not self._meant[i] and marks.isdisjoint(marks_of_name(i))]
        if unknown:
            raise self._unknown(unknown)
        there = {tombstone.name for tombstone in standing.values()}
        choices = [Choice(known, self._tombstone(known)) for known in self._records]
        return list({c.tombstone.name: c for c in choices if c.tombstone.name not in there}.values())

    def _unknown(self, items: Sequence[str]) -> UsageError:
        dataset, again = self.held.dataset, f"spark build {typed(self.held.dataset)}, then again"
        if not any(self.held.names_of(shard) for _, shard in self._shards()):
            fix = f"{again}; several items can be named at once"
            return UsageError(f"{dataset} has no result in this store", fix=fix)
        fix = "an id, the beginning of one, or a file, as spark why takes it"
        if self.held.lacks_something:  # it may have gone with what was forgotten before
            fix = f"{again}; {fix}"
        names = ", ".join(f"'{item}'" for item in items)
        return UsageError(f"no item {names} in any result of {dataset} here", fix=fix)

    # which ones

    @cached_property
    def _records(self) -> list[Known]:
        return list(dict.fromkeys(known for several in self._meant.values() for known in several))

    @cached_property
    def _meant(self) -> dict[str, list[Known]]:
        """For each item the records that any result knows by it."""
        meant = {item: _Meant() for item in self.items}
        for _, shard in self._shards():
            for row in self.held.names_of(shard):
                for item, found in meant.items():
                    _note(found, item, str(row["id"]), Known.of(row))
        return {item: self._one_of(item, found) for item, found in meant.items()}

    def _one_of(self, item: str, found: _Meant) -> list[Known]:
        if found.exact:
            return list(found.exact)
        if found.of_file:
            if (count := len(self._beside(next(iter(found.of_file))))) > 1:
                raise UsageError(
                    f"{item} holds {count} items",
                    fix="name them by id; or take the file out of the source, and build",
                )
            return list(found.of_file)
        if len(names := sorted({known.name for known in found.begun})) > 1:
            raise UsageError(
                f"'{item}' begins {len(names)} ids: {names[0]}, {names[1]} …", fix="say more of it"
            )
        return list(found.begun)

    def _shards(self) -> Iterator[tuple[Result, Entry]]:
        """Each once, those of the newest ingest first."""
        seen = set[Digest]()
        for result in self.held.own():
            for shard in result.shards:
                if shard.digest not in seen:
                    seen.add(shard.digest)
                    yield result, shard

    # how each is known

    def _tombstone(self, known: Known) -> Tombstone:
        """By all of content, id and file that tell it from others, or by what was asked for."""
        beside, by = self._beside(known), self.by
        is_shared = _is_shared(known, beside)
        content = self._content(known, is_shared=is_shared) if by != "id" else None
        # where ids are row numbers, another record has this one's after an edit
        is_own = not is_content_id(known.name) and (by == "id" or not (is_shared or _are_positions(beside)))
        tombstone = Tombstone(
            content_mark(content) if content is not None else None,
            id_mark(known.name) if is_own and by != "content" else None,
            file_mark(known.source) if by != "content" and self._is_file(known, beside) else None,
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

    def _beside(self, known: Known) -> set[str]:
        """Names of all records of its file, in the newest result that has it."""
        for result in self.held.own():
            rows = [Known.of(row) for shard in result.shards for row in self.held.names_of(shard)]
            if result.is_ingest and known in rows:
                return {row.name for row in rows if row.source == known.source}
        return {known.name}

    @cached_property
    def _read(self) -> list[ReadRow]:
        """Of the memo, what is of these records or of their files."""
        names = {known.name for known in self._records}
        files = {known.source for known in self._records}
        return [one for one in read_rows(self.held, self.memo) if one.raw.key in files or one.name in names]

    def _is_file(self, known: Known, beside: set[str]) -> bool:
        """Whether the record is all that its file holds."""
        read = [one for one in self._read if one.source == known.source]
        return len(beside) == 1 and (not read or any(one.raw.key == known.source for one in read))

    def _content(self, known: Known, *, is_shared: bool) -> str | None:
        """The id that its content gives it, as the newest result that knows it has it."""
        if is_content_id(known.name):
            return known.name
        if is_shared:
            return next(self._whole(known), None)
        read = [one for one in self._read if one.name == known.name and one.source in (known.source, "")]
        newest = [one for one in read if one.is_newest] or read
        return newest[0].content if newest else next(self._whole(known), None)

    def _whole(self, known: Known) -> Iterator[str]:
        """By rows that are the record as it was read."""
        for result, shard in self._shards():
            is_data = result.has_whole_records and shard.path.startswith("data/")
            if is_data and known in map(Known.of, self.held.names_of(shard)):
                rows = self.held.rows_of(shard.digest)
                yield from (content_of_row(row) for row in rows if Known.of(row) == known)


def _note(found: _Meant, item: str, row_id: str, known: Known) -> None:
    if item in (row_id, known.name):
        found.exact[known] = None
    elif item == known.source:
        found.of_file[known] = None
    elif len(item) >= _SHORTEST_BEGINNING and row_id.startswith(item):
        found.begun[known] = None


def _is_shared(known: Known, beside: set[str]) -> bool:
    """Whether several records of the file have its id, so that they got numbers."""
    base = _REPEATED.fullmatch(known.name)
    return f"{known.name}-2" in beside or (base is not None and base[1] in beside)


def _are_positions(names: set[str]) -> bool:
    """Whether the ids of a file are whole numbers without a gap, from 0 or 1."""
    if not all(name.isdecimal() for name in names):
        return False
    numbers = {int(name) for name in names}
    return numbers in (set(range(len(numbers))), set(range(1, len(numbers) + 1)))
