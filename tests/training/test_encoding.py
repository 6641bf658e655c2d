"""Rows to tokens: what is supervised, what is cut, what is left out."""

from typing import Any

import pytest
from tiny_models import TEXT

from spark_build.core.errors import BadInput
from spark_build.training.encoding import begin_tokens, encode, prepare
from spark_build.training.forms import Form

PLAIN = Form("text", text="text")
PAIR = Form("prompt_completion", prompt="{q}\n", completion="{a}")


class Told:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.notes: dict[str, Any] = {}
        self.lines: list[str] = []

    def note(self, name: str, value: Any) -> None:
        self.notes[name] = value

    def log(self, text: str) -> None:
        self.lines.append(text)


def texts(*contents: str) -> list[dict[str, str]]:
    return [{"text": content} for content in contents]


def test_plain_text_counts_whole_and_ends_in_the_end_token(bpe: Any) -> None:
    examples, _ = encode(texts("A list holds items"), PLAIN, bpe, max_length=64, packing=False)
    example = examples[0]
    assert bpe.decode(example["input_ids"]) == "A list holds items<|endoftext|>"
    assert example["labels"].tolist() == example["input_ids"].tolist()
    # the first token follows from nothing
    assert examples.supervised_tokens == len(example["input_ids"]) - 1


def test_of_a_pair_the_answer_and_the_end_token_count_alone(bpe: Any) -> None:
    examples, _ = encode([{"q": "Which loop?", "a": "A for loop."}], PAIR, bpe, max_length=64, packing=False)
    labels = examples[0]["labels"]
    assert bpe.decode(labels[labels != -100]) == "A for loop.<|endoftext|>"
    assert bpe.decode(examples[0]["input_ids"]) == "Which loop?\nA for loop.<|endoftext|>"


def test_an_answer_is_tokenised_as_it_is_generated_behind_its_prompt(bpe: Any) -> None:
    # joined text could merge across the seam into tokens that generation can never give
    row = {"q": "How do I open a fi", "a": "le? Use open"}
    examples, _ = encode(
        [row], Form("prompt_completion", prompt="{q}", completion="{a}"), bpe, max_length=64, packing=False
    )
    prompt = bpe(row["q"], add_special_tokens=False)["input_ids"]
    assert examples[0]["input_ids"][: len(prompt)].tolist() == prompt


def test_a_template_that_sets_the_end_token_gets_no_second_one(bpe: Any) -> None:
    bpe.chat_template = (
        "{% for m in messages %}{{ m.content }}"
        "{% if m.role == 'assistant' %}{{ eos_token }}\n{% endif %}{% endfor %}"
    )
    chat = [{"role": "user", "content": "hi "}, {"role": "assistant", "content": "list"}]
    examples, _ = encode([{"m": chat}], Form("messages", messages="m"), bpe, max_length=64, packing=False)
    bpe.chat_template = None
    assert bpe.decode(examples[0]["input_ids"]) == "hi list<|endoftext|>\n"


def test_a_tokenizer_that_begins_texts_begins_these(wordpiece: Any, bpe: Any) -> None:
    assert begin_tokens(bpe) == []
    from tokenizers import processors

    beginner = type(bpe)(
        tokenizer_object=bpe.backend_tokenizer.from_str(bpe.backend_tokenizer.to_str()),
        bos_token="<|pad|>",
        eos_token="<|endoftext|>",
    )
    beginner.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|pad|> $A", special_tokens=[("<|pad|>", 1)]
    )
    examples, _ = encode(texts("A list"), PLAIN, beginner, max_length=64, packing=False)
    assert begin_tokens(beginner) == [1]
    assert examples[0]["input_ids"][:1].tolist() == [1]
    assert examples[0]["labels"][:1].tolist() == [-100]


def test_packing_loses_no_token_and_fills_every_block_but_the_last(bpe: Any) -> None:
    rows = texts(*TEXT)
    whole, _ = encode(rows, PLAIN, bpe, max_length=10_000, packing=False)
    packed, _ = encode(rows, PLAIN, bpe, max_length=16, packing=True)
    assert set(packed.lengths[:-1]) == {16}
    assert packed.tokens.tolist() == whole.tokens.tolist()[: len(packed.tokens)]
    assert len(whole.tokens) - len(packed.tokens) in (0, 1)


def test_documents_are_kept_apart_by_the_end_token(bpe: Any) -> None:
    packed, _ = encode(texts("A list", "A file"), PLAIN, bpe, max_length=64, packing=True)
    assert bpe.decode(packed[0]["input_ids"]) == "A list<|endoftext|>A file<|endoftext|>"


def test_a_block_is_never_a_single_token(bpe: Any) -> None:
    tokens = len(encode(texts("A list holds items"), PLAIN, bpe, max_length=64, packing=True)[0].tokens)
    packed, _ = encode(texts("A list holds items"), PLAIN, bpe, max_length=tokens - 1, packing=True)
    assert packed.lengths == [tokens - 1]


def test_what_is_cut_empty_or_masked_is_counted(bpe: Any) -> None:
    rows = [
        {"q": "short", "a": "yes"},
        {"q": "short", "a": " "},
        {"q": "long " * 50, "a": "never seen"},
        {"q": "short", "a": "long " * 50},
    ]
    told = Told()
    examples = prepare(rows, PAIR, bpe, max_length=32, packing=False, report=told)
    assert len(examples) == 2
    assert told.notes["rows_left_out"] == {"empty": 1, "masked": 1, "cut": 2}
    assert told.notes["supervised_tokens"] == examples.supervised_tokens
    assert f"{examples.supervised_tokens:,} of" in told.lines[0]


def test_data_whose_every_token_is_masked_is_an_error(bpe: Any) -> None:
    rows = [{"q": "A list holds items in order " * 9, "a": "yes"}] * 3
    with pytest.raises(
        BadInput, match="all tokens are masked: in 3 rows the answer begins behind max_length"
    ) as refused:
        prepare(rows, PAIR, bpe, max_length=16, packing=False, report=Told())
    assert refused.value.fix == "raise `max_length`, or shorten the prompts"


def test_data_without_text_is_an_error(bpe: Any) -> None:
    with pytest.raises(BadInput, match=r"no row holds text to learn from \(2 are empty in text\)"):
        prepare(texts("", "\n"), PLAIN, bpe, max_length=16, packing=True, report=Told())
