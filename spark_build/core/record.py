"""Records: what one action did."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from spark_build.core.digest import Digest
from spark_build.core.values import Struct, asdict, field


class Record(Struct, frozen=True):
    """One action's manifest, what came out, and what was seen on the way."""

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
    items: dict[str, int] | None = None
    notes: dict[str, Any] = field(default_factory=dict)  # supervised tokens, per-gate counts, hardware …
    libraries: dict[str, str] = field(default_factory=dict)  # full versions seen, for drift notes
    log: str | None = None  # file name under logs/
    events: str | None = None  # file name under logs/, JSON lines
    sources: dict[str, Digest] = field(default_factory=dict)  # input name -> tree listing kept as an object
    read: dict[str, Digest] = field(default_factory=dict)  # input name -> other stage's Artifact
    # why it ran: the key of the action before, and of each cause where it stood and its files
    told: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Its values as they are, not copies: to be written, not to be changed."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Record":
        return cls(**{name: value for name, value in data.items() if name in cls.__struct_fields__})


class _KnownRecord:
    """A record's stand-in: reads it where somebody asks for what is not remembered."""

    def __init__(self, load: Callable[[], Record], known: Mapping[str, Any]) -> None:
        self.__dict__.update(known, _load=load)

    def __getattr__(self, name: str) -> Any:
        """Of what is not remembered."""
        if name.startswith("_"):
            raise AttributeError(name)
        record = self.__dict__["_load"]()
        self.__dict__.update(asdict(record))
        return getattr(record, name)


def known_record(load: Callable[[], Record], **known: Any) -> Record:
    """A record of which some fields are remembered; the others are read where somebody asks for them."""
    return cast(Record, _KnownRecord(load, known))
