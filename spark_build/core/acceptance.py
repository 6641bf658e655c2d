"""Acceptances: an earlier result that counts for a key which never gave it, because somebody said so."""

import posixpath
import re
from collections.abc import Iterable
from typing import Any

from spark_build.core.digest import Digest
from spark_build.core.values import Struct, asdict


class Acceptance(Struct, frozen=True):
    """From `spark accept`: the Record under `record` counts for `key` as well."""

    key: Digest  # that counts as done
    record: Digest  # key of the Record whose result is taken
    stage: str  # the address that was named; others with the same key count too
    reason: str  # one line, in the user's words
    at: str  # ISO 8601, UTC
    by: str | None = None  # git's user.name, where git has one; nothing else of the machine or its user
    causes: tuple[dict[str, Any], ...] = ()  # reasons of the plan that were accepted, as its JSON has them
    place: str | None = (
        None  # the Sparkfile's folder within its git root; None in files from before it was kept
    )

    @property
    def note(self) -> str:
        """`accepted 2026-11-26: only comments changed`: how a plan's `drift` says it."""
        return f"accepted {self.at[:10]}: {self.reason}"

    def stage_from(self, place: str) -> str | None:
        """The stage as the Sparkfile in the folder `place` calls it; None where it is none of its own.

        `asr/model:x` of one that includes `asr/Sparkfile.yaml` is `model:x` there.
        """
        if self.place is None or self.place == place:
            return self.stage
        whole, own = posixpath.join(self.place, self.stage), posixpath.join(place, "")
        return whole.removeprefix(own) if whole.startswith(own) else None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "causes": list(self.causes)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Acceptance":
        known = {name: data[name] for name in cls.__struct_fields__ if name in data}
        return cls(**{**known, "causes": tuple(data["causes"])})


def accepted_note(drift: Iterable[str]) -> str | None:
    """The line of a `drift` that tells of an acceptance; the others tell of libraries: `torch 2.12 → 2.13`."""
    return next(filter(is_accepted_note, drift), None)


def is_accepted_note(line: str) -> bool:
    return re.match(r"accepted \d{4}-\d\d-\d\d: ", line) is not None
