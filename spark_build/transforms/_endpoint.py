"""An OpenAI-compatible endpoint: each question until it is answered, refused or given up; pace and budget are kept.

Source: the OpenAI API reference, chat completions and completions, error codes and rate limits.
"""

import json
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from spark_build.core.digest import canonical_json
from spark_build.core.errors import (
    BadInput,
    ItemRejected,
    SparkError,
    TransientError,
    Unanswered,
    Unavailable,
)
from spark_build.core.exchange import Exchange, Failed, Request, checked
from spark_build.core.ports import Reporter
from spark_build.transforms._spending import Purse

Question = str | list[Any]  # text to go on from, or chat messages
Found = Mapping[str, Any]

_MOST_BYTES = 64 << 20  # of one answer
_MOST_WAIT_SECONDS = 600.0  # where a server asks to be left alone for longer, the build ends
_LONGEST_PAUSE_SECONDS = 60.0  # between two tries that nobody asked to be further apart
_MOST_DETAIL = 300  # characters of what a server says
_MOST_IN_A_ROW = 16  # questions without an answer, of a server that did answer others
_NOT_ASKED = "not_asked"
_OVERLOADED = 529  # of some servers, as 503


class Endpoint:
    """`may_reject`: a question that stays without an answer while others have one does not end the build."""

    def __init__(self, params: Any, report: Reporter, *, may_reject: bool = False) -> None:
        self._params, self._report, self._may_reject = params, report, may_reject
        self._path = "/chat/completions" if params.chat else "/completions"
        self._parts = checked(params.endpoint + self._path)
        self._over = threading.Event()
        self._pace = _Pace(params.requests_per_minute, self._over)
        self._purse = Purse(params)
        self._unanswered: dict[int, Failed] = {}
        self._lost_in_a_row = 0
        self._has_given_up = False
        self._ended_by: Exception | None = None

    def answers(self, questions: Iterable[Question | ItemRejected]) -> Iterator[tuple[int, Any]]:
        """`{answers: [{text, end}], tokens: [asked, answered], by}` of each that has one, as they come, or why there is
        none. Errors: once all that were asked are there, SparkError where some have no answer.
        """
        following = enumerate(questions)
        asked: dict[Future[Found], int] = {}
        with ThreadPoolExecutor(self._params.concurrency, "ask") as pool:
            try:
                while True:
                    while len(asked) < self._params.concurrency and not self._over.is_set():
                        if (one := next(following, None)) is None:
                            break
                        if isinstance(one[1], ItemRejected):
                            yield one
                        else:
                            asked[pool.submit(self._answer, one[1])] = one[0]
                    if not asked:
                        break
                    for future in wait(asked, return_when=FIRST_COMPLETED).done:
                        number = asked.pop(future)
                        if (found := self._settled(number, future)) is not None:
                            yield number, found
            finally:
                self._over.set()
        self._tell(sum(1 for _ in following))
        yield from ((number, Unanswered(str(why))) for number, why in self._unanswered.items())

    def _settled(self, number: int, future: "Future[Found]") -> Found | ItemRejected | None:
        """None where there is no answer: it is noted, and may end the asking."""
        try:
            found = future.result()
        except ItemRejected as why:
            self._lost_in_a_row = 0
            return why
        except Failed as why:
            self._unanswered[number] = why
            self._lost_in_a_row += 1
            if self._lost_in_a_row > self._most_in_a_row:
                self._over.set()  # it answers nobody any more
                self._has_given_up = True
            return None
        except Exception as error:  # whatever it is, what the others were answered comes first
            self._ended_by = self._ended_by or error
            self._over.set()
            return None
        self._lost_in_a_row = 0
        return found

    @property
    def _most_in_a_row(self) -> int:
        has_answered = self._purse.answers > 0
        return (
            max(self._params.concurrency, _MOST_IN_A_ROW) if has_answered else int(self._params.concurrency)
        )

    def _tell(self, never_asked: int) -> None:
        """Errors: SparkError where questions are left that may not be."""
        purse, name = self._purse, f"{self._params.model} at {self._parts.netloc}"
        if purse.answers:
            self._report.note(f"asked {name}", purse.told())
            self._report.log(f"{name}: {purse.text()}")
        kept = f"; {purse.answers:,} answers of this build are kept ({purse.text()})" if purse.answers else ""
        if self._ended_by is not None and not isinstance(self._ended_by, SparkError):
            raise self._ended_by
        if self._ended_by is not None:
            message, fix = self._ended_by.message, self._ended_by.fix
            raise type(self._ended_by)(f"{name}: {message}{kept}", fix=fix)
        if self._unanswered and (self._has_given_up or not self._may_reject):
            lost = [failed for failed in self._unanswered.values() if failed.reason != _NOT_ASKED]
            last = (lost or [*self._unanswered.values()])[-1]
            left = len(self._unanswered) + never_asked
            counted = f"{left:,} questions have" if left > 1 else "1 question has"
            raise TransientError(
                f"{name}: {counted} no answer; the last one: {last.reason} ({last.detail}){kept}",
                fix="build again: what is left is asked, and nothing twice; `unanswered: reject` goes on without it",
            )

    def _answer(self, question: Question) -> Found:
        """All answers to one question. Errors: Failed, ItemRejected, SparkError."""
        found = self._asked(question, 0)
        while len(found["answers"]) < self._params.n:  # some servers give one, however many are wanted
            more = self._asked(question, len(found["answers"]))
            found["answers"] += more["answers"]
            found["tokens"] = [a + b for a, b in zip(found["tokens"], more["tokens"], strict=True)]
        return {**found, "answers": found["answers"][: self._params.n]}

    def _asked(self, question: Question, given: int) -> dict[str, Any]:
        """One request, as often as it takes."""
        body = self._body(question, given)
        pause = self._params.wait
        for tries_left in range(self._params.retries, -1, -1):
            share = self._purse.take(len(body), self._params.n - given)
            try:
                self._pace.wait_for_turn()
                found = self._try(body)
            except Failed as why:
                self._purse.lose(share, why)
                if not why.may_pass or not tries_left or self._over.is_set():
                    raise
                if why.wait_seconds > _MOST_WAIT_SECONDS:
                    raise Unavailable(
                        f"it asks to be left alone for {why.wait_seconds:,.0f} s", fix="build again later"
                    ) from None
                self._pace.pause(max(pause * random.uniform(0.5, 1.0), why.wait_seconds), why)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            except BaseException:
                self._purse.lose(share)
                raise
            else:
                self._purse.pay(share, found)
                return found
        raise AssertionError("BUG: no try left")

    def _body(self, question: Question, given: int) -> bytes:
        params = self._params
        asked: dict[str, Any] = {"model": params.model, "max_tokens": params.max_tokens}
        asked |= {"temperature": params.temperature, "top_p": params.top_p, "stop": params.stop or None}
        asked["n"] = params.n - given if params.n - given > 1 else None
        asked["seed"] = None if params.seed is None else params.seed + given
        asked["messages" if params.chat else "prompt"] = question
        try:
            return canonical_json({**{name: v for name, v in asked.items() if v is not None}, **params.extra})
        except UnicodeEncodeError:
            raise ItemRejected("bad_text", "it holds half a character (a lone surrogate)") from None

    def _try(self, body: bytes) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        headers |= {"User-Agent": "spark-build", "Accept-Encoding": "identity"}
        if self._params.api_key:
            headers["Authorization"] = f"Bearer {self._params.api_key.removeprefix('Bearer ')}"
        seconds = self._params.timeout
        request = Request(self._parts, headers, "POST", body, seconds, allow_private=True)
        with Exchange(request, time.monotonic() + seconds) as exchange:
            content = exchange.content(_MOST_BYTES)
        if exchange.answer.status != 200:
            raise self._refusal(exchange, content)
        return _found(content)

    def _refusal(self, exchange: Exchange, content: bytes) -> Exception:
        """Of one question, or of all; or one that may pass."""
        status, (said, param, code) = exchange.answer.status, _error_in(content)
        said = f"{status} {self._without_key(said)[:_MOST_DETAIL] or exchange.answer.reason}"
        if code == "insufficient_quota":
            return Unavailable(said, fix="the account behind api_key has no credit left; then build again")
        if status in (401, 403):
            return Unavailable(said, fix='check the key: api_key: "${secret.NAME}", and export NAME=…')
        if (failed := exchange.refused(said)).may_pass or status == _OVERLOADED:
            return Failed(failed.reason, said, may_pass=True, wait_seconds=failed.wait_seconds)
        if status in (400, 413, 422) and param in (None, "", "messages", "prompt"):
            return ItemRejected("refused", said)
        if status in (400, 422):
            return BadInput(
                said, fix=f"'{param}' is what the server can't take; `extra:` holds what it has of its own"
            )
        return BadInput(
            said, fix=f"check endpoint and model: {self._params.endpoint} is asked at {self._path}"
        )

    def _without_key(self, text: str) -> str:
        return text.replace(self._params.api_key, "***") if self._params.api_key else text


