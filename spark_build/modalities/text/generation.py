"""Text from a causal language model, piece by piece: sampling, stop strings, seeds, the context's length."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from spark_build.core.errors import BadInput, Unavailable

_MANY_TOKENS = 1 << 20  # a model that states no length takes this many
_BROKEN = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Ask:
    prompt: tuple[int, ...]  # token ids
    max_tokens: int
    temperature: float | None = (
        None  # None: as the model's generation_config.json says; 0: the likeliest token
    )
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finished:
    reason: str  # 'stop' | 'length'
    tokens: int  # generated, the end-of-text token included


@dataclass
class Model:
    """One model in memory. `generate` is for one thread at a time: it sets the process's seed."""

    model: Any
    tokenizer: Any

    @classmethod
    def load(cls, folder: Path, device: str, dtype: str, threads: int) -> "Model":
        """Errors: BadInput where the folder holds no causal language model, Unavailable (device)."""
        import torch
        from transformers import AutoModelForCausalLM

        from spark_build.modalities.text.tokenizer_folder import load_tokenizer

        torch.set_num_threads(threads)
        if device == "cuda" and not torch.cuda.is_available():
            raise Unavailable("`device: cuda`, and this machine shows none", fix="serve with `device: cpu`")
        _refuse_others(folder)
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise BadInput(
                f"the model can't be loaded: {reason}", fix="only safetensors are served"
            ) from error
        return cls(model.to(device).eval(), load_tokenizer(folder))

    @cached_property
    def context_length(self) -> int:
        """Tokens that prompt and answer may have together."""
        stated = getattr(self.model.config, "max_position_embeddings", None)
        return int(stated or getattr(self.model.config, "n_positions", None) or _MANY_TOKENS)

    def generate(self, ask: Ask, emit: Callable[[str], None], cancelled: threading.Event) -> Finished:
        """Calls `emit` with pieces of text that join to the answer; ends early where `cancelled` is set."""
        import torch
        from transformers import StoppingCriteriaList

        if ask.seed is not None:
            torch.manual_seed(ask.seed)
        prompt = torch.tensor([ask.prompt], device=self.model.device)
        watch = _watcher(self.tokenizer, ask, emit, cancelled)
        with torch.inference_mode():
            self.model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=self._settings(ask),
                stopping_criteria=StoppingCriteriaList([watch]),
            )
        return Finished(watch.close(self._end_tokens), len(watch.answer))

    def _settings(self, ask: Ask) -> Any:
        import copy

        settings = copy.deepcopy(self.model.generation_config)
        settings.max_length = None
        settings.max_new_tokens = ask.max_tokens
        temperature = settings.temperature if ask.temperature is None else ask.temperature
        top_p = settings.top_p if ask.top_p is None else ask.top_p
        settings.do_sample = temperature != 0
        settings.temperature, settings.top_p = (temperature, top_p) if settings.do_sample else (None, None)
        settings.top_k = 0 if settings.do_sample else None  # the API has none; 0 is off
        if settings.pad_token_id is None:
            settings.pad_token_id = next(iter(self._end_tokens), 0)
        return settings

    @cached_property
    def _end_tokens(self) -> frozenset[int]:
        stated = self.model.generation_config.eos_token_id
        if stated is None:
            stated = self.tokenizer.eos_token_id
        return frozenset([stated] if isinstance(stated, int) else stated or ())


def _refuse_others(folder: Path) -> None:
    import json

    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    name = next(iter(config.get("architectures") or []), "no transformers model")
    if not name.endswith(("ForCausalLM", "LMHeadModel")):
        raise BadInput(
            f"text comes from a causal language model, and this is {name}",
            fix="name a model of causal_lm or llama_lora; a classifier serves as a gate, or through onnx",
        )


class Text:
    """Generated tokens as text: whole characters only, and nothing that may turn out to be a stop string."""

    def __init__(self, tokenizer: Any, before: Sequence[int], stop: tuple[str, ...]) -> None:
        self.tokenizer, self.stop = tokenizer, stop
        # some tokenizers drop a leading space: a few tokens of the prompt stand before the answer's first
        self.ids = list(before[-4:])
        self.shown = self.read = len(self.ids)
        self.start = 0
        self.pending = ""  # decoded, and held back
        self.is_stopped = False

    def add(self, token: int) -> str:
        """What can be shown now."""
        self.ids.append(token)
        decoded = self._decode(self.start, len(self.ids))
        known = self._decode(self.start, self.read)
        if len(decoded) <= len(known) or decoded.endswith(_BROKEN):  # the rest of a character is to come
            return ""
        self.start, self.read = self.read, len(self.ids)
        return self._release(decoded[len(known) :])

    def rest(self) -> str:
        """What was held back, at the end."""
        if self.is_stopped:
            return ""
        last = self._decode(self.start, len(self.ids))[len(self._decode(self.start, self.read)) :]
        shown = self._release(last)
        return shown if self.is_stopped else shown + self.pending

    def _release(self, text: str) -> str:
        self.pending += text
        found = [at for at in map(self.pending.find, self.stop) if at >= 0]
        if found:
            self.is_stopped = True
            return self.pending[: min(found)]
        held = max((_overlap(self.pending, stop) for stop in self.stop), default=0)
        cut = len(self.pending) - held
        shown, self.pending = self.pending[:cut], self.pending[cut:]
        return shown

    def _decode(self, start: int, end: int) -> str:
        text: str = self.tokenizer.decode(
            self.ids[start:end], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of `text` with which `stop` begins."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)


def _watcher(tokenizer: Any, ask: Ask, emit: Callable[[str], None], cancelled: threading.Event) -> Any:
    import torch
    from transformers import StoppingCriteria

    class Watcher(StoppingCriteria):
        """Sees every token as it comes, and says when to end."""

        def __init__(self) -> None:
            self.answer: list[int] = []
            self.text = Text(tokenizer, ask.prompt, ask.stop)

        def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
            token = int(input_ids[0, -1])
            self.answer.append(token)
            if piece := self.text.add(token):
                emit(piece)
            is_over = cancelled.is_set() or self.text.is_stopped
            return torch.full((input_ids.shape[0],), is_over, device=input_ids.device, dtype=torch.bool)

        def close(self, end_tokens: frozenset[int]) -> str:
            if piece := self.text.rest():
                emit(piece)
            ended = self.text.is_stopped or (bool(self.answer) and self.answer[-1] in end_tokens)
            return "stop" if ended else "length"

    return Watcher()
