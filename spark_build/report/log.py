"""`spark log`: a stage's events as lines, and its log."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from spark_build.report.running import Running
from spark_build.report.words import duration, figure, printable, value


class EventLines:
    """Events in, lines out; clocks are those of the events, so a finished stage reads as it did live."""

    def __init__(self) -> None:
        self._now = 0.0
        self._began: float | None = None
        self._running = Running("", None, lambda: self._now)

    def lines(self, events: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        for together in _by_step(events):
            for event in together:
                self._now = float(event.get("time") or self._now)
                if self._began is None:
                    self._began = self._running.began = self._now
                self._running.take(event)
            began = self._began or 0.0
            yield from (f"{duration(self._now - began):>9}  {line}" for line in self._told(together))

    def _told(self, together: Sequence[Mapping[str, Any]]) -> list[str]:
        event = together[0]
        kind = event.get("event")
        if kind == "progress":
            running = self._running
            return [
                ", ".join(filter(None, (running.progress_text(), running.rate_text(), running.left_text())))
            ]
        if kind == "metric":
            step = f" at step {event['step']}" if event.get("step") is not None else ""
            figures = ", ".join(f"{printable(e['name'])} {_figure(e.get('value'))}" for e in together)
            return [f"{figures}{step}"]
        if kind == "checkpoint":
            return [f"checkpoint at step {event.get('step')}"]
        if kind == "note":
            return [f"{printable(str(event.get('name')))}: {value(event.get('value'))}"]
        return [printable(line) for line in str(event.get("text", "")).splitlines()]


def _by_step(events: Iterable[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Each event by itself, but the figures of one step together."""
    numbered = enumerate(events)
    for _, group in groupby(
        numbered, lambda e: e[1].get("step") if e[1].get("event") == "metric" else f"#{e[0]}"
    ):
        yield [event for _, event in group]


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a file of JSON lines; a line that a kill cut short is left out."""
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return [event for event in events if isinstance(event, dict)]


def curve_text(events: Iterable[Mapping[str, Any]], name: str = "loss", *, points: int = 60) -> str:
    """A figure over the steps as a line of blocks, with its first, lowest and last value; or ''."""
    values = [e["value"] for e in events if e.get("event") == "metric" and e.get("name") == name]
    values = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    shown = min(points, len(values))
    picked = [values[i * (len(values) - 1) // (shown - 1)] for i in range(shown)]
    span = (high - low) or 1.0
    blocks = "".join("▁▂▃▄▅▆▇█"[round(7 * (v - low) / span)] for v in picked)
    first, lowest, last = figure(values[0]), figure(low), figure(values[-1])
    return f"{printable(name)} {blocks} first {first}, lowest {lowest}, last {last}"


def _figure(given: Any) -> str:
    return figure(given) if isinstance(given, int | float) and math.isfinite(given) else str(given)
