"""The families of rules. A rule is one file with one class; its `Params` stand beside it."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from spark_build.contract.context import Context
from spark_build.contract.items import Bad, Item, Raw, SourceFile, Verdict
from spark_build.contract.params import GateParams, Needs, Project, RuleParams
from spark_build.core.address import kind_of
from spark_build.core.digest import digest_bytes
from spark_build.core.ports import Reporter
from spark_build.core.values import replace

Reproducible = Literal["bitwise", "numerics", "metric", "none"]


_NOT_IN_KEYS = ("path", "model", "dataset", "base", "secret", "unkeyed")


class Rule:
    """Common to all families. `self.params` are the checked parameters.

    In `measure` and `signature` fields marked `Decides` can't be read: an AttributeError says so.
    """

    family: ClassVar[str]
    Params: ClassVar[type[RuleParams]] = RuleParams
    revision: ClassVar[int] = 1  # raise it when the output changes for the same input
    libraries: ClassVar[tuple[str, ...]] = ()  # distributions that shape the result; their versions count
    reproducible: ClassVar[Reproducible] = "bitwise"
    reproducible_why: ClassVar[str] = ""  # of `none`: why nothing can be compared
    tolerance: ClassVar[float] = 0.0  # of `metric`: how far figures may lie apart, relative
    uses_model: ClassVar[bool] = False  # runs in a fresh interpreter with threads and instruction set pinned

    def __init__(self, params: Any, inputs: Mapping[str, Path] | None = None) -> None:
        self.params = params
        self.inputs = inputs or {}  # of this step: each marked field's folder or file, by the field's name

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        """What a use with these params reads; by default what the marked fields name."""
        return needs_of_marked_fields(params, project)

    @classmethod
    def keyed(cls, params: Any) -> dict[str, Any]:
        """The params as the key holds them; references count as inputs, secrets and `Unkeyed` not at all."""
        left_out = {n for kind in _NOT_IN_KEYS for n in params.marked(kind)}
        return {n: v for n, v in params.model_dump(mode="json").items() if n not in left_out}

    @classmethod
    def libraries_of(cls, params: Any) -> tuple[str, ...]:
        """Distributions that shape the result of this use; by default `libraries`."""
        return cls.libraries

    @classmethod
    def uses_model_of(cls, params: Any) -> bool:
        """Of this use; by default `uses_model`."""
        return cls.uses_model

    @classmethod
    def reproducible_of(cls, params: Any) -> Reproducible:
        """Of this use; by default `reproducible`."""
        return cls.reproducible


def needs_of_marked_fields(params: Any, project: Project) -> Needs:
    paths, models, datasets, hub = {}, {}, {}, {}
    for name in params.marked("path"):
        if (value := getattr(params, name)) is not None:
            paths[name] = value
    for name in params.marked("dataset"):
        if (value := getattr(params, name)) is not None:
            datasets[name] = value
    for name in (*params.marked("model"), *params.marked("base")):
        value = getattr(params, name)
        if value is None:
            continue
        if kind_of(value) == "model":
            models[name] = value
        elif project.exists(value):
            paths[name] = value
        else:
            hub[name] = value
    return Needs(paths=paths, models=models, datasets=datasets, hub=hub)


class Source(Rule):
    """Where records come from. `read` is remembered per file, by the file's path and digest."""

    family = "source"
    inputs_are_for_fetch: ClassVar[bool] = (
        False  # `read` looks at none of them, so that its memo outlives a change
    )
    unread: ClassVar[tuple[str, ...]] = ()  # params and inputs that `read` doesn't look at, likewise
    limits_items: ClassVar[bool] = (
        False  # `--limit` counts what `gather` gives: its files say something together alone
    )
    is_remembered: ClassVar[bool] = True  # False: reading again is cheaper than keeping every record twice

    def fetch(self, context: Context) -> Path:
        """The folder (or single file) whose files are read; by default the input named `path`."""
        return context.inputs["path"]

    @abstractmethod
    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        """The records of one file, in order. Fields that are not typed by the Sparkfile are typed by their values."""

    def field_types(self) -> Mapping[str, str]:
        """Types of fields that the source knows of itself, used where their values fit."""
        return {}

    def looks_at_all(self) -> bool:
        """Whether `gather` has anything to do."""
        return False

    def gather(
        self, records: Sequence[tuple[str, Raw | Bad]], report: Reporter
    ) -> Iterable[tuple[int, Raw | Bad]]:
        """What becomes of all records together, by number: left out, repeated, given more. Never remembered.

        `records` are pairs of what each comes from, and what was read.
        """
        return ((number, found) for number, (_, found) in enumerate(records))


