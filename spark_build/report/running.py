"""What a running stage has said so far: how far it is, how fast, how long it may take, its last loss."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from spark_build.core.values import Struct, field
from spark_build.report.words import duration, figure, printable, size

_WINDOW_SECONDS = 30.0


class Pace(Struct):
    """Rate over the last half minute, so that neither a warm-up nor a resumed start shapes it."""

    seen: deque[tuple[float, float]] = field(default_factory=deque)  # (clock, done)

    def saw(self, done: float, now: float) -> None:
        if self.seen and done < self.seen[-1][1]:  # another pass began
            self.seen.clear()
        self.seen.append((now, done))
        while len(self.seen) > 2 and now - self.seen[1][0] > _WINDOW_SECONDS:
            self.seen.popleft()

    @property
    def per_second(self) -> float | None:
        if len(self.seen) < 2:
            return None
        (start, first), (end, last) = self.seen[0], self.seen[-1]
        return (last - first) / (end - start) if end > start and last > first else None

    def seconds_left(self, total: float) -> float | None:
        rate = self.per_second
        return max(0.0, total - self.seen[-1][1]) / rate if rate else None


class Running(Struct):
    stage: str
    seconds_estimate: float | None = None
    clock: Callable[[], float] = time.monotonic
    began: float = 0.0
    done: float = 0
    total: float | None = None
    unit: str = ""
    pace: Pace = field(default_factory=Pace)
    metrics: dict[str, float] = field(default_factory=dict)  # the last value of each

    def __post_init__(self) -> None:
        self.began = self.clock()

    def take(self, event: Mapping[str, Any]) -> None:
        if event.get("event") == "progress":
            self.done, self.total = event["done"], event.get("total")
            self.unit = printable(str(event.get("unit") or ""))
            self.pace.saw(self.done, self.clock())
        elif event.get("event") == "metric" and isinstance(event.get("value"), int | float):
            self.metrics.pop(event["name"], None)  # the last one named stands last
            self.metrics[event["name"]] = event["value"]

    @property
    def elapsed(self) -> float:
        return self.clock() - self.began

    @property
    def share(self) -> float | None:
        """How much is done, from 0 to 1; None where the stage does not say; time says nothing of it."""
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def seconds_left(self) -> float | None:
        return self.pace.seconds_left(self.total) if self.total and self.done < self.total else None

    def progress_text(self) -> str:
        """`120/400 steps`, `1200 items`; before that the time, beside what it took last."""
        if not self.unit and self.total is None:
            took = (
                f", {duration(self.seconds_estimate)} last time" if self.seconds_estimate is not None else ""
            )
            return f"{duration(self.elapsed)}{took}"
        if self.unit == "bytes":
            return "/".join(size(int(n)) for n in (self.done, self.total) if n is not None)
        of = f"/{figure(self.total)}" if self.total is not None else ""
        return f"{figure(self.done)}{of} {self.unit}".rstrip()

    def rate_text(self) -> str:
        rate = self.pace.per_second
        if rate and self.unit == "bytes":
            return f"{size(int(rate))}/s"
        return f"{rate:.3g}/s" if rate else ""

    def left_text(self) -> str:
        left = self.seconds_left
        return f"{duration(left)} left" if left is not None else ""

    def metric_text(self) -> str:
        """The last loss; else the figure that was named last."""
        if not self.metrics:
            return ""
        name = "loss" if "loss" in self.metrics else next(reversed(self.metrics))
        return f"{printable(name)} {figure(self.metrics[name])}"


def upload_of(stage: str) -> str:
    """What is shown of a result on its way to the remote store, beside the stages that run."""
    return f"{stage} upload"
