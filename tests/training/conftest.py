"""Real tokenizers, trained once on the sentences of tests/support/tiny_models.py."""

from typing import Any

import pytest
from tiny_models import TEXT

from spark_build.training.tokenizers_from_text import train_tokenizer


@pytest.fixture(scope="session")
def bpe() -> Any:
    return train_tokenizer("bpe", TEXT, 320)


@pytest.fixture(scope="session")
def wordpiece() -> Any:
    return train_tokenizer("wordpiece", TEXT, 300)
