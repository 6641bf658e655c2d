"""Asks a model about each item, once ever: teacher answers, synthetic data, a judge's score."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import field_validator, model_validator

from spark_build.contract import (
    AskingTransform,
    Context,
    Decides,
    Item,
    ModelRef,
    Needs,
    Project,
    RuleParams,
    Secret,
    Unkeyed,
)
from spark_build.contract.params import Field
from spark_build.contract.rules import Reproducible
from spark_build.core.errors import ItemRejected
from spark_build.core.exchange import Failed, checked
from spark_build.training.forms import fill, names_in
from spark_build.transforms._answers import compiled, value_of
from spark_build.transforms._text import as_text, check_there, there, well_formed

_OF_ENDPOINTS = ("api_key", "requests_per_minute", "price", "budget")
_OURS = ("model", "messages", "prompt", "temperature", "top_p", "max_tokens", "seed", "stop", "n", "stream")


class Price(RuleParams):
    input: float = Field(ge=0, description="Of a million tokens that are sent.")
    output: float = Field(ge=0, description="Of a million tokens that are answered.")


class Params(RuleParams):
    """A model of one's own, or one behind an endpoint; what it is asked; what becomes of its answer."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "base_url": "endpoint", "url": "endpoint", "api_base": "endpoint", "token": "api_key", "template": "prompt",
        "question": "prompt", "chat_field": "messages", "system_prompt": "system", "to": "into", "field": "into",
        "column": "into", "output_field": "into", "max_new_tokens": "max_tokens", "max_completion_tokens": "extra",
        "response_format": "extra", "extra_body": "extra", "num_return_sequences": "n", "json": "answer",
        "score": "answer", "regex": "pattern", "rpm": "requests_per_minute", "rate_limit": "requests_per_minute",
        "workers": "concurrency", "parallel": "concurrency", "max_retries": "retries", "cost": "price",
    }  # fmt: skip

    model: ModelRef = Field(
        description="Who is asked: model:NAME, a folder or a hub id (safetensors); with `endpoint` the name that the "
        "server knows it by."
    )
    endpoint: str | None = Field(
        None,
        description="Base URL of an OpenAI-compatible API: https://api.example.com/v1, http://127.0.0.1:8000/v1.",
    )
    api_key: Secret | None = Field(None, description='Sent as bearer token: "${secret.API_KEY}".')
    prompt: str | None = Field(
        None, description='What is asked, with the item\'s fields: "Summarize: {text}"; {{ and }} are braces.'
    )
    messages: str | None = Field(None, description="A field of chat messages that is asked as it is.")
    system: str | None = Field(None, description="A system message before either, a template as well.")
    chat: bool = Field(
        default=True,
        description="Ask in the model's chat form; false: the model goes on from `prompt` as text.",
    )
    max_tokens: int | None = Field(
        512, ge=1, description="Tokens of an answer, at most; null leaves it to the server."
    )
    temperature: float | None = Field(
        0.0, ge=0, le=2, description="0: the likeliest token; null leaves it to the server or the model."
    )
    top_p: float | None = Field(
        None, gt=0, le=1, description="Of sampling: the likeliest tokens of this share."
    )
    seed: int | None = Field(
        None, ge=0, lt=2**31, description="Of sampling. Another seed is another question: all are asked anew."
    )
    stop: list[str] = Field([], max_length=4, description="Texts that end an answer; they are not in it.")
    n: int = Field(1, ge=1, le=128, description="Answers to each item; several are a list.")
    extra: dict[str, Any] = Field(
        {}, description="More for the body of the request, as the server takes it: {reasoning_effort: low}."
    )
    into: Decides[str] = Field("answer", min_length=1, description="The field that takes the answer.")
    answer: Decides[Literal["text", "json", "number"]] = Field(
        "text", description="What the answer is read as; one that can't be is a rejected item."
    )
    key: Decides[str | None] = Field(
        None, description="Of an answer in JSON what lies under this key: score, or verdict.score."
    )
    pattern: Decides[str | None] = Field(
        None, description="A regular expression whose first group, else the whole match, is the number."
    )
    min: Decides[float | None] = Field(None, description="A smaller number is a rejected item.")
    max: Decides[float | None] = Field(None, description="A larger number is a rejected item.")
    raw: Decides[str | None] = Field(
        None, description="A field that takes the answer's text, beside what was read of it."
    )
    cut_off: Decides[Literal["reject", "keep"]] = Field(
        "reject", description="What becomes of an item whose answer was longer than `max_tokens`."
    )
    unanswered: Decides[Literal["fail", "reject"]] = Field(
        "fail",
        description="What becomes of an item that has no answer after all tries while others have one. fail: the build "
        "does, once all are asked; reject: the item, which is asked about again when the stage runs again.",
    )
    requests_per_minute: Unkeyed[float | None] = Field(
        None, gt=0, description="Requests in a minute, at most."
    )
    concurrency: Unkeyed[int] = Field(8, ge=1, le=256, description="Requests at a time.")
    timeout: Unkeyed[float] = Field(120.0, gt=0, description="Seconds that one request may take.")
    retries: Unkeyed[int] = Field(
        5,
        ge=0,
        description="Further tries of what may pass: 429, 500, 503, no connection, an answer cut off …",
    )
    wait: Unkeyed[float] = Field(
        1.0, ge=0, description="Seconds before the second try, about twice as many before each further one."
    )
    price: Unkeyed[Price | None] = Field(
        None, description="What a million tokens cost: {input: 0.15, output: 0.6}."
    )
    budget: Unkeyed[float | None] = Field(
        None,
        gt=0,
        description="What one build may spend; nothing is asked that could cost more. Needs `price`.",
    )

    @field_validator("prompt", "system")
    @classmethod
    def _well_formed(cls, template: str | None) -> str | None:
        return well_formed(template)

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = checked(url)
        except Failed as why:
            raise ValueError(f"{why.detail}\n  fix: endpoint: https://HOST/v1, the key as api_key") from None
        if parts.query or parts.fragment:
            raise ValueError(f"'{url}' is no base URL\n  fix: what stands before /chat/completions")
        return url.rstrip("/").removesuffix("/chat/completions").removesuffix("/completions")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        compiled(pattern)
        return pattern

    @model_validator(mode="after")
    def _check(self) -> "Params":
        for problem in (self._of_question(), self._of_answer(), self._of_endpoint()):
            if problem is not None:
                raise ValueError(problem)
        return self

    def _of_question(self) -> str | None:
        if (self.prompt is None) == (self.messages is None):
            return "give one of 'prompt', a template, and 'messages', a field of chat messages"
        if not self.chat and (self.messages is not None or self.system is not None):
            return "without chat there is only a prompt: 'messages' and 'system' need chat"
        if self.n > 1 and self.temperature == 0:
            return f"{self.n} answers at temperature 0 are {self.n} times the same\n  fix: temperature: 0.7"
        return None

    def _of_answer(self) -> str | None:
        if self.answer == "text" and self.key is not None:
            return "'key' is of an answer in JSON\n  fix: answer: json, or answer: number"
        if self.answer != "number":
            if unfit := [n for n in ("pattern", "min", "max") if getattr(self, n) is not None]:
                return f"'{unfit[0]}' is of an answer that is a number\n  fix: answer: number"
        elif self.key is not None and self.pattern is not None:
            return "one of 'key' and 'pattern' says where the number stands"
        return None

    def _of_endpoint(self) -> str | None:
        if self.endpoint is None:
            given = [n for n in _OF_ENDPOINTS if getattr(self, n) is not None] + ["extra"] * bool(self.extra)
            if given:
                return f"'{given[0]}' goes with an endpoint\n  fix: endpoint: https://HOST/v1, or take it out"
            return "'max_tokens' of a model of your own is a number" if self.max_tokens is None else None
        if taken := sorted(set(_OURS) & set(self.extra)):
            return f"'{taken[0]}' has a param of its own\n  fix: write it beside 'extra'"
        if self.budget is not None and (self.price is None or self.most_tokens is None):
            return (
                "a budget needs 'price' and 'max_tokens': without them nobody knows what an answer may cost"
            )
        return None

    @property
    def most_tokens(self) -> int | None:
        """Of one answer, under whichever name the server takes that."""
        given = self.max_tokens or self.extra.get("max_completion_tokens")
        return given if isinstance(given, int) else None


