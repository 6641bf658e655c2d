"""Speech that espeak-ng reads, and tiny Whispers that hear a second at a time: trained for seconds, or not at all."""

import io
import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

RATE = 16_000
WORDS = ("stop", "left", "right", "yes", "fine")
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")


def say(word: str, voice: str, words_a_minute: int, pitch: int = 50) -> np.ndarray:
    """Float samples at 16 kHz, without the silence around it."""
    command = ["espeak-ng", "-v", voice, "-s", str(words_a_minute), "-p", str(pitch), "--stdout", word]
    done = subprocess.run(command, capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as file:
        rate = file.getframerate()
        spoken = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32_768
    times = np.arange(int(len(spoken) * RATE / rate)) * rate / RATE
    sound = np.interp(times, np.arange(len(spoken)), spoken).astype(np.float32)
    loud = np.flatnonzero(np.abs(sound) > 0.01)
    return sound[loud[0] : loud[-1] + 1][:RATE]


def placed(sound: np.ndarray, at: int, length: int = RATE) -> np.ndarray:
    """In silence of this many samples."""
    whole = np.zeros(length, np.float32)
    whole[at : at + len(sound)] = sound[: length - at]
    return whole


def wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as output:
        output.setparams((1, 2, RATE, 0, "NONE", ""))
        output.writeframes((samples * 32_767).astype(np.int16).tobytes())
    return file.getvalue()


def extractor() -> Any:
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=40, chunk_length=1)


def whisper(folder: Path, tokens: Sequence[str], seed: int = 0, **generation: Any) -> Any:
    """A Whisper of 50,000 random weights whose tokens are these, the first four special; saved with all it needs."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast, WhisperConfig, WhisperForConditionalGeneration

    sizes = {f"{part}_{name}": size for part in ("encoder", "decoder") for name, size in _SIZES.items()}
    config = WhisperConfig(
        vocab_size=len(tokens), num_mel_bins=40, d_model=32, max_source_positions=50, max_target_positions=32,
        pad_token_id=0, decoder_start_token_id=1, bos_token_id=1, eos_token_id=2, dropout=0.0, **sizes,
        suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(config)
    model.generation_config._from_model_config = False  # else what is set here is not read again
    for name, value in generation.items():
        setattr(model.generation_config, name, value)
    named = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(named, unk_token=SPECIAL[3]))
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    marks = [token for token in tokens if token.startswith("<|")]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, additional_special_tokens=marks)
    fast.save_pretrained(folder)
    extractor().save_pretrained(folder)
    model.save_pretrained(folder)
    return model


_SIZES = {"layers": 1, "attention_heads": 2, "ffn_dim": 64}


def train_whisper(folder: Path, steps: int = 250) -> None:
    """Hears one of WORDS in a second, as three voices say it slowly, normally and quickly."""
    import torch

    torch.set_num_threads(1)  # two wait for each other on a busy machine
    model = whisper(folder, [*SPECIAL, *(f" {word}" for word in WORDS)]).train()
    draw = np.random.default_rng(0)
    heard, meant = [], []
    for number, word in enumerate(WORDS):
        for voice in VOICES:
            for speed, pitch in ((140, 40), (170, 60), (200, 50)):
                sound = say(word, voice, speed, pitch)
                for _ in range(4):
                    heard.append(placed(sound, int(draw.integers(0, RATE - len(sound)))))
                    meant.append(number + len(SPECIAL))
    features = extractor()(heard, sampling_rate=RATE, return_tensors="pt").input_features
    labels = torch.tensor([[token, 2] for token in meant])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        batch = torch.from_numpy(draw.integers(0, len(labels), 16))
        model(input_features=features[batch], labels=labels[batch]).loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)


VOICES = ("en-us", "en-gb", "en-gb-scotland")