class OutsideSource(Source):
    """Looks outside of project and store, when `spark update` asks it to and never else.

    What it brings then is kept in the store and pinned in the lock by digest; builds read that.
    """

    outside_params: ClassVar[tuple[str, ...]] = ()  # they shape what is brought and nothing else: in no key
    outside_parts: ClassVar[tuple[str, ...]] = ()  # of what is brought: those that are read
    pinned: Mapping[str, str] = MappingProxyType(
        {}
    )  # what `bring` told, where the same is to be brought again

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        return replace(super().needs(params, project), outside=cls.asks(params, project))

    @classmethod
    def keyed(cls, params: Any) -> dict[str, Any]:
        return {n: value for n, value in super().keyed(params).items() if n not in cls.outside_params}

    @classmethod
    @abstractmethod
    def asks(cls, params: Any, project: Project) -> Any:
        """All that shapes what is brought, as JSON: where it changes, `spark update` has to look again."""

    @abstractmethod
    def bring(self, context: Context, before: Path | None) -> Mapping[str, str] | None:
        """Writes what is there now into `context.output`; `before` is what it wrote last. Errors: SparkError.

        What it keeps in `context.scratch` is there the next time, on this machine. What it tells stands in the lock
        beside the digest: which revision that was, say.
        """


class Transform(Rule):
    """One item in, any number out. Remembered per item."""

    family = "transform"

    def fields_read(self, item: Item) -> tuple[str, ...]:
        """Fields that `apply` reads: its memo key covers these alone."""
        return tuple(sorted(item.fields))  # the key doesn't cover in which order earlier transforms left them

    @abstractmethod
    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        """The `fields` of each item that comes out, in order; [] drops it.

        Errors: ItemRejected where the item can't be handled.
        """


class AskingTransform(Transform):
    """One that pays for what it finds of an item: to a server, or with a large model's time.

    What was found is kept the moment it is there, whatever becomes of the build, and never asked for again. What an
    item becomes by it is worked out anew each time; `Decides` params shape that alone.
    """

    @abstractmethod
    def ask(self, items: Iterable[Item], context: Context) -> Iterator[tuple[int, Any]]:
        """For each item, by its number, a JSON value or an ItemRejected, in whatever order they are there.

        `Unanswered` is an ItemRejected that is not remembered. Params that decide can't be read; what they are stands
        in `context.facts`. Errors: TransientError, once all is given that could be had: the next build asks for the
        rest.
        """

    @abstractmethod
    def becomes(self, item: Item, found: Any, params: Any) -> Sequence[Mapping[str, Any]]:
        """Quick; as `apply`. Errors: ItemRejected."""

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        raise NotImplementedError("BUG: ask, then becomes")


class Gate(Rule):
    """What a gate finds is dropped, flagged or a failure, as the use's `action` says (stages/gating.py)."""

    family = "gate"
    Params: ClassVar[type[RuleParams]] = GateParams

    def fields_read(self, item: Item) -> tuple[str, ...]:
        """Fields that the gate reads; by default `params.fields` where it has that, else every text field."""
        named = getattr(self.params, "fields", None)
        return tuple(named) if named else tuple(n for n, v in item.fields.items() if isinstance(v, str))


class ItemGate(Gate):
    """Looks at one item at a time. What `measure` found is remembered (as JSON), what `decide` says never."""

    @abstractmethod
    def measure(self, item: Item) -> Any:
        """Slow. A JSON value that does not depend on `Decides` params. Errors: ItemRejected."""

    def measure_many(self, items: Sequence[Item]) -> list[Any]:
        """Override where a batch is quicker; each value must equal that of `measure` alone."""
        return [self.measure(item) for item in items]

    batch_items: ClassVar[int] = 64

    @abstractmethod
    def decide(self, found: Any, params: Any) -> Verdict: ...

    def decide_item(self, item: Item, found: Any, params: Any) -> Verdict:
        """Override where the verdict needs the item itself (a redaction writes its text anew)."""
        return self.decide(found, params)


