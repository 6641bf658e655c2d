"""The parsed, checked, frozen Sparkfile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from sparkfile_schema.address import Selector
from sparkfile_schema.nodes import Node, find
from sparkfile_schema.problems import Position, Problem

Path = tuple[str | int, ...]


class Use(Struct, frozen=True):
    """A rule and its params, wherever one stands.

    `origins` says for every place inside params where in the document it was written; `templates` holds
    the text of params that name `${env.X}` or `${secret.X}`, with only the vars replaced. Params at
    `unreadable` places are None and have their problem already. Of a matrix, what stands as `${matrix.X}`
    need not be a param as well: it is `optional`.
    """

    rule: str
    label: str
    params: Mapping[str, object]
    path: Path
    origins: Mapping[Path, Path] = field(default_factory=dict)
    templates: Mapping[Path, str] = field(default_factory=dict)
    env: frozenset[str] = frozenset()
    numerics: Mapping[str, object] = field(default_factory=dict)
    resources: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    unreadable: frozenset[Path] = frozenset()
    optional: frozenset[str] = frozenset()  # params that are left out where the rule does not know them


class Requirement(Struct, frozen=True):
    """Bounds that a recorded figure has to keep; shares are fractions, 40% is 0.4."""

    name: str
    low: float | None
    high: float | None
    low_open: bool
    high_open: bool
    text: str
    path: Path

    def holds(self, figure: float) -> bool:
        is_above = self.low is None or (figure > self.low if self.low_open else figure >= self.low)
        is_below = self.high is None or (figure < self.high if self.high_open else figure <= self.high)
        return is_above and is_below


class Splits(Struct, frozen=True):
    """`keep` leaves the source's own splits; else `ratios` sum to 1."""

    ratios: Mapping[str, float]
    group: str | None
    balance: str | None
    at_least: Mapping[str, int]
    keep: bool
    path: Path


class Dataset(Struct, frozen=True):
    name: str
    source: Use
    fields: Mapping[str, str]
    transforms: tuple[Use, ...]
    gates: tuple[Use, ...]
    splits: Splits | None
    require: tuple[Requirement, ...]
    version: Use | None
    card: Mapping[str, object]
    on_error: Literal["reject", "fail"]
    push: Literal["last", "all", "none"]
    path: Path
    matrix: Selector = ()  # of a member of a matrix: its values


class Evaluation(Struct, frozen=True):
    """One evaluation of a target; the label is '' for the short form."""

    label: str
    dataset: str | None
    split: str
    metrics: tuple[Use, ...]
    require: tuple[Requirement, ...]
    path: Path


class Target(Struct, frozen=True):
    """A model to build; the recipe's params already hold the target's `with` and `base`."""

    name: str
    recipe: Use
    roles: Mapping[str, str]
    evals: tuple[Evaluation, ...]
    package: tuple[Use, ...]
    path: Path
    matrix: Selector = ()  # of a member of a matrix: its values


class Deployment(Struct, frozen=True):
    """A served model; `model` is a target's name, with `@TAG` where a tagged result is meant."""

    name: str
    model: str
    server: Use
    path: Path


class Include(Struct, frozen=True):
    """Another Sparkfile of the same store: its stages stand under `folder/`."""

    file: str  # asr/Sparkfile.yaml
    folder: str  # asr
    path: Path


class ListedKey(Struct, frozen=True):
    """A public key, and the scopes of the remote store that it may sign for."""

    key: str  # ed25519:…
    scopes: tuple[str, ...]
    at: str  # where it is listed
    name: str = ""


class Import(Struct, frozen=True):
    """Another project, and whom to believe what it has."""

    url: str  # or a folder
    keys: tuple[ListedKey, ...] = ()  # whose publications count; without one, whatever stands there first
    scope: str = ""  # of its remote store, read besides `trusted`
    endpoint: str = ""


class Sparkfile(Struct, frozen=True):
    """`uses` lists every rule of the file with its family, also those whose surroundings are faulty."""

    file: str
    version: int = 1
    project: str = ""
    vars: Mapping[str, object] = field(default_factory=dict)
    include: tuple[Include, ...] = ()
    imports: Mapping[str, Import] = field(default_factory=dict)
    store: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[
        ListedKey, ...
    ] = ()  # whose signatures count in the remote store, besides those of store.policy
    environment: Mapping[str, str] = field(default_factory=lambda: {"libraries": "compatible"})
    limits: Mapping[str, float] = field(default_factory=lambda: {"ask_above": 3600.0})
    numerics: Mapping[str, object] = field(default_factory=dict)
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    gates: Mapping[str, Use] = field(default_factory=dict)
    recipes: Mapping[str, Use] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)
    deployments: Mapping[str, Deployment] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    uses: tuple[tuple[str, Use], ...] = ()
    env: frozenset[str] = frozenset()
    document: Node | None = None

    def position(self, path: Path, *, key: bool = False) -> Position:
        """Where the value (or its key) was written; else its nearest parent; 1:1 for the file."""
        found = find(self.document, path)
        if found is None or not path:
            return Position(self.file, 1, 1) if not path else self.position(path[:-1], key=key)
        return found.key_at if key else found.node.at

    def written(self, path: Path) -> str | None:
        """The scalar as it stands in the file, `1.10` and not 1.1; None where no scalar stands."""
        found = find(self.document, path)
        return getattr(found.node, "written", None) if found else None


class Parsed(Struct, frozen=True):
    """What could be read, and all that is wrong with it."""

    sparkfile: Sparkfile
    problems: tuple[Problem, ...]
