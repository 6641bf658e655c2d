"""Adapters on a frozen model: LoRA and its relatives, through PEFT."""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spark_build.core.errors import BadInput, Unavailable
from spark_build.training import model_files

METHODS = ("lora", "rslora", "dora", "ia3")


@dataclass(frozen=True)
class AdapterSettings:
    method: str  # one of METHODS
    r: int
    alpha: int
    dropout: float
    target_modules: tuple[str, ...] | None  # None: every linear layer but the head (IA³: those of its paper)


def load_frozen(folder: Path, *, dtype: str, device: str, load_in: str | None) -> Any:
    """The base that adapters are put on. Errors: Unavailable where this machine can't quantise."""
    if load_in is None:
        return model_files.load_causal_lm(folder, dtype=dtype)
    from peft import prepare_model_for_kbit_training

    quantization = _quantization(load_in, dtype)
    try:
        model = model_files.load_causal_lm(folder, dtype=dtype, quantization=quantization, device=device)
    except (ImportError, RuntimeError, NotImplementedError) as problem:
        raise Unavailable(
            f"bitsandbytes can't load a model in {load_in} on {device}: {problem}",
            fix="leave `load_in` out, or build on a machine with an NVIDIA GPU",
        ) from problem
    return prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
        model, use_gradient_checkpointing=False
    )


def add_adapter(model: Any, settings: AdapterSettings) -> Any:
    """The model with adapters of the current seed, everything else frozen.

    Errors: BadInput where the model has no such modules.
    """
    from peft import get_peft_model

    try:
        adapted = get_peft_model(model, _config(model, settings))
    except ValueError as problem:
        raise BadInput(
            f"{settings.method} finds no place in this model: {problem}",
            fix="name layers under `target_modules` (q_proj, v_proj …)",
        ) from problem
    return adapted


def save_adapter(model: Any, folder: Path) -> None:
    """adapter_model.safetensors and adapter_config.json, which names no base: that is known by its digest."""
    model.save_pretrained(str(folder))
    model_files.scrub(folder)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = None
    for name in ("target_modules", "feedforward_modules"):  # sets inside of PEFT, in an order of their own
        if isinstance(config.get(name), list):
            config[name] = sorted(config[name])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def merged(model: Any, base: Path, adapter: Path, load_in: str | None) -> Any:
    """The whole model in float32 with the adapter's work in its weights.

    Quantised weights can't take it: then the base is loaded again, whole.
    """
    if load_in is None:
        return model.to("cpu").float().merge_and_unload(safe_merge=True)
    from peft import PeftModel

    whole = model_files.load_causal_lm(base)
    return PeftModel.from_pretrained(whole, str(adapter)).merge_and_unload(safe_merge=True)


def _config(model: Any, settings: AdapterSettings) -> Any:
    from peft import IA3Config, LoraConfig

    targets = list(settings.target_modules) if settings.target_modules else None
    if settings.method == "ia3":
        feedforward = None if targets is None else _feedforward_among(targets, model.config.model_type)
        return IA3Config(task_type="CAUSAL_LM", target_modules=targets, feedforward_modules=feedforward)
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets or "all-linear",
        use_rslora=settings.method == "rslora",
        use_dora=settings.method == "dora",
    )


def _feedforward_among(targets: list[str], model_type: str) -> list[str]:
    """Of these modules the ones whose *input* IA³ scales (Liu et al. 2022, section 3.3)."""
    from peft.utils import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as KNOWN

    return [name for name in targets if name in KNOWN.get(model_type, [])]


def _quantization(load_in: str, dtype: str) -> Any:
    import torch

    if importlib.util.find_spec("bitsandbytes") is None:
        raise Unavailable(
            f"`load_in: {load_in}` needs bitsandbytes, which is not installed",
            fix="pip install bitsandbytes, or leave `load_in` out",
        )
    from transformers import BitsAndBytesConfig

    if load_in == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)  # type: ignore[no-untyped-call]
    # NF4 with doubly quantised constants, as in QLoRA (Dettmers et al. 2023, section 3)
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )
