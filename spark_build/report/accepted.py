"""`spark accept` as text."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from spark_build.core.address import typed
from spark_build.engine.explain import Reason
from spark_build.report.causes import causes_text
from spark_build.report.words import listed, moment, printable, short

if TYPE_CHECKING:
    from spark_build.core.acceptance import Acceptance


class Standing(Protocol):
    """An acceptance, and whether today's plan takes it."""

    @property
    def acceptance(self) -> "Acceptance": ...

    @property
    def counts(self) -> bool: ...

    @property
    def is_own(self) -> bool: ...


def acceptance_text(made: "Acceptance") -> str:
    """What counts now, what was passed over, and how to take it back."""
    return "\n".join(
        [
            *_head(made),
            "every plan says so; --locked refuses it, --strict and -B run the stage all the same",
            f"back: spark accept --revoke {typed(made.stage)}",
        ]
    )


def acceptances_text(found: "Sequence[Standing]") -> str:
    if not found:
        return "nothing was accepted"
    return "\n".join(line for standing in found for line in _standing_lines(standing))


def revoked_text(gone: "Sequence[Acceptance]") -> str:
    return "\n".join(f"{printable(a.stage)}: no longer {printable(a.note)}" for a in gone)


def _standing_lines(standing: Standing) -> Iterator[str]:
    yield from _head(standing.acceptance)
    if not standing.is_own:
        place = standing.acceptance.place
        yield f"  of another Sparkfile: in {f'{printable(place)}/' if place else 'the root of the repository'}"
    if not standing.counts:
        yield "  counts no longer: what the stage is made of has changed since, or it was built"


def _head(a: "Acceptance") -> Iterator[str]:
    yield f"{printable(a.stage)}  {printable(a.note)}"
    by = f" by {printable(a.by)}" if a.by else ""
    yield f"  {moment(a.at)}{by}; key {short(a.key)} counts as {short(a.record)}"
    if a.causes:
        yield f"  passed over: {listed(causes_text(map(Reason.from_json, a.causes), 'run'), 6)}"