class JoinGate(Gate):
    """Compares all items: a remembered signature each, then a deterministic join (design section 6).

    An item goes when it is verified similar to a smaller *kept* item by (priority, digest).
    """

    reason: ClassVar[str] = (
        "near_duplicate"  # of dropped items; those with the very same content are `duplicate`
    )
    verifies: ClassVar[bool] = True  # False: every candidate is a match, and `similarity` isn't asked

    @abstractmethod
    def signature(self, item: Item) -> bytes:
        """Remembered; its shape does not follow the threshold."""

    def signature_many(self, items: Sequence[Item]) -> list[bytes]:
        """Override where a batch is quicker; each must equal what `signature` gives alone."""
        return [self.signature(item) for item in items]

    @property
    def batch_items(self) -> int:
        """How many `signature_many` is given; where it can't handle one, each is looked at by itself."""
        return 1

    @abstractmethod
    def candidates(
        self, signatures: Sequence[bytes], params: Any, is_kept: Callable[[int], bool] = lambda position: True
    ) -> Iterable[tuple[int, int]]:
        """Pairs of positions that may be similar (i < j); a superset of the pairs that are, as far as it can be.

        `signatures` stand in the join's order, the smallest (priority, digest) first, and pairs come by ascending j,
        then i. They are taken one by one: by the time that the first pair of j is asked for, all before j are
        settled, so that pairs whose i is not kept may be left out. Ten thousand copies are ten thousand pairs then.
        """

    def alike(self, first: bytes, second: bytes) -> float | None:
        """The exact similarity of two items by their signatures, where these tell it: then `similarity` isn't asked."""
        return None

    @abstractmethod
    def similarity(self, first: Item, second: Item) -> float:
        """The exact similarity of two items; remembered per pair."""

    @abstractmethod
    def is_similar(self, similarity: float, params: Any) -> bool: ...

    def priority(self, item: Item) -> float:
        return 0.0

    def threshold(self, params: Any) -> float | None:
        return getattr(params, "threshold", None)


class Versioner(Rule):
    """Writes card and metadata beside `data/` and `rejected/`, which already lie in `context.output`."""

    family = "versioner"

    @abstractmethod
    def write(self, context: Context) -> None:
        """`context.facts` holds 'card', 'splits', 'fields', 'gates', 'figures' (see stages/version.py)."""

    def publish(self, context: Context, files: Mapping[str, Path]) -> None:
        """What is done outside of the result, once all of it is written; doing it again has to change nothing.

        `files`: everything that the result holds, by path. What was done is told by `context.report.note`. Builds with
        a profile, `--set` or `--limit` and `spark verify` publish nothing (design section 6).
        """

    @classmethod
    def publishes(cls) -> bool:
        return cls.publish is not Versioner.publish


class Recipe(Rule):
    """Trains. Writes `context.output/model/` (a folder that loads by itself) and whatever else it has."""

    family = "recipe"
    reproducible = "numerics"
    uses_model = True

    @abstractmethod
    def train(self, context: Context) -> None: ...


class Metric(Rule):
    """Figures of a model on a split."""

    family = "metric"
    reproducible = "numerics"
    uses_model = True
    needs_base: ClassVar[bool] = False

    @classmethod
    def figures(cls, params: Any) -> tuple[str, ...]:
        """Names of the figures that `evaluate` gives; `f1.*` stands for any that begin so."""
        return (cls.__name__.lower(),)

    @abstractmethod
    def evaluate(self, context: Context) -> Mapping[str, float]: ...


class Exporter(Rule):
    """Packages a trained model."""

    family = "exporter"
    uses_model = True

    @abstractmethod
    def export(self, context: Context) -> None: ...


class Server(Rule):
    """Serves a model over HTTP on this machine."""

    family = "server"
    uses_model = True

    @abstractmethod
    def command(self, model: Path, host: str, port: int) -> list[str]:
        """The command line of one server process; it ends on SIGTERM.

        Its environment names the deployment and the model it serves: SPARK_DEPLOYMENT, SPARK_MODEL_DIGEST.
        Where it answers GET /health with {"model_digest": …}, that is compared.
        """

    @abstractmethod
    def check_ready(self, url: str) -> None:
        """Answers a real request of its own, or raises (ConnectionError while it is still starting)."""


def digest_of_fields(item: Item, names: Sequence[str]) -> bytes:
    """32 bytes over the named fields; the memo key of an operation that reads these alone.

    A field that is not there is told from one that is null, as the operation can tell them.
    """
    from spark_build.contract.media import without_name
    from spark_build.core.digest import canonical_row

    there = [[name, without_name(item.fields[name])] for name in sorted(names) if name in item.fields]
    return bytes.fromhex(digest_bytes(canonical_row(there)))
