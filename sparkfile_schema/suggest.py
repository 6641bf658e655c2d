"""What the user may have meant by a word that nothing knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    # training, as transformers, peft, torchtune, axolotl, keras and the papers spell it
    "lr": ("learning_rate",),
    "learningrate": ("learning_rate",),
    "step_size": ("learning_rate",),
    "eta": ("learning_rate",),
    "lora_r": ("r",),
    "rank": ("r",),
    "lora_rank": ("r",),
    "lora_alpha": ("alpha",),
    "lora_dropout": ("dropout",),
    "lora_target_modules": ("target_modules", "modules"),
    "num_train_epochs": ("epochs",),
    "num_epochs": ("epochs",),
    "n_epochs": ("epochs",),
    "epoch": ("epochs",),
    "max_epochs": ("epochs",),
    "per_device_train_batch_size": ("batch_size",),
    "per_device_batch_size": ("batch_size",),
    "train_batch_size": ("batch_size",),
    "micro_batch_size": ("batch_size",),
    "global_batch_size": ("batch_size",),
    "batchsize": ("batch_size",),
    "batch": ("batch_size",),
    "bs": ("batch_size",),
    "per_device_eval_batch_size": ("eval_batch_size", "batch_size"),
    "train_steps": ("max_steps",),
    "num_train_steps": ("max_steps",),
    "num_steps": ("max_steps",),
    "steps": ("max_steps",),
    "max_train_steps": ("max_steps",),
    "iterations": ("max_steps",),
    "model_name_or_path": ("base", "model"),
    "base_model": ("base", "model"),
    "base_model_name_or_path": ("base", "model"),
    "pretrained": ("base", "model"),
    "pretrained_model": ("base", "model"),
    "pretrained_model_name_or_path": ("base", "model"),
    "model_name": ("base", "model"),
    "model_id": ("base", "model"),
    "model": ("base",),
    "checkpoint": ("base", "model"),
    "max_length": ("length", "max_tokens", "context", "tokens"),
    "max_len": ("length", "max_length", "max_tokens", "context", "tokens"),
    "max_seq_length": ("length", "max_length", "max_tokens", "context", "tokens"),
    "max_seq_len": ("length", "max_length", "max_tokens", "context", "tokens"),
    "seq_length": ("length", "max_length", "max_tokens", "context", "tokens"),
    "seq_len": ("length", "max_length", "max_tokens", "context", "tokens"),
    "sequence_length": ("length", "max_length", "max_tokens", "context", "tokens"),
    "sequence_len": ("length", "max_length", "max_tokens", "context", "tokens"),
    "block_size": ("length", "max_length", "context", "tokens"),
    "context_length": ("length", "max_length", "context", "tokens"),
    "model_max_length": ("length", "max_length", "context", "tokens"),
    "n_positions": ("length", "max_length", "context"),
    "max_position_embeddings": ("length", "max_length", "context"),
    "length": ("max_length", "tokens"),
    "warmup": ("warmup_ratio", "warmup_steps"),
    "warmup_ratio": ("warmup", "warmup_steps"),
    "warmup_steps": ("warmup", "warmup_ratio"),
    "scheduler": ("lr_scheduler", "schedule", "lr_scheduler_type"),
    "lr_scheduler_type": ("scheduler", "schedule", "lr_scheduler"),
    "lr_scheduler": ("scheduler", "schedule", "lr_scheduler_type"),
    "weightdecay": ("weight_decay",),
    "wd": ("weight_decay",),
    "decay": ("weight_decay",),
    "gradient_clipping": ("max_grad_norm",),
    "grad_clip": ("max_grad_norm",),
    "clip_grad_norm": ("max_grad_norm",),
    "grad_accum": ("gradient_accumulation_steps", "batch_size"),
    "gradient_accumulation_steps": ("batch_size",),
    "optim": ("optimizer",),
    "optimiser": ("optimizer",),
    "random_state": ("seed",),
    "random_seed": ("seed",),
    "rng_seed": ("seed",),
    "training_arguments": ("trainer",),
    "training_args": ("trainer",),
    "train_args": ("trainer",),
    "num_labels": ("labels", "classes"),
    "num_classes": ("labels", "classes"),
    "label": ("labels", "label_field", "label_column"),
    "freeze": ("frozen", "freeze_encoder"),
    "load_in_4bit": ("bits", "quantize", "quantization"),
    "load_in_8bit": ("bits", "quantize", "quantization"),
    # splits
    "dev": ("validation",),
    "devel": ("validation",),
    "development": ("validation",),
    "val": ("validation",),
    "valid": ("validation",),
    "validate": ("validation",),
    "eval": ("validation", "test"),
    "evaluation": ("eval", "validation", "test"),
    "holdout": ("test",),
    "heldout": ("test",),
    "held_out": ("test",),
    "testing": ("test",),
    "training": ("train",),
    # data and gates
    "min_similarity": ("threshold",),
    "similarity": ("threshold",),
    "similarity_threshold": ("threshold",),
    "jaccard": ("threshold",),
    "min_score": ("threshold",),
    "cutoff": ("threshold",),
    "num_perm": ("permutations", "hashes"),
    "ngram": ("shingle", "n"),
    "overlap": ("stride",),
    "chunk_size": ("tokens", "size", "words", "characters"),
    "window": ("tokens", "size"),
    "max_tokens": ("tokens",),
    "files": ("path",),
    "file": ("path",),
    "folder": ("path",),
    "dir": ("path",),
    "directory": ("path",),
    "data_dir": ("path",),
    "data_files": ("path",),
    "paths": ("path",),
    "pattern": ("glob",),
    "split_by": ("group",),
    "group_by": ("group",),
    "groups": ("group",),
    "stratify": ("balance",),
    "stratify_by": ("balance",),
    "ratio": ("ratios",),
    "fractions": ("ratios",),
    "minimum": ("at_least", "min"),
    "maximum": ("max",),
    "ge": ("min",),
    "le": ("max",),
    # words of the grammar
    "data": ("dataset", "datasets", "source"),
    "inputs": ("source", "dataset"),
    "input": ("source", "dataset"),
    "src": ("source",),
    "filters": ("gates",),
    "filter": ("gates",),
    "checks": ("gates",),
    "columns": ("fields",),
    "features": ("fields",),
    "schema": ("fields",),
    "preprocess": ("transforms",),
    "preprocessing": ("transforms",),
    "requires": ("require",),
    "required": ("require",),
    "requirements": ("require",),
    "params": ("with",),
    "parameters": ("with",),
    "args": ("with",),
    "config": ("with",),
    "hyperparameters": ("with",),
    "hparams": ("with",),
    "rule": ("use",),
    "uses": ("use",),
    "type": ("use",),
    "kind": ("use",),
    "name": ("use", "project"),
    "models": ("targets",),
    "jobs": ("targets",),
    "deploy": ("deployments",),
    "serve": ("deployments",),
    "serving": ("deployments",),
    "variables": ("vars",),
    "env": ("vars", "environment"),
    "export": ("package",),
    "exports": ("package",),
    "exporters": ("package",),
    "evaluate": ("eval",),
    "evals": ("eval",),
    "metric": ("metrics",),
    "tags": ("version", "tag"),
    "tag": ("version",),
    "license": ("card",),
    "description": ("card",),
    "bucket": ("remote",),
    "url": ("remote", "endpoint"),
    "s3": ("remote",),
    "gpu": ("gpus", "cuda"),
    "num_gpus": ("gpus",),
    "cpu": ("cpus",),
    "ram": ("memory",),
    "mem": ("memory",),
    "precision": ("dtype",),
    "fp32": ("float32",),
    "single": ("float32",),
    "fp16": ("float16",),
    "half": ("float16",),
    "bf16": ("bfloat16",),
    "num_threads": ("threads",),
    # types of fields, as pandas, arrow and Hugging Face call them
    "string": ("text",),
    "str": ("text",),
    "large_string": ("text",),
    "int": ("number",),
    "integer": ("number",),
    "float": ("number", "float32"),
    "float32": ("number",),
    "float64": ("number",),
    "int64": ("number",),
    "numeric": ("number",),
    "class": ("label",),
    "classlabel": ("label",),
    "category": ("label",),
    "categorical": ("label",),
    "img": ("image",),
    "picture": ("image",),
    "sound": ("audio",),
    "chat": ("messages",),
    "conversation": ("messages",),
    "conversations": ("messages",),
    "object": ("json",),
    "dict": ("json",),
}

_LONGEST_WORD = 64
_MOST_CANDIDATES = 400


def did_you_mean(
    word: str, known: Iterable[str], synonyms: Mapping[str, str | tuple[str, ...]] | None = None
) -> str | None:
    """The known word that was meant: by spelling, synonyms or edit distance; None where none is near.

    `synonyms` go before the field's own.
    """
    names = list(known)
    if len(word) > _LONGEST_WORD or word in names:
        return None
    flat = _flat(word)
    same = next((name for name in names if _flat(name) == flat), None)
    meant = next((name for name in _synonyms(flat, word, synonyms or {}) if name in names), None)
    return same or meant or _nearest(flat, names)


def _synonyms(flat: str, word: str, own: Mapping[str, str | tuple[str, ...]]) -> tuple[str, ...]:
    found = own.get(word, own.get(flat, ()))
    return ((found,) if isinstance(found, str) else found) + SYNONYMS.get(flat, ())


def _flat(word: str) -> str:
    return word.casefold().replace("-", "_").replace(" ", "_")


def _nearest(word: str, names: list[str]) -> str | None:
    allowed = 1 if len(word) <= 4 else 2 if len(word) <= 8 else 3
    near = [name for name in names if abs(len(name) - len(word)) <= allowed]
    if len(near) > _MOST_CANDIDATES:  # thousands of names: those that begin alike, so that it stays quick
        near = [name for name in near if name[:1] == word[:1]][:_MOST_CANDIDATES]
    scored = [(distance(word, _flat(name)), place, name) for place, name in enumerate(near)]
    best = min(scored, default=(allowed + 1, 0, ""))
    return best[2] if best[0] <= allowed and best[0] < len(word) else None


def distance(a: str, b: str) -> int:
    """Edits (insert, delete, replace, swap of neighbours) between two words: optimal string alignment."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        current = [i]
        for j, y in enumerate(b, 1):
            cost = min(row[j] + 1, current[j - 1] + 1, row[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            current.append(cost)
        before, row = row, current
    return row[-1]
