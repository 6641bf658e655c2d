"""Requests of the OpenAI API as we take them: checked, and refused in its own form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

_STOPS = 4

# taken and without effect on the text: who asks, how it is billed and stored
_WITHOUT_EFFECT = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
)
# known to the API, not supported; at these values they change nothing
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,), "best_of": (1,), "presence_penalty": (0,), "frequency_penalty": (0,), "logit_bias": ({},),
    "logprobs": (False,), "top_logprobs": (), "echo": (False,), "suffix": ("",), "tools": ([],),
    "tool_choice": ("none",), "parallel_tool_calls": (True, False), "functions": ([],),
    "function_call": ("none",),
    "response_format": ({"type": "text"},), "modalities": (["text"],), "audio": (), "prediction": (),
    "reasoning_effort": ("none",), "verbosity": (), "web_search_options": (),
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    model: str
    stream: bool
    include_usage: bool
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    seed: int | None
    stop: tuple[str, ...]
    prompt: str = ""  # of a completion
    messages: tuple[dict[str, str], ...] = ()  # of a chat: role, content
    prompt_field: str = "prompt"


class Refused(Exception):
    """An error object of the OpenAI API, and the status that goes with it."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.param, self.code, self.kind = message, status, param, code, kind

    def body(self) -> dict[str, Any]:
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}


def completion_request(body: Any) -> Asked:
    """Errors: Refused, naming the field."""
    given = _checked(_CompletionBody, body)
    return Asked(**_common(given), max_tokens=given.max_tokens, prompt=given.prompt[0])


def chat_request(body: Any) -> Asked:
    """Errors: Refused, naming the field."""
    given = _checked(_ChatBody, body)
    messages = tuple({"role": m.role, "content": m.text()} for m in given.messages)
    limit = given.max_completion_tokens or given.max_tokens
    return Asked(**_common(given), max_tokens=limit, messages=messages, prompt_field="messages")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _StreamOptions(_Strict):
    include_usage: bool = False
    include_obfuscation: bool = False


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


_Stop = Annotated[str, StringConstraints(min_length=1)]


class _Body(_Strict):
    model: str
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Annotated[list[_Stop] | None, Field(max_length=_STOPS), BeforeValidator(_as_list)] = None


class _CompletionBody(_Body):
    prompt: Annotated[list[str], Field(min_length=1, max_length=1), BeforeValidator(_as_list)]
    max_tokens: int | None = Field(None, ge=1)


class _TextPart(_Strict):
    type: Literal["text"]
    text: str


class _Message(_Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[_TextPart], BeforeValidator(_as_parts)]
    name: str | None = None

    def text(self) -> str:
        return "".join(part.text for part in self.content)


class _ChatBody(_Body):
    messages: Annotated[list[_Message], Field(min_length=1)]
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)


B = TypeVar("B", bound=_Body)


def _common(given: _Body) -> dict[str, Any]:
    return {
        "model": given.model,
        "stream": bool(given.stream),
        "include_usage": given.stream_options is not None and given.stream_options.include_usage,
        "temperature": given.temperature,
        "top_p": given.top_p,
        "seed": given.seed,
        "stop": tuple(given.stop or ()),
    }


def _checked(form: type[B], body: Any) -> B:
    if not isinstance(body, dict):
        raise Refused("the request has to be a JSON object")
    try:
        return form.model_validate({n: v for n, v in body.items() if not _changes_nothing(n, v)})
    except ValidationError as error:
        raise _refusal(error) from None


def _changes_nothing(name: str, value: Any) -> bool:
    if name in _WITHOUT_EFFECT:
        return True
    return name in _NEUTRAL and (value is None or value in _NEUTRAL[name])


def _refusal(error: ValidationError) -> Refused:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    top = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden" and top in _NEUTRAL:
        return Refused(f"'{top}' is not supported by this server", param=top, code="unsupported_parameter")
    if first["type"] == "extra_forbidden":
        return Refused(f"unknown field '{name}'", param=name, code="unknown_parameter")
    if first["type"] == "missing":
        return Refused(f"'{name}' is missing", param=name, code="missing_required_parameter")
    return Refused(f"'{name}': {first['msg']}", param=name, code="invalid_value")
