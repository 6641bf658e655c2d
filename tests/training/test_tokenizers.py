"""Tokenizers trained from text."""

from typing import Any

import pytest
from tiny_models import TEXT

from spark_build.training.tokenizers_from_text import train_tokenizer


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_the_same_text_gives_the_same_tokenizer(kind: str) -> None:
    # every tokenizer that is trained draws a hash seed of its own
    first, *others = (train_tokenizer(kind, TEXT, 400).backend_tokenizer.to_str() for _ in range(5))
    assert others == [first] * 4


def test_bytes_give_every_text_back(bpe: Any) -> None:
    text = "Ünïcode, 日本語, 🐍, \x00 and  two spaces\n"
    assert bpe.decode(bpe(text)["input_ids"]) == text


def test_no_more_tokens_than_asked_for(bpe: Any, wordpiece: Any) -> None:
    assert len(bpe) <= 320
    assert len(wordpiece) <= 300


def test_a_classifier_reads_text_between_its_marks(wordpiece: Any) -> None:
    tokens = wordpiece.convert_ids_to_tokens(wordpiece("A LIST ☃")["input_ids"])
    assert (tokens[0], tokens[-2], tokens[-1]) == ("[CLS]", "[UNK]", "[SEP]")
    assert "list" in tokens


def test_continuing_pieces_are_no_special_tokens(wordpiece: Any) -> None:
    assert wordpiece.convert_ids_to_tokens(wordpiece("##a", add_special_tokens=False)["input_ids"])[-1] == "a"
