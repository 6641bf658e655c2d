"""Records: what one action did."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from spark_build.core.digest import Digest


@dataclass(frozen=True)
class Record:
    """One action's manifest, what came out, and what was seen on the way.

    No default is an attribute of the class: a KnownRecord would take that for the record's own.
    """

    key: Digest  # of the manifest
    loose_key: Digest  # of the manifest without library versions (design section 4, drift of train)
    stage: str  # the address under which it ran; two stages may share one Record
    manifest: dict[str, Any]
    output: Digest  # of the Artifact's tree
    parts: dict[str, Digest]
    size: int  # bytes of the Artifact
    seconds: float
    started: str  # ISO 8601, UTC
    metrics: dict[str, float] = field(default_factory=dict)  # figures: of an eval, or counts of a dataset
    # {'handled': …, 'remembered': …} where the stage works item by item
    items: dict[str, int] | None = field(default_factory=lambda: None)
    notes: dict[str, Any] = field(default_factory=dict)  # supervised tokens, per-gate counts, hardware …
    libraries: dict[str, str] = field(default_factory=dict)  # full versions seen, for drift notes
    log: str | None = field(default_factory=lambda: None)  # file name under logs/
    events: str | None = field(default_factory=lambda: None)  # file name under logs/, JSON lines
    sources: dict[str, Digest] = field(default_factory=dict)  # input name -> tree listing kept as an object
    read: dict[str, Digest] = field(default_factory=dict)  # input name -> other stage's Artifact
    # why it ran: the key of the action before, and of each cause where it stood and its files
    told: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Its values as they are, not copies: to be written, not to be changed."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Record":
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


class KnownRecord(Record):
    """A record of which some fields are remembered; the others are read where somebody asks for them."""

    def __init__(self, load: Callable[[], Record], **known: Any) -> None:
        self.__dict__.update(known, _load=load)  # the dataclass is frozen

    def __getattr__(self, name: str) -> Any:
        """Of what is not remembered."""
        if name.startswith("_"):
            raise AttributeError(name)
        self.__dict__.update(vars(self.__dict__["_load"]()))
        return self.__dict__[name]
