"""How rows become text, and what of it counts."""

import pytest

from spark_build.core.errors import BadInput
from spark_build.training.forms import Form, names_in

CHATML = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


class Templated:
    """A tokenizer as far as forms look at one: it renders chats."""

    def __init__(self, template: str) -> None:
        self.template = template

    def apply_chat_template(self, messages, tokenize: bool, add_generation_prompt: bool) -> str:
        from jinja2 import Template

        return Template(self.template, keep_trailing_newline=True).render(
            messages=messages, add_generation_prompt=add_generation_prompt
        )


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"text": "text"}, Form("text", text="text")),
        ({"text": "text", "title": "text"}, Form("text", text="text")),
        ({"body": "text", "year": "number"}, Form("text", text="body")),
        (
            {"question": "text", "answer": "text"},
            Form("prompt_completion", prompt="{question}\n", completion="{answer}"),
        ),
        (
            {"prompt": "text", "completion": "text", "text": "text"},
            Form("prompt_completion", prompt="{prompt}\n", completion="{completion}"),
        ),
        ({"chat": "messages", "text": "text"}, Form("messages", messages="chat")),
    ],
)
def test_the_fields_say_which_form_is_meant(fields: dict[str, str], found: Form) -> None:
    assert Form.find(fields) == found


def test_templates_say_what_stands_around_the_fields() -> None:
    form = Form.find({"q": "text", "a": "text"}, prompt="Question: {q}\nAnswer:", completion=" {a}")
    row = {"q": "Why {so}?", "a": "Because."}
    assert form.segments(row, None) == [("Question: Why {so}?\nAnswer:", False), (" Because.", True)]


def test_a_bare_name_and_a_template_mean_the_same_fields() -> None:
    fields = {"q": "text", "a": "text"}
    assert Form.find(fields, prompt="q", completion="a") == Form.find(
        fields, prompt="{q}\n", completion="{a}"
    )


def test_a_named_text_field_wins_over_pairs() -> None:
    assert Form.find({"question": "text", "answer": "text"}, text="answer") == Form("text", text="answer")


@pytest.mark.parametrize(
    ("fields", "settings", "message", "fix"),
    [
        ({"a": "text", "b": "text"}, {}, "which field holds the text?", "text: body"),
        ({"a": "text"}, {"kind": "messages"}, "which field holds the messages?", "messages: chat"),
        ({"a": "text"}, {"kind": "prompt_completion"}, "which fields are prompt and completion?", "prompt:"),
        ({"body": "text"}, {"text": "boby"}, "no field 'boby'; did you mean 'body'?", "it has body"),
        (
            {"chat": "json"},
            {"messages": "chat"},
            "'chat' holds json, not messages",
            "fields: {chat: messages}",
        ),
    ],
)
def test_what_is_not_clear_is_asked_for(fields, settings, message: str, fix: str) -> None:
    with pytest.raises(BadInput) as refused:
        Form.find(fields, **settings)
    assert message in refused.value.message
    assert fix in str(refused.value.fix)


@pytest.mark.parametrize("template", ["{a b}", "{a:>3}", "{a!r}", "{0}"])
def test_a_template_holds_names_and_nothing_else(template: str) -> None:
    with pytest.raises(ValueError, match="no field's name"):
        names_in(template)


def test_blank_text_gives_nothing_to_learn() -> None:
    assert Form("text", text="text").segments({"text": " \n"}, None) == []
    assert Form("text", text="text").segments({"text": None}, None) == []
    pair = Form("prompt_completion", prompt="{q}", completion="{a}")
    assert pair.segments({"q": "why?", "a": ""}, None) == []


def test_what_the_assistant_says_counts() -> None:
    chat = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "bye"},
        {"role": "assistant", "content": "so long"},
    ]
    segments = Form("messages", messages="m").segments({"m": chat}, Templated(CHATML))
    assert [text for text, counts in segments if counts] == ["hello<|end|>\n", "so long<|end|>\n"]
    assert "".join(text for text, _ in segments) == Templated(CHATML).apply_chat_template(chat, False, False)


def test_turns_that_a_template_rewrites_later_are_context() -> None:
    # as templates of thinking models do: only the last turn keeps its thoughts
    forgetful = (
        "{% for m in messages %}<{{ m.role }}>{% if loop.last %}{{ m.content }}{% else %}"
        "{{ m.content.split('/')[-1] }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    chat = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "hm/b"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "ah/d"},
    ]
    segments = Form("messages", messages="m").segments({"m": chat}, Templated(forgetful))
    assert segments == [("<user>a<assistant>b<user>c<assistant>", False), ("ah/d", True)]


def test_a_chat_without_an_assistant_gives_nothing_to_learn() -> None:
    form = Form("messages", messages="m")
    assert form.segments({"m": [{"role": "user", "content": "hi"}]}, Templated(CHATML)) == []
    assert form.segments({"m": None}, Templated(CHATML)) == []


def test_a_form_comes_back_from_json_as_it_was() -> None:
    form = Form("prompt_completion", prompt="{q}\n", completion="{a}")
    assert Form.from_json(form.to_json()) == form
