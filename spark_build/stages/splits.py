"""Splits by hash: a record's own key decides, so that adding data moves no old record."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any

from spark_build.core.digest import canonical_json
from spark_build.core.errors import BadInput, ItemRejected
from spark_build.core.values import Struct

DEFAULT_SPLIT = "train"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # it names files


class SplitPlan(Struct, frozen=True):
    """How records fall into splits.

    `ratios` None: the source's own splits, else one. `group`: all records of one value together.
    `balance`: each value of the column is hashed by itself, so that each has the ratios as its expectation;
    nearer it can't be while no record ever moves. The more records a value has, the nearer it is.
    """

    ratios: Mapping[str, float] | None = None
    group: str | None = None
    balance: str | None = None
    at_least: Mapping[str, int] | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any] | None) -> "SplitPlan":
        given = {
            name: value for name, value in (options or {}).items() if value is not None and name != "keep"
        }
        return cls(
            ratios=None if not given.get("ratios") else dict(sorted(given["ratios"].items())),
            group=given.get("group"),
            balance=given.get("balance"),
            at_least=given.get("at_least") or None,
        )

    def split_of(self, key: str, own: str | None, fields: Mapping[str, Any], meta: Mapping[str, Any]) -> str:
        """Errors: ItemRejected without a value to group by, or where the record names an impossible split."""
        if self.ratios is None:
            if own and not _NAME.fullmatch(own):
                raise ItemRejected("bad_split", repr(own))
            return own or DEFAULT_SPLIT
        if self.group is not None:
            value = fields.get(self.group, meta.get(self.group))
            if value is None:
                raise ItemRejected("no_group", f"{self.group}: not there")
            return self._draw(canonical_json(["group", value]))
        stratum = fields.get(self.balance, meta.get(self.balance)) if self.balance is not None else None
        return self._draw(canonical_json(["record", stratum, key]))

    def _draw(self, what: bytes) -> str:
        import xxhash

        assert self.ratios is not None
        names, bounds = list(self.ratios), list(accumulate(self.ratios.values()))
        point = xxhash.xxh3_64_intdigest(what) / 2**64 * bounds[-1]
        return names[min(bisect_right(bounds, point), len(names) - 1)]

    def check(self, counts: Mapping[str, int], records: int, limit: int | None) -> None:
        """Errors: BadInput for too few records, an empty split, one below `at_least`."""
        if self.ratios is not None:
            self._check_none_empty(counts, records, limit)
        for name, least in sorted((self.at_least or {}).items()):
            if counts.get(name, 0) < least:
                raise BadInput(
                    f"split '{name}' has {counts.get(name, 0)} items, and at_least asks for {least}",
                    fix=f"add records, give '{name}' a larger share, or ask for fewer",
                )

    def _check_none_empty(self, counts: Mapping[str, int], records: int, limit: int | None) -> None:
        assert self.ratios is not None
        limited = f" (--limit {limit})" if limit is not None else ""
        if records < len(self.ratios):
            raise BadInput(
                f"{_counted(records, 'record')}{limited} can't fill {len(self.ratios)} splits "
                f"({', '.join(self.ratios)})",
                fix="add records, or leave `splits` out",
            )
        empty = [name for name in self.ratios if not counts.get(name)]
        if empty:
            what = f"group of '{self.group}'" if self.group else "record"
            raise BadInput(
                f"split '{empty[0]}' is empty: none of {_counted(records, 'record')}{limited} fell into it",
                fix=f"every {what} is drawn by hash, so add more of them, give '{empty[0]}' a larger share, "
                f"or choose yourself: folders {'/, '.join(self.ratios)}/ in the source, and `splits: keep`",
            )


def balance_of(rows: Iterable[tuple[str, Any]]) -> dict[str, dict[str, int]]:
    """For each value of the balanced column, its items in each split; from pairs (split, value)."""
    table: dict[str, dict[str, int]] = {}
    for split, value in rows:
        counts = table.setdefault(str(value), {})
        counts[split] = counts.get(split, 0) + 1
    return {value: dict(sorted(table[value].items())) for value in sorted(table)}


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count:,} {noun}s"
