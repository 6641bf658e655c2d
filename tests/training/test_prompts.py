"""Questions reach the model as training put them; the tokenizer is real, trained in the test."""

from pathlib import Path
from typing import Any

import pytest
from tiny_models import llama

from spark_build.training.chat import give_chat_template
from spark_build.training.forms import Form
from spark_build.training.prompts import Prompts, TemplateRefuses


@pytest.fixture
def tokenizer(tmp_path: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(llama(tmp_path))


def test_a_question_is_put_as_the_recipe_trained_it(tokenizer: Any) -> None:
    form = Form("prompt_completion", prompt="Q: {question}\nA: ", completion="{answer}")
    give_chat_template(tokenizer, form)
    (prompt, _), _ = form.segments({"question": "What is len?", "answer": "A function."}, tokenizer)
    asked = Prompts.of(tokenizer).chat([{"role": "user", "content": "What is len?"}])
    assert asked == tuple(tokenizer(prompt)["input_ids"])


def test_a_model_without_template_gets_role_and_content_a_line_each(tokenizer: Any) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is len?"}]
    asked = Prompts.of(tokenizer).chat(messages)
    assert tokenizer.decode(asked) == "system: Be brief.\nuser: What is len?\nassistant:"


def test_a_developers_message_is_the_systems(tokenizer: Any) -> None:
    prompts = Prompts.of(tokenizer)
    texts = [[{"role": role, "content": "Be brief."}] for role in ("developer", "system")]
    assert prompts.chat(texts[0]) == prompts.chat(texts[1])


def test_the_begin_of_text_token_stands_once_at_the_beginning(tokenizer: Any) -> None:
    from tokenizers.processors import TemplateProcessing

    bos = tokenizer.convert_tokens_to_ids("<pad>")  # any special token will do
    tokenizer.bos_token = "<pad>"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<pad> $A", special_tokens=[("<pad>", bos)]
    )
    prompts = Prompts.of(tokenizer)
    assert [prompts.text(text).count(bos) for text in ("What is len?", "<pad>What is len?")] == [1, 1]
    assert prompts.text("What is len?")[0] == bos


def test_a_template_may_refuse_the_messages(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(TemplateRefuses, match="refuses the messages: roles must alternate"):
        Prompts.of(tokenizer).chat([{"role": "user", "content": "a"}])
