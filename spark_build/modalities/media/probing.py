"""Asks the probing process, and goes on with another one where a file crashed it or held it up."""

from __future__ import annotations  # what they name need not be loaded

import atexit
import json
import select
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import ItemRejected, Unavailable
from spark_build.modalities.media.kinds import Format

if TYPE_CHECKING:
    import subprocess

_TIMEOUT_SECONDS = 120.0  # limits on pixels and sizes keep a sound file far below
_PREVIEW_SECONDS = 20.0  # a report has many of them, and can do without one


def probed(path: Path, name: str, form: Format, **limits: int) -> dict[str, Any]:
    """What is known of a media file. Errors: ItemRejected; Unavailable without the library that it needs."""
    asked = {"path": str(path.absolute()), "name": name, "family": form.family, "demuxer": form.demuxer}
    # what people call the container; an image says its own
    return {"format": form.name, **_answered(_prober(_TIMEOUT_SECONDS).ask({**asked, **limits}))}


def previewed(path: Path, kind: str, seconds: float) -> dict[str, Any]:
    """A small picture of a media file (`previews.preview`). Errors: as of `probed`."""
    asked = {"path": str(path.absolute()), "name": "the file", "family": "preview", "kind": kind}
    return _answered(_prober(_PREVIEW_SECONDS).ask({**asked, "seconds": seconds}))


def _answered(answer: dict[str, Any]) -> dict[str, Any]:
    if "rejected" in answer:
        raise ItemRejected(*answer["rejected"])
    if "unavailable" in answer:
        raise Unavailable(answer["unavailable"][0], fix=answer["unavailable"][1])
    facts: dict[str, Any] = answer["facts"]
    return facts


class Prober:
    """One process at a time. Errors of `ask`: ItemRejected where the file ended it."""

    def __init__(self, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
            if not select.select([process.stdout], [], [], self._timeout_seconds)[0]:
                raise ItemRejected("too_slow", f"its decoder took more than {self._timeout_seconds:.0f} s")
            if line := process.stdout.readline():
                answer: dict[str, Any] = json.loads(line)
                return answer
        except BrokenPipeError:
            pass
        except (
            BaseException
        ):  # also an interrupt: the answer that is on its way would be taken for the next one's
            self.close()
            raise
        self.close()
        raise ItemRejected("decoder_crashed", "its decoder ended the process that read it")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            import subprocess

            file = Path(__file__).with_name("probe.py")
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        return self._process


@lru_cache
def _prober(timeout_seconds: float) -> Prober:
    prober = Prober(timeout_seconds)
    atexit.register(prober.close)
    return prober
