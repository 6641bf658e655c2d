"""A rule's parameters: pydantic, strict about names, with marks for what decides and what refers."""

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeVar

from spark_build.core.lent import lent
from spark_build.core.values import Struct, field

# Plugins of pydantic could change what a param is taken for, and are in no key; and looking for some opens the metadata
# of every distribution that is installed.
os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
# what looks for them imports what would read the metadata, and that the reader of e-mail: 12 ms of each process
with lent("importlib.metadata", "entry_points"), suppress(ImportError):
    import_module("pydantic.plugin._loader")

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Mark(Struct, frozen=True):
    kind: str  # 'decides' | 'path' | 'model' | 'dataset' | 'base' | 'secret' | 'unkeyed'


Decides = Annotated[T, Mark("decides")]  # read by `decide` alone: changing it measures nothing again
InputPath = Annotated[str, Mark("path")]  # a project file or folder; its digest counts, its name doesn't
ModelRef = Annotated[str, Mark("model")]  # model:NAME, a folder, or a hub id
DatasetRef = Annotated[str, Mark("dataset")]  # dataset:NAME
Base = Annotated[
    str, Mark("base")
]  # model:NAME, a folder, or a hub id (pinned in the lock): what training starts from
Unkeyed = Annotated[T, Mark("unkeyed")]  # never shapes the result (how often to log, say), so it is in no key
Secret = Annotated[str, Mark("secret")]  # may hold ${secret.X}; never in a key, masked in logs


class RuleParams(BaseModel):
    """What stands under `with:`. Descriptions (`Field(description=…)`) reach the editor."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=False, validate_default=True, defer_build=True
    )

    synonyms: ClassVar[Mapping[str, str]] = {}  # what users of other tools would write -> our name

    @classmethod
    @cache
    def marked(cls, kind: str) -> tuple[str, ...]:
        """Names of the fields with this mark, in order."""
        return tuple(name for name, info in cls.model_fields.items() if _has_mark(info, kind))


class GateParams(RuleParams):
    """What every gate takes. The filter's runner acts on it; `measure` and `decide` have nothing to do with it."""

    action: Decides[Literal["drop", "flag", "fail"]] = Field(
        "drop",
        description="What becomes of an item that the gate finds: drop: it is rejected; flag: it stays, and its meta "
        "tells what was found; fail: the build stops and names the first ones.",
    )


def _has_mark(info: Any, kind: str) -> bool:
    marks = list(info.metadata)
    # a mark inside of `X | None` stands on a member of the union
    for member in getattr(info.annotation, "__args__", ()):
        marks += getattr(member, "__metadata__", ())
    return any(isinstance(mark, Mark) and mark.kind == kind for mark in marks)


class Needs(Struct, frozen=True):
    """What a use of a rule reads besides its params; all of it counts in the key."""

    paths: Mapping[str, str] = field(default_factory=dict)  # input name -> project path
    models: Mapping[str, str] = field(default_factory=dict)  # input name -> model:NAME[/package.X]
    datasets: Mapping[str, str] = field(default_factory=dict)  # input name -> dataset:NAME
    rows: Mapping[str, str] = field(
        default_factory=dict
    )  # input name -> dataset:NAME, of which only `data/` is read: card and tag wake nobody
    hub: Mapping[str, str] = field(default_factory=dict)  # input name -> hub id, pinned in the lock
    outside: Any = None  # of an OutsideSource: what it asks, pinned in the lock and read as the input 'path'
    code: tuple[str, ...] = ()  # project files whose source counts
    probed: tuple[str, ...] = ()  # project paths that are not there now, and would count if they were
    env: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    reads: tuple[
        str, ...
    ] = ()  # splits/parts of `dataset` ('train', 'test', 'card', 'rejected'); () = the stage's own


class Project(Protocol):
    """What `Rule.needs` may ask about the project; every answer is remembered and asked again when it may differ."""

    def exists(self, path: str) -> bool: ...

    def is_file(self, path: str) -> bool: ...

    def glob(self, pattern: str) -> tuple[str, ...]: ...

    def digest(self, path: str) -> str | None:
        """Of a file's content; None where there is none."""

    def python_closure(self, path: str) -> tuple[str, ...]:
        """`path` and the project files that it imports, transitively; sorted."""


__all__ = [
    "Base", "DatasetRef", "Decides", "Field", "GateParams", "InputPath", "Mark", "ModelRef", "Needs", "Project",
    "RuleParams", "Secret", "Unkeyed",
]  # fmt: skip
