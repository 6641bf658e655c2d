"""Models in and out of folders: safetensors only, and nothing inside that tells where or when they were made."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spark_build.core.errors import BadInput
from spark_build.core.numerics import Numerics

RECIPE_FILE = "spark_recipe.json"  # beside the weights: how rows become text, for evaluation and serving

# of saved JSON: where the model lay, and versions (they stand in the action's manifest)
_SCRUBBED = (
    "_name_or_path",
    "name_or_path",
    "base_model_name_or_path",
    "transformers_version",
    "peft_version",
    "is_local",
    "local_files_only",
)


def load_causal_lm(
    folder: Path, *, dtype: str = "float32", quantization: Any = None, device: str = "cpu"
) -> Any:
    """A causal language model with all its weights. Errors: BadInput where the folder is none."""
    from transformers import AutoModelForCausalLM

    _check_is_causal(folder)
    place = {"device_map": {"": device}} if quantization is not None else {}
    model, info = _from_pretrained(
        AutoModelForCausalLM, folder, dtype=dtype, quantization_config=quantization, **place
    )
    if info["missing_keys"]:
        raise BadInput(
            f"the base lacks weights of a causal language model ({sorted(info['missing_keys'])[0]} and "
            f"{len(info['missing_keys']) - 1} others)",
            fix="take a base that was saved as one",
        )
    return model


def load_classifier(folder: Path, *, dtype: str = "float32", **settings: Any) -> Any:
    """A sequence classifier; a base without a head gets a fresh one from the current seed."""
    from transformers import AutoModelForSequenceClassification

    if settings:  # another head than the base may have: its weights are made anew
        settings["ignore_mismatched_sizes"] = True
    model, _ = _from_pretrained(AutoModelForSequenceClassification, folder, dtype=dtype, **settings)
    return model


def load_tokenizer(folder: Path) -> Any:
    """The model's tokenizer, padding on the right. Errors: BadInput where there is none."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as problem:
        raise BadInput(
            f"the base has no tokenizer that loads: {_first_line(problem)}",
            fix="save the tokenizer beside the weights (tokenizer.json)",
        ) from problem
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def dtype_of(folder: Path) -> str:
    """The type in which a base keeps its weights: a result is kept in the same."""
    config = json.loads((folder / "config.json").read_text())
    return str(config.get("dtype") or config.get("torch_dtype") or "float32")


def save_model(model: Any, tokenizer: Any, folder: Path, *, recipe: Mapping[str, Any], dtype: str) -> None:
    """Weights, tokenizer and `spark_recipe.json`, the same bytes for the same weights."""
    import torch

    _quiet()
    folder.mkdir(parents=True, exist_ok=True)
    model.to(getattr(torch, dtype))
    model.config.dtype = getattr(torch, dtype)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    (folder / RECIPE_FILE).write_text(json.dumps(recipe, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    scrub(folder)


def scrub(folder: Path) -> None:
    """Takes paths, versions and pickles out of a saved model, and puts JSON into one order."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt") and path.is_file():
            path.unlink()
        if path.suffix == ".json" and path.name not in ("tokenizer.json", "vocab.json"):
            data = json.loads(path.read_text(encoding="utf-8"))
            path.write_text(json.dumps(_scrubbed(data), indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    (folder / "README.md").unlink(
        missing_ok=True
    )  # PEFT's card names the base's path; exporters write the card
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def recipe_of(folder: Path) -> dict[str, Any]:
    """What `spark_recipe.json` says; {} where the model was not trained here."""
    path = folder / RECIPE_FILE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def longest_input(config: Any) -> int | None:
    """How many tokens a model takes at most; None where nothing says so."""
    limit = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return int(limit) if limit else None


def device_of(numerics: Numerics) -> str:
    return "cuda:0" if numerics.device == "cuda" else "cpu"


def _scrubbed(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _scrubbed(value) for name, value in data.items() if name not in _SCRUBBED}
    return data


def _check_is_causal(folder: Path) -> None:
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as NAMES

    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as problem:
        raise BadInput(
            f"this is no model folder: {_first_line(problem)}",
            fix="it needs a config.json with a `model_type`",
        ) from problem
    known = {name for names in NAMES.values() for name in ([names] if isinstance(names, str) else names)}
    found = list(config.architectures or [])
    # BERT too can be loaded as a decoder, with a fresh head and a mask that it never saw
    if config.model_type not in NAMES or (found and not known & set(found)):
        raise BadInput(
            f"a {(found or [config.model_type])[0]} is no causal language model",
            fix="take one that was trained to continue text (Llama, GPT-2, Qwen …)",
        )


def _from_pretrained(
    factory: Any, folder: Path, *, dtype: str, **settings: Any
) -> tuple[Any, dict[str, Any]]:
    _quiet()
    try:
        model, info = factory.from_pretrained(
            str(folder),
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,  # a .bin is a pickle
            trust_remote_code=False,
            output_loading_info=True,
            **{name: value for name, value in settings.items() if value is not None},
        )
    except (OSError, ValueError) as problem:
        raise BadInput(
            f"the base can't be loaded: {_first_line(problem)}",
            fix="it needs config.json and its weights as .safetensors",
        ) from problem
    return model, info


def _quiet() -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # a bar of one shard says nothing, and fills the log


def _first_line(problem: Exception) -> str:
    return str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