def _found(content: bytes) -> dict[str, Any]:
    """Errors: Failed where it is no answer as the API gives it."""
    try:
        whole = json.loads(content)
        answers = [_answer_in(choice) for choice in whole["choices"]]
        usage = whole.get("usage") or {}
        tokens = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        said, _, _ = _error_in(content)
        why = said[:_MOST_DETAIL] or f"{type(error).__name__}: {error}"
        raise Failed("bad_answer", why, may_pass=True) from None
    if not answers:
        raise Failed("bad_answer", "no choices", may_pass=True)
    return {"answers": answers, "tokens": tokens, "by": str(whole.get("model") or "")}


def _answer_in(choice: Mapping[str, Any]) -> dict[str, Any]:
    text = choice["message"].get("content") if "message" in choice else choice["text"]
    if isinstance(text, list):
        text = "".join(str(part.get("text") or "") for part in text)
    if isinstance(text, str):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # no lone surrogates
    elif text is not None:
        raise TypeError("content is no text")
    return {"text": text, "end": str(choice.get("finish_reason") or "stop")}


def _error_in(content: bytes) -> tuple[str, str | None, str | None]:
    """What servers call an error: message, param and code, as far as they say."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        return content[:_MOST_DETAIL].decode("utf-8", "replace").strip(), None, None
    error = whole.get("error", whole) if isinstance(whole, dict) else whole
    if not isinstance(error, dict):
        return str(error), None, None
    told = error.get("message") or error.get("detail") or ""
    return str(told), error.get("param"), error.get("code")


class _Pace:
    """When the next request may go out: so many a minute, and none while the server wants to be left alone."""

    def __init__(self, per_minute: float | None, over: threading.Event) -> None:
        self._between = 60.0 / per_minute if per_minute else 0.0
        self._next, self._over, self._lock = 0.0, over, threading.Lock()

    def wait_for_turn(self) -> None:
        """Errors: Failed where the asking is over."""
        with self._lock:
            turn = max(time.monotonic(), self._next)
            self._next = turn + self._between
        if self._over.wait(max(0.0, turn - time.monotonic())):
            raise Failed(_NOT_ASKED, "the asking is over")

    def pause(self, seconds: float, why: Failed) -> None:
        """Of this request; where the server has too many of them, of all."""
        if why.reason == "http_429":
            with self._lock:
                self._next = max(self._next, time.monotonic() + seconds)
        self._over.wait(seconds)
