"""Chat templates for models that bring none: a server can then put a question the way training did."""

import json
from typing import Any

from spark_build.training.forms import Form, fill, names_in

# for chat messages where the base has no template of its own; the end-of-text token ends what the assistant says
PLAIN = (
    "{%- for message in messages -%}"
    "{%- if not loop.first -%}{{ '\\n' }}{%- endif -%}"
    "{{ message['role'] + ': ' + message['content'] }}"
    "{%- if message['role'] == 'assistant' -%}{{ eos_token }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '\\nassistant:' }}{%- endif -%}"
)


def give_chat_template(tokenizer: Any, form: Form) -> None:
    """Sets `tokenizer.chat_template` to what `form` renders; plain text leaves the tokenizer as it is."""
    if form.kind == "messages" and not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN
    if form.kind == "prompt_completion" and (template := of_prompt(form)) is not None:
        tokenizer.chat_template = template


def of_prompt(form: Form) -> str | None:
    """The form's prompt as a chat template, the user's message in the field's place; None unless it has one field."""
    prompt, completion = form.prompt or "", form.completion or ""
    if len(names_in(prompt)) != 1 or len(names_in(completion)) != 1:
        return None
    ask, answer = (_around_field(template) for template in (prompt, completion))
    return (
        "{%- for message in messages -%}"
        "{%- if message['role'] == 'assistant' -%}"
        f"{{{{ {answer[0]} + message['content'] + {answer[1]} + eos_token }}}}"
        "{%- else -%}"
        f"{{{{ {ask[0]} + message['content'] + {ask[1]} }}}}"
        "{%- endif -%}"
        "{%- endfor -%}"
    )


def _around_field(template: str) -> tuple[str, str]:
    """What stands before and behind the one field, as Jinja string literals."""
    name = names_in(template)[0]
    before, after = fill(template, {name: "\0"}).split("\0")
    return json.dumps(before, ensure_ascii=False), json.dumps(after, ensure_ascii=False)
