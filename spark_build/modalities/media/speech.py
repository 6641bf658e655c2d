"""What is said in a sound: Whisper, window by window, each as long as the model hears at once (30 s)."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import BadInput
from spark_build.core.values import Struct
from spark_build.modalities.media.decoding import mono_samples
from spark_build.modalities.model_folder import (
    first_line,
    load_feature_extractor,
    load_model,
    load_tokenizer,
)

if TYPE_CHECKING:
    import numpy as np

_LAYOUT = "config.json, preprocessor_config.json, tokenizer.json and model.safetensors"
_SILENCE = 1e-4  # of full scale: less is told by no 16-bit sample, and Whisper makes words up for it
_CUT_WITHIN = 1 / 6  # of a window's end, at its quietest place, so that no word is cut in two
_BLOCK_SECONDS = 0.1
_PROMPT_TOKENS = 4  # start, language, task, no times

Segment = tuple[float, float, str]  # seconds from and to, and what is said, with the space before it


class Speech(Struct, frozen=True, dict=True):
    model: Any
    extractor: Any
    tokenizer: Any
    has_times: bool  # the model knows tokens for times, and they are wanted

    def segments(self, path: Path, language: str | None, task: str | None, max_tokens: int) -> list[Segment]:
        """Errors: ItemRejected where it can't be decoded; BadInput where the model has no such language or task."""
        found: list[Segment] = []
        options = {name: value for name, value in (("language", language), ("task", task)) if value}
        for start, samples in windows(path, self._rate, self.extractor.n_samples):
            if float(abs(samples).max()) >= _SILENCE:
                found += self._of_window(
                    start, samples, {**options, "max_new_tokens": self._room(max_tokens)}
                )
        return found

    def _of_window(
        self, start: float, samples: "np.ndarray[Any, Any]", options: dict[str, Any]
    ) -> Iterator[Segment]:
        import torch

        features = self.extractor(samples, sampling_rate=self._rate, return_tensors="pt").input_features
        features = features.to(self.model.device, self.model.dtype)
        length = len(samples) / self._rate
        try:
            with torch.inference_mode():
                found = self.model.generate(
                    features, return_timestamps=self.has_times, return_segments=self.has_times,
                    do_sample=False, num_beams=1, **options,
                )  # fmt: skip
        except ValueError as error:
            fix = "leave out language and task, or name what the model was trained on"
            raise BadInput(f"the model of speech refuses: {first_line(error)}", fix=fix) from error
        if not self.has_times:
            yield _segment(start, 0, length, self._text(found[0]))
            return
        for part in found["segments"][0]:
            text = self._text(part["tokens"])
            if text and float(part["start"]) < length:  # behind the end is what fills the window up
                yield _segment(start, float(part["start"]), min(float(part["end"]), length), text)

    def _text(self, tokens: Any) -> str:
        words = [int(token) for token in tokens if int(token) < self._first_time]
        text: str = self.tokenizer.decode(words, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _room(self, max_tokens: int) -> int:
        return min(max_tokens, int(self.model.config.max_target_positions) - _PROMPT_TOKENS)

    @property
    def _rate(self) -> int:
        return int(self.extractor.sampling_rate)

    @cached_property
    def _first_time(self) -> int:
        """Tokens from here on are times."""
        last = getattr(self.model.generation_config, "no_timestamps_token_id", None)
        return int(self.model.config.vocab_size if last is None else last + 1)


def load_speech(folder: Path, device: str, dtype: str, *, times: bool) -> Speech:
    """Errors: BadInput where the folder holds no Whisper, Unavailable (device, libraries)."""
    model = load_model(
        folder, "AutoModelForSpeechSeq2Seq", "model of speech", _LAYOUT, device=device, dtype=dtype
    )
    if model.config.model_type != "whisper":
        raise BadInput(
            f"'{folder.name}' is no Whisper: its type is {model.config.model_type}",
            fix="name a Whisper of any size: openai/whisper-small, or one trained from it",
        )
    knows_times = getattr(model.generation_config, "no_timestamps_token_id", None) is not None
    return Speech(model, load_feature_extractor(folder), load_tokenizer(folder), times and knows_times)


def windows(path: Path, rate: int, most: int) -> Iterator[tuple[float, "np.ndarray[Any, Any]"]]:
    """Start in seconds, and at most so many samples; one window is in memory at a time. Errors: ItemRejected."""
    import numpy as np

    waiting, start = np.zeros(0, np.float32), 0
    for samples in mono_samples(path, rate):
        waiting = np.concatenate([waiting, samples])
        while len(waiting) > most:
            cut = _quietest(waiting[:most], rate)
            yield start / rate, waiting[:cut]
            waiting, start = waiting[cut:], start + cut
    if len(waiting):
        yield start / rate, waiting


def _quietest(samples: "np.ndarray[Any, Any]", rate: int) -> int:
    """Where to cut, in samples: the middle of the last of the quietest blocks near the end."""
    import numpy as np

    size = max(1, int(_BLOCK_SECONDS * rate))
    count = max(1, int(len(samples) * _CUT_WITHIN) // size)
    blocks = samples[len(samples) - count * size :].reshape(count, size)
    loud = np.square(blocks, dtype=np.float64).sum(axis=1)
    last = count - 1 - int(np.argmin(loud[::-1]))
    return int(len(samples) - (count - last) * size + size // 2)


def _segment(window: float, start: float, end: float, text: str) -> Segment:
    return round(window + start, 2), round(window + end, 2), text
