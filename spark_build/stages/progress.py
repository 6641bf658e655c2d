"""Progress in small doses: at most ten reports a second, and always the last one."""

import time

from spark_build.core.ports import Reporter

_SECONDS_BETWEEN = 0.1


class Progress:
    """Counts towards `total`; `report` hears of it now and then."""

    def __init__(self, report: Reporter, total: int | None, unit: str) -> None:
        self._report, self._total, self._unit = report, total, unit
        self._done = 0
        self._last = 0.0

    def advance(self, count: int = 1) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN or self._done == self._total:
            self._last = now
            self._report.progress(self._done, self._total, self._unit)
