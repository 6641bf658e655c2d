"""A worker's events: one append-only stream of JSON lines, written whole and read as it grows."""

import json
import math
import os
import time
from collections.abc import Iterable
from typing import Any

MASK = "***"
_SHORTEST_SECRET = 4  # shorter ones would turn half of a log into stars


class EventStream:
    """`core.ports.Reporter` onto a file, there from the first event on; each event is one write.

    Events: {'event': 'progress', 'done', 'total', 'unit'}, {'event': 'metric', 'name', 'value', 'step'},
    {'event': 'log', 'text'}, {'event': 'checkpoint', 'step'}, {'event': 'note', 'name', 'value'};
    each with `time`, seconds since 1970. A number that is not finite is null.
    """

    def __init__(self, path: str, secrets: Iterable[str] = ()) -> None:
        self.notes: dict[str, Any] = {}
        self._secrets = masked_texts(secrets)
        self._path = path
        self._fd: int | None = None

    def progress(self, done: int, total: int | None, unit: str = "items") -> None:
        self._write("progress", done=done, total=total, unit=unit)

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        self._write("metric", name=name, value=float(value), step=step)

    def log(self, text: str) -> None:
        self._write("log", text=text)

    def checkpoint(self, step: int) -> None:
        self._write("checkpoint", step=step)

    def note(self, name: str, value: Any) -> None:
        self.notes[name] = _masked(value, self._secrets)
        self._write("note", name=name, value=value)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def _write(self, event: str, **told: Any) -> None:
        if self._fd is None:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        told = {"event": event, "time": round(time.time(), 3), **_masked(told, self._secrets)}
        os.write(
            self._fd, json.dumps(told, ensure_ascii=False, allow_nan=False, default=float).encode() + b"\n"
        )


class EventReader:
    """What has been added to a stream since the last look."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0

    def new(self) -> list[dict[str, Any]]:
        """Whole lines only; one that is no event (a killed writer's last) is passed over."""
        try:
            if os.stat(self._path).st_size == self._offset:
                return []
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        events = [_parsed(line) for line in whole.splitlines()]
        return [event for event in events if event is not None]


def masked_texts(secrets: Iterable[str]) -> list[str]:
    """What must not appear: each secret, and each line of one with several; the longest first."""
    texts = {line.strip() for secret in secrets for line in (secret, *secret.splitlines())}
    return sorted((t for t in texts if len(t) >= _SHORTEST_SECRET), key=len, reverse=True)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _masked(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, dict):
        return {key: _masked(inner, secrets) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner, secrets) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
