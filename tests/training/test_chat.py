"""Chat templates that ask as training did."""

from typing import Any

import pytest

from spark_build.training.chat import PLAIN, give_chat_template, of_prompt
from spark_build.training.forms import Form

ASK = [{"role": "user", "content": "Why?"}]
PAIR = Form("prompt_completion", prompt='Frage: "{q}" 🐍\nAntwort:', completion=" {a}")


@pytest.fixture
def tokenizer(bpe: Any) -> Any:
    yield bpe
    bpe.chat_template = None


def rendered(tokenizer: Any, messages: list[dict[str, str]], *, ask: bool) -> str:
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)


def test_a_question_is_put_as_the_prompt_was(tokenizer: Any) -> None:
    give_chat_template(tokenizer, PAIR)
    assert rendered(tokenizer, ASK, ask=True) == 'Frage: "Why?" 🐍\nAntwort:'


def test_an_answer_is_put_as_the_completion_was(tokenizer: Any) -> None:
    give_chat_template(tokenizer, PAIR)
    chat = [*ASK, {"role": "assistant", "content": "So."}]
    assert rendered(tokenizer, chat, ask=False) == 'Frage: "Why?" 🐍\nAntwort: So.<|endoftext|>'


def test_a_prompt_of_several_fields_is_no_chat() -> None:
    assert of_prompt(Form("prompt_completion", prompt="{a}{b}", completion="{c}")) is None


def test_plain_text_gives_no_chat_template(tokenizer: Any) -> None:
    give_chat_template(tokenizer, Form("text", text="text"))
    assert not tokenizer.chat_template


def test_a_template_of_the_base_stays(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ messages }}"
    give_chat_template(tokenizer, Form("messages", messages="m"))
    assert tokenizer.chat_template == "{{ messages }}"


def test_messages_without_a_template_of_the_base_count_answer_and_end(tokenizer: Any) -> None:
    form = Form("messages", messages="m")
    give_chat_template(tokenizer, form)
    assert tokenizer.chat_template == PLAIN
    chat = [*ASK, {"role": "assistant", "content": "So."}, *ASK, {"role": "assistant", "content": "Yes."}]
    assert form.segments({"m": chat}, tokenizer) == [
        ("user: Why?\nassistant:", False),
        (" So.<|endoftext|>", True),
        ("\nuser: Why?\nassistant:", False),
        (" Yes.<|endoftext|>", True),
    ]