class Generate(AskingTransform):
    """Fields stay as they are; what is read of the answer comes into one more.

    Revision and libraries scope what was paid for: raise the revision only where old answers are wrong ones.
    """

    Params = Params
    revision = 1
    uses_model = True
    reproducible = "numerics"
    reproducible_why = "what an endpoint answers is its own; the answers that were given are kept"

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        return super().needs(params, project) if params.endpoint is None else Needs()

    @classmethod
    def keyed(cls, params: Any) -> dict[str, Any]:
        """Behind an endpoint the model is a name."""
        keyed = super().keyed(params)
        return keyed if params.endpoint is None else {**keyed, "model": params.model}

    @classmethod
    def libraries_of(cls, params: Any) -> tuple[str, ...]:
        return ("torch", "transformers", "tokenizers") if params.endpoint is None else ()

    @classmethod
    def uses_model_of(cls, params: Any) -> bool:
        return params.endpoint is None

    @classmethod
    def reproducible_of(cls, params: Any) -> Reproducible:
        return "numerics" if params.endpoint is None else "none"

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return there(item, self._asked_about())

    def ask(self, items: Iterable[Item], context: Context) -> Iterator[tuple[int, Any]]:
        questions = map(self._question, items)
        if self.params.endpoint is None:
            from spark_build.transforms._own_model import answers

            yield from answers(questions, self.params, self.inputs["model"], context)
        else:
            from spark_build.transforms._endpoint import Endpoint

            may_reject = context.facts.get("params", {}).get("unanswered") == "reject"
            yield from Endpoint(self.params, context.report, may_reject=may_reject).answers(questions)

    def becomes(self, item: Item, found: Any, params: Any) -> Sequence[Mapping[str, Any]]:
        texts = [_whole(one, params) for one in found["answers"]]
        values = [value_of(text, params) for text in texts]
        taken = {params.raw: texts} if params.raw is not None else {}
        taken = {**taken, params.into: values}
        kept = {name: item[name] for name in self._asked_about()}
        return [{**kept, **(taken if params.n > 1 else {name: v[0] for name, v in taken.items()})}]

    def _asked_about(self) -> tuple[str, ...]:
        if self.params.messages is not None:
            return tuple(dict.fromkeys([self.params.messages, *names_in(self.params.system or "")]))
        return tuple(dict.fromkeys(names_in((self.params.system or "") + self.params.prompt)))

    def _question(self, item: Item) -> "str | list[Any] | ItemRejected":
        """Chat messages, or text to go on from."""
        try:
            check_there(item, self._asked_about())
            texts = {
                name: as_text(item[name]) for name in self._asked_about() if name != self.params.messages
            }
            if not self.params.chat:
                return fill(self.params.prompt, texts)
            system = (
                [{"role": "system", "content": fill(self.params.system, texts)}] if self.params.system else []
            )
            if self.params.messages is not None:
                return [*system, *_turns(item[self.params.messages], self.params.messages)]
            return [*system, {"role": "user", "content": fill(self.params.prompt, texts)}]
        except ItemRejected as why:
            return why


def _turns(value: Any, name: str) -> list[Any]:
    is_chat = isinstance(value, list) and all(isinstance(turn, Mapping) and "role" in turn for turn in value)
    if not is_chat or not value:
        raise ItemRejected("no_turns", f"'{name}' holds no chat messages")
    return list(value)


def _whole(answer: Mapping[str, Any], params: Any) -> str:
    """The answer's text. Errors: ItemRejected where there is none, or not all of it."""
    if answer["end"] == "content_filter":
        raise ItemRejected("content_filter", "the server's filter kept the answer back")
    if answer["end"] == "length" and params.cut_off == "reject":
        raise ItemRejected(
            "cut_off", f"longer than max_tokens: {params.max_tokens}; `cut_off: keep` keeps it"
        )
    if not (answer["text"] or "").strip():
        raise ItemRejected("no_answer", f"the model said nothing ({answer['end']})")
    return str(answer["text"])
