"""What a gate is given, what it leaves, and what becomes of what it finds: dropped, flagged, or a failure."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spark_build.contract.items import FLAGS, Item
from spark_build.contract.rules import digest_of_fields
from spark_build.core.errors import BadInput
from spark_build.core.job import JobStep
from spark_build.core.values import Struct, field, replace
from spark_build.stages.rejected import Rejected, examples

if TYPE_CHECKING:
    from spark_build.stages.joining import Joining

_TOLD = ("gate", "reason", "score", "threshold", "matched", "detail")


class Candidate(Struct):
    """An item before the gates, or between two of them."""

    item: Item
    number: int  # in canonical order
    _digested: tuple[str, ...] | None = None
    _digest: bytes = b""

    def digest(self, names: Sequence[str]) -> bytes:
        """Of the fields that an operation reads; gates one after the other that read the same ones share it."""
        if self._digested != names:
            self._digested, self._digest = tuple(names), digest_of_fields(self.item, names)
        return self._digest

    def flagged(self, finding: Rejected) -> "Candidate":
        """The same with the finding in its meta, behind those of earlier gates."""
        told = {name: value for name in _TOLD if (value := getattr(finding, name)) not in (None, "")}
        before = self.item.meta.get(FLAGS, [])
        flags = [*(before if isinstance(before, list) else [before]), told]
        item = replace(self.item, meta={**self.item.meta, FLAGS: flags})
        return Candidate(item, self.number, self._digested, self._digest)


class Gated(Struct):
    action: str = "drop"  # what becomes of an item that the gate finds
    kept: list[Candidate] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    handled: set[int] = field(default_factory=set)  # numbers of candidates that an operation ran for
    replaced: int = 0
    flagged: Counter[str] = field(default_factory=Counter)  # by reason
    failing: list[Rejected] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    notes: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)  # for the log
    joined: "Sequence[Joining] | None" = None  # items that were compared, of all that came in

    def act(self, candidate: Candidate, finding: Rejected) -> None:
        """Does with a found item what the use asks for. One that can't be handled is no finding: it is rejected."""
        if self.action == "flag":
            self.flagged[finding.reason] += 1
            self.kept.append(candidate.flagged(finding))
        elif self.action == "fail":
            self.failing.append(finding)
        else:
            self.rejected.append(finding)


def action_of(params: Any) -> str:
    """A gate's own words for other actions (`redact`) are its own business, and what it drops is dropped."""
    action = getattr(params, "action", "drop")
    return action if action in ("flag", "fail") else "drop"


def check_none_fails(gated: Gated, step: JobStep) -> None:
    """Errors: BadInput where a gate with `action: fail` found something."""
    if gated.failing:
        count = len(gated.failing)
        raise BadInput(
            f"'{step.label or step.rule}' lets {count:,} item{'s' if count > 1 else ''} not pass (action: fail): "
            f"{examples(gated.failing)}",
            fix="mend or remove them; or let the gate `drop` or `flag` them, which measures nothing again",
        )


def rejection(candidate: Candidate, step: JobStep, reason: str, **rest: Any) -> Rejected:
    item = candidate.item
    place = (item.split, candidate.number, 0)  # canonical order, the split first
    return Rejected(place, item.id, item.source, item.split, step.label or step.rule, reason, **rest)
