"""Numerics, as far as a running process can make them true."""

import random

import numpy as np
import pytest

from spark_build.core.errors import Unavailable
from spark_build.core.numerics import Numerics
from spark_build.training.seeds import pin_numerics


def draws() -> tuple[float, float, float]:
    import torch

    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_a_seed_sets_every_source_of_chance() -> None:
    pin_numerics(Numerics(), seed=3)
    first = draws()
    assert draws() != first
    pin_numerics(Numerics(), seed=3)
    assert draws() == first


def test_threads_are_those_declared() -> None:
    import torch

    pin_numerics(Numerics(threads=2))
    assert torch.get_num_threads() == 2
    pin_numerics(Numerics(threads=1))
    assert torch.get_num_threads() == 1


def test_algorithms_without_a_fixed_order_are_refused() -> None:
    import torch

    pin_numerics(Numerics())
    assert torch.are_deterministic_algorithms_enabled()


def test_several_processes_are_refused() -> None:
    with pytest.raises(Unavailable, match="world_size is 2, and training runs in one process"):
        pin_numerics(Numerics(world_size=2))


def test_a_gpu_that_is_not_there_is_refused_with_the_way_out() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    with pytest.raises(Unavailable, match="torch finds no CUDA device here") as refused:
        pin_numerics(Numerics(device="cuda"))
    assert "numerics: {device: cpu}" in str(refused.value.fix)
