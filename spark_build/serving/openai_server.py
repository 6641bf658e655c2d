"""The process behind `transformers_serve`: loads one model, then answers until SIGTERM.

python -m spark_build.serving.openai_server --model=FOLDER --port=8000
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from spark_build.core.errors import SparkError

_LEAVE_SECONDS = 3  # for answers under way when SIGTERM comes


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    _pin_environment(options.threads)
    try:
        _serve(options)
    except SparkError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    except ModuleNotFoundError as error:
        print(
            f"{error.name} is not installed\n  fix: pip install 'spark-build[serve]'",
            file=sys.stderr,
            flush=True,
        )
        return 1
    return 0


def _serve(options: argparse.Namespace) -> None:
    import uvicorn

    from spark_build.modalities.text.generation import Model
    from spark_build.serving.openai_api import Limits, application

    model = Model.load(options.model, options.device, options.dtype, options.threads)
    limits = Limits(max_new_tokens=options.max_new_tokens, max_waiting=options.max_waiting)
    app = application(model, options.name, options.digest, limits)
    config: Any = uvicorn.Config(
        app, host=options.host, port=options.port, access_log=False, log_level="warning", lifespan="on",
        timeout_graceful_shutdown=_LEAVE_SECONDS, server_header=False,
    )  # fmt: skip
    print(f"serving {options.name} on http://{options.host}:{options.port}", flush=True)
    uvicorn.Server(config).run()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="openai_server", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder with config, weights and tokenizer")
    parser.add_argument("--name", default=os.environ.get("SPARK_DEPLOYMENT", "model"), help="the model's id")
    parser.add_argument("--digest", default=os.environ.get("SPARK_MODEL_DIGEST"), help="shown by /health")
    parser.add_argument("--host", choices=("127.0.0.1", "localhost"), default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--max-new-tokens", type=int, default=256)
    parser.add_argument("--max-waiting", type=int, default=32)
    return parser.parse_args(arguments)


def _pin_environment(threads: int) -> None:
    """Before torch and tokenizers are loaded, which read it then: no hub, and so many threads."""
    pinned = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
    }
    os.environ.update(pinned | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"})


if __name__ == "__main__":
    sys.exit(main())
