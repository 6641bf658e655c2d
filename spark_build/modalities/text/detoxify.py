"""Checkpoints of detoxify (unitaryai/detoxify, 0.5): config and state_dict, read without its code."""

from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from spark_build.core.errors import BadInput

# older checkpoints say it otherwise; detoxify itself renames them on loading
_LABELS = {"toxic": "toxicity", "identity_hate": "identity_attack", "severe_toxic": "severe_toxicity"}
_FIX = "lay one of detoxify's released *.ckpt beside config.json and tokenizer.json of its base model"


def load_detoxify(folder: Path, checkpoints: Sequence[Path]) -> tuple[Any, tuple[str, ...]]:
    """The model, and its labels in the order of its outputs; each has a sigmoid of its own."""
    if len(checkpoints) > 1:
        names = ", ".join(c.name for c in checkpoints)
        raise BadInput(f"'{folder.name}' holds several checkpoints: {names}", fix="a folder for each")
    loaded = _read(checkpoints[0])
    try:
        arch, classes = loaded["config"]["arch"]["args"], loaded["config"]["dataset"]["args"]["classes"]
        weights = {name.removeprefix("model."): value for name, value in loaded["state_dict"].items()}
        name, count = str(arch["model_name"]), int(arch["num_classes"])
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"'{checkpoints[0].name}' is no checkpoint of detoxify: no {error}", fix=_FIX
        ) from error
    if len(classes) != count:
        raise BadInput(f"'{checkpoints[0].name}' names {len(classes)} classes for {count} outputs", fix=_FIX)
    return _model(folder, name, count, weights), tuple(_LABELS.get(c, c) for c in classes)


def _read(checkpoint: Path) -> Any:
    import torch

    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise BadInput(
            f"'{checkpoint.name}' can't be read as tensors alone; other pickles are never loaded", fix=_FIX
        ) from error


def _model(folder: Path, name: str, count: int, weights: dict[str, Any]) -> Any:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, num_labels=count
    )
    build: Any = AutoModelForSequenceClassification.from_config
    model = build(config, trust_remote_code=False)
    if type(model).__name__ != name:
        fix = f"lay config.json of the base model of {name} beside it"
        raise BadInput(
            f"'{folder.name}': the checkpoint is a {name}, config.json a {type(model).__name__}", fix=fix
        )
    # buffers that transformers once saved and now makes itself
    weights = {
        key: value for key, value in weights.items() if not key.endswith(("position_ids", "token_type_ids"))
    }
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        lines = str(error).splitlines()
        detail = (lines[1] if len(lines) > 1 else lines[0]).strip()
        raise BadInput(
            f"'{folder.name}': checkpoint and config.json don't fit: {detail}", fix=_FIX
        ) from error
    return model
