"""Model folders as exporters take them in: what is weight, what is a pickle, what must not travel."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spark_build.core.errors import BadInput

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "pytorch_model*.bin.index.json")
# what transformers' Trainer leaves beside a model; no part of it, and pickled
_TRAINER_FILES = ("training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "rng_state*.pth")
# keys of *config.json that say where a model was loaded from, and with which patch of a library (a key holds
# major.minor: the same key has to give the same bytes)
_SCRUBBED = (
    "_name_or_path",
    "name_or_path",
    "base_model_name_or_path",
    "_commit_hash",
    "is_local",
    "local_files_only",
    "transformers_version",
    "peft_version",
)


def config_of(folder: Path) -> dict[str, Any]:
    """The model's config.json. Errors: BadInput where the folder is no transformers model."""
    path = folder / "config.json"
    if not path.is_file():
        raise BadInput(
            "the model holds no config.json, so it is no transformers model",
            fix="let the recipe fill model/ with save_pretrained, or package it with `use: command`",
        )
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config


def load(folder: Path, dtype: str) -> Any:
    """The model as its config names it, on the CPU, in eval mode; `dtype` 'auto' keeps that of the weights.

    Errors: BadInput where weights that the model needs are not in the folder.
    """
    import transformers

    names = config_of(folder).get("architectures") or []
    known = [getattr(transformers, name) for name in names if hasattr(transformers, name)]
    model, found = (known or [transformers.AutoModel])[0].from_pretrained(
        folder, dtype=dtype, local_files_only=True, trust_remote_code=False, output_loading_info=True
    )
    if missing := sorted(found["missing_keys"]):
        raise BadInput(
            f"the model lacks {len(missing)} of its tensors, the first is '{missing[0]}'",
            fix="write the whole model with save_pretrained; fresh random weights are never packaged",
        )
    return model.eval()


def copy_all_but_weights(source: Path, to: Path) -> None:
    """Config, tokenizer and the like, without what a Trainer left beside them.

    Errors: BadInput for a pickle that is no weight.
    """
    for path in _files(source):
        if _matches(path, (*WEIGHTS, *_TRAINER_FILES)):
            continue
        if path.suffix in PICKLES:
            raise BadInput(
                f"{path.relative_to(source)} is a pickle, and a package holds none",
                fix="save it as .safetensors or .json",
            )
        _copy(path, to / path.relative_to(source))


def copy_weights(source: Path, to: Path) -> None:
    for path in _files(source):
        if _matches(path, WEIGHTS):
            _copy(path, to / path.relative_to(source))


def weight_files(folder: Path) -> list[Path]:
    """Weights, without the indexes; sorted."""
    return [p for p in _files(folder) if _matches(p, WEIGHTS) and p.suffix != ".json"]


def scrub(folder: Path) -> None:
    """Takes places and patch versions out of every *config.json; leaves other files as they are."""
    for path in sorted(folder.glob("*config.json")):
        config = json.loads(path.read_text(encoding="utf-8"))
        kept = {name: value for name, value in config.items() if name not in _SCRUBBED}
        if kept != config:
            path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _matches(path: Path, patterns: tuple[str, ...]) -> bool:
    return any(path.match(pattern) for pattern in patterns)


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)  # content alone: the source is a read-only link into the store
