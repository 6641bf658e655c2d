"""Answers of a model in a local folder: one question at a time, so that none hangs on its neighbours."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spark_build.contract import Context
from spark_build.core.digest import digest_json
from spark_build.core.errors import ItemRejected
from spark_build.modalities.text.generation import Ask, Model
from spark_build.training.prompts import Prompts, TemplateRefuses

Question = str | list[Any]  # text to go on from, or chat messages


def answers(
    questions: Iterable[Question | ItemRejected], params: Any, folder: Path, context: Context
) -> Iterator[tuple[int, Any]]:
    """For each question, in order, `{answers: [{text, end}], tokens: [asked, answered], by}`, or why there is none."""
    numerics = context.numerics
    model = Model.load(folder, numerics.device, numerics.dtype, numerics.threads)
    prompts = Prompts.of(model.tokenizer)
    asked, answered = 0, 0
    for number, question in enumerate(questions):
        found = (
            question if isinstance(question, ItemRejected) else _answered(model, prompts, question, params)
        )
        if not isinstance(found, ItemRejected):
            asked, answered = asked + found["tokens"][0], answered + found["tokens"][1]
        yield number, found
    context.report.note(f"asked {params.model}", {"input_tokens": asked, "output_tokens": answered})


def _tokens(prompts: Prompts, question: Question) -> tuple[int, ...]:
    if isinstance(question, str):
        return prompts.text(_encodable(question))
    if not all(isinstance(turn.get("content"), str) for turn in question):
        raise ItemRejected("not_text", "a message without text")
    try:
        return prompts.chat([{**turn, "content": _encodable(turn["content"])} for turn in question])
    except TemplateRefuses as why:
        raise ItemRejected("bad_chat", str(why)) from None


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # tokenizers take no lone surrogates


def _answered(
    model: Model, prompts: Prompts, question: Question, params: Any
) -> dict[str, Any] | ItemRejected:
    try:
        return _said(model, _tokens(prompts, question), params)
    except ItemRejected as why:
        return why


def _said(model: Model, prompt: tuple[int, ...], params: Any) -> dict[str, Any]:
    room = model.context_length - len(prompt)
    if not prompt or room < 1:
        detail = (
            f"{len(prompt)} tokens; the model takes {model.context_length}" if prompt else "nothing is asked"
        )
        raise ItemRejected("too_long" if prompt else "no_question", detail)
    found, tokens = [], 0
    for number in range(params.n):
        pieces: list[str] = []
        ask = Ask(
            prompt, min(params.max_tokens, room), params.temperature, params.top_p,
            _seed(params.seed or 0, prompt, number), tuple(params.stop),
        )  # fmt: skip
        finished = model.generate(ask, pieces.append, threading.Event())
        found.append({"text": "".join(pieces), "end": finished.reason})
        tokens += finished.tokens
    return {"answers": found, "tokens": [len(prompt), tokens], "by": ""}


def _seed(seed: int, prompt: Sequence[int], number: int) -> int:
    """Of this answer alone, whatever was asked before."""
    return int(digest_json([seed, list(prompt), number])[:15], 16)
