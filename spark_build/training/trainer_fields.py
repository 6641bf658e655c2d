"""What may stand under `trainer:`: fields of the installed TrainingArguments, read from its source.

Importing transformers takes seconds, and a plan has milliseconds: the class's own text says enough.
"""

import ast
import difflib
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

# fields that have a name of our own one level up
OWN_NAMES: Mapping[str, str] = {
    "per_device_train_batch_size": "batch_size",
    "gradient_accumulation_steps": "micro_batch_size",
    "num_train_epochs": "epochs",
    "max_steps": "max_steps",
    "learning_rate": "learning_rate",
    "lr_scheduler_type": "schedule",
    "warmup_steps": "warmup",
    "weight_decay": "weight_decay",
    "optim": "optimizer",
    "max_grad_norm": "grad_clip",
    "seed": "seed",
    "data_seed": "seed",
    "save_steps": "checkpoint_every",
    "save_strategy": "checkpoint_every",
    "logging_steps": "log_every",
    "logging_strategy": "log_every",
}

# fields that would break determinism or write elsewhere, by the reason
_REFUSED_BY_REASON: Mapping[str, str] = {
    "training writes into its own folder and reports to this build alone": """
        output_dir report_to run_name project trackio_space_id trackio_bucket_id trackio_static_space_id
        push_to_hub hub_token hub_private_repo hub_model_id hub_strategy hub_always_push hub_revision
        disable_tqdm log_level log_level_replica""",
    "checkpoints are sealed and kept by this build (`checkpoint_every`)": """
        save_only_model save_on_each_node save_total_limit enable_jit_checkpoint ignore_data_skip
        restore_callback_states_from_checkpoint resume_from_checkpoint""",
    "evaluation is a stage of its own: `eval:` of the target": """
        eval_strategy eval_steps eval_delay eval_on_start load_best_model_at_end metric_for_best_model
        greater_is_better per_device_eval_batch_size do_train do_eval do_predict""",
    "`numerics:` declares it": """
        use_cpu bf16 fp16 bf16_full_eval fp16_full_eval tf32 full_determinism local_rank""",
    "the order of the data follows from `seed` alone": """
        train_sampling_strategy length_column_name remove_unused_columns label_names accelerator_config
        dataloader_in_order dataloader_drop_last""",
    "training runs in one process": "deepspeed fsdp fsdp_config parallelism_config",
    "the batch size would follow from the machine's memory": "auto_find_batch_size",
    "a loss that is no number always stops the run": "logging_nan_inf_filter",
    "tokens are counted already": "include_num_input_tokens_seen",
}
REFUSED = {name: reason for reason, names in _REFUSED_BY_REASON.items() for name in names.split()}

_SIMPLE_TYPES: Mapping[str, tuple[type, ...]] = {
    "float": (float, int),
    "int": (int,),
    "bool": (bool,),
    "str": (str,),
}


def check(extra: Mapping[str, Any]) -> None:
    """Nothing. Errors: ValueError for the first field that can't be passed through, with what to do instead."""
    for name, value in extra.items():
        if name in OWN_NAMES:
            raise ValueError(f"'{name}' has a place of its own: write `{OWN_NAMES[name]}` one level up")
        if name in REFUSED:
            raise ValueError(f"'{name}' can't be set: {REFUSED[name]}")
        known = _annotations()
        if known is None:  # transformers is not installed here; the worker that trains looks again
            continue
        if name not in known:
            raise ValueError(f"transformers' TrainingArguments has no '{name}'{_did_you_mean(name, known)}")
        _check_type(name, value, known[name])


def _check_type(name: str, value: Any, annotation: str) -> None:
    allowed = [part.strip() for part in annotation.split("|")]
    if value is None:
        fits = "None" in allowed
    elif not set(allowed) - {"None"} <= set(_SIMPLE_TYPES):
        fits = True  # TrainingArguments itself checks what has a type of its own
    else:
        types = tuple(t for part in allowed if part != "None" for t in _SIMPLE_TYPES[part])
        fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
    if not fits:
        raise ValueError(f"'{name}' takes {annotation}, not {value!r}")


def check_optimizer(name: str) -> None:
    """Nothing. Errors: ValueError for an optimizer that the installed transformers doesn't know."""
    known = _optimizers()
    if known is not None and name not in known:
        raise ValueError(f"transformers has no optimizer '{name}'{_did_you_mean(name, known)}")


def _did_you_mean(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


@cache
def _annotations() -> dict[str, str] | None:
    """Field of TrainingArguments -> its annotation as written; None without transformers."""
    body = _class_body("TrainingArguments")
    if body is None:
        return None
    return {n.target.id: ast.unparse(n.annotation) for n in body if _is_field(n)}  # type: ignore[attr-defined]


@cache
def _optimizers() -> frozenset[str] | None:
    body = _class_body("OptimizerNames")
    if body is None:
        return None
    values = (n.value for n in body if isinstance(n, ast.Assign))
    return frozenset(v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str))


def _is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def _class_body(name: str) -> list[ast.stmt] | None:
    module = _module()
    if module is None:
        return None
    return next((n.body for n in module.body if isinstance(n, ast.ClassDef) and n.name == name), None)


@cache
def _module() -> ast.Module | None:
    spec = importlib.util.find_spec("transformers")  # finds the package without importing it
    if spec is None or spec.origin is None:
        return None
    return ast.parse((Path(spec.origin).parent / "training_args.py").read_text(encoding="utf-8"))
