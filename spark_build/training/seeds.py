"""Numerics made true in this process: seeds, threads, deterministic algorithms."""

import os
import random

from spark_build.core.errors import Unavailable
from spark_build.core.numerics import Numerics


def pin_numerics(numerics: Numerics, seed: int = 0) -> None:
    """Same seed, same numerics: from here on every weight and batch comes out the same, bit for bit.

    The instruction set and the thread count of MKL are read when the libraries load: whoever starts
    the process sets them (executors/); here only what can still be set is set.
    Errors: Unavailable where the device is not there.
    """
    import torch

    _check_device(numerics)
    # cuBLAS is deterministic only with a workspace of fixed size, read when the first handle is made
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(numerics.threads)
    torch.use_deterministic_algorithms(True)
    # filling fresh memory finds reads of uninitialised memory; it costs time and changes no result of a sound op
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    seed_everything(seed)


def seed_everything(seed: int) -> None:
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _check_device(numerics: Numerics) -> None:
    import torch

    if numerics.world_size != 1:
        raise Unavailable(
            f"numerics.world_size is {numerics.world_size}, and training runs in one process",
            fix="world_size: 1",
        )
    if numerics.device == "cuda" and not torch.cuda.is_available():
        raise Unavailable(
            "numerics.device is 'cuda', and torch finds no CUDA device here",
            fix="build on a machine with a GPU, or declare `numerics: {device: cpu}` and drop `resources.gpus`",
        )
