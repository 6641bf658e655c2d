"""The probing process: decoders run here, with limited memory, so that a hostile file ends this process alone.

It reads requests from standard input, one JSON a line, and answers each with a line. Run by file, as a script.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

_MEMORY_BYTES = 4 << 30  # of address space; a decoder's pools are mapped generously and hardly touched


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a decoder prints is no answer
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line))) + "\n")
        answers.flush()


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """{'facts'} or {'rejected': [reason, detail]} or {'unavailable': [what, fix]}."""
    from spark_build.core.errors import ItemRejected, Unavailable

    try:
        return {"facts": _facts(Path(asked["path"]), asked)}
    except ItemRejected as why:
        return {"rejected": [why.reason, why.detail.replace(asked["path"], asked["name"])]}
    except Unavailable as error:
        return {"unavailable": [error.message, error.fix]}


def _facts(path: Path, asked: dict[str, Any]) -> dict[str, Any]:
    if asked["family"] == "preview":
        from spark_build.modalities.media.previews import preview

        return preview(path, asked["kind"], asked["seconds"])
    if asked["family"] == "image":
        from spark_build.modalities.media.images import image_facts

        return image_facts(path, asked["max_pixels"])
    from spark_build.modalities.media.streams import stream_facts

    return stream_facts(path, asked["demuxer"], asked["max_pixels"])


if __name__ == "__main__":
    sys.path[0] = os.path.abspath(f"{os.path.dirname(__file__)}/../../..")  # as the worker found it
    main()
