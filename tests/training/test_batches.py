"""The order of the data, and what a batch is made of."""

import random
from itertools import chain

import pytest

from spark_build.training.batches import EpochBatches, PadRight, PadWithMask

DRAWN = random.Random(0)
LENGTHS = [DRAWN.randrange(1, 50) for _ in range(203)]


def batches(epoch: int = 0, seed: int = 0, size: int = 8, micro: int = 8) -> list[list[int]]:
    sampler = EpochBatches(LENGTHS, size, micro, seed)
    sampler.set_epoch(epoch)
    found = list(sampler)
    assert len(found) == len(sampler)
    return found


@pytest.mark.parametrize(("size", "micro"), [(8, 8), (8, 2), (7, 7), (300, 100), (1, 1)])
def test_an_epoch_has_every_example_once(size: int, micro: int) -> None:
    assert sorted(chain.from_iterable(batches(size=size, micro=micro))) == list(range(len(LENGTHS)))


def test_the_order_follows_from_seed_and_epoch() -> None:
    assert batches(epoch=1) == batches(epoch=1)
    assert batches(epoch=1) != batches(epoch=2)
    assert batches(seed=1) != batches(seed=2)


def test_micro_batches_are_the_batch_in_pieces() -> None:
    whole, pieces = batches(micro=8), batches(micro=2)
    joined = [list(chain.from_iterable(pieces[i : i + 4])) for i in range(0, len(pieces) - 2, 4)]
    assert joined == whole[:-1]


def test_only_the_last_batch_is_short() -> None:
    assert [len(batch) for batch in batches()] == [8] * 25 + [3]


def test_batches_hold_examples_of_like_length() -> None:
    spread = [max(LENGTHS[i] for i in b) - min(LENGTHS[i] for i in b) for b in batches()[:-1]]
    assert sum(spread) / len(spread) < 5  # random batches of 8 would spread over 38 on average


def test_short_batches_do_not_come_in_order_of_length() -> None:
    means = [sum(LENGTHS[i] for i in batch) / len(batch) for batch in batches()]
    assert means != sorted(means)


def test_padding_stands_on_the_right_and_does_not_count() -> None:
    batch = PadRight(9)([{"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}, {"input_ids": [4], "labels": [4]}])
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch["labels"].tolist() == [[-100, 2, 3], [4, -100, -100]]


def test_an_encoder_is_told_what_is_padding() -> None:
    batch = PadWithMask(0)([{"input_ids": [5, 6], "labels": 1}, {"input_ids": [7], "labels": 0}])
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["labels"].tolist() == [1, 0]
