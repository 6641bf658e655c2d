"""Models made anew from a configuration in the Sparkfile."""

import difflib
from collections.abc import Mapping
from typing import Any

from spark_build.core.errors import BadInput

_OURS = ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id", "num_labels", "id2label", "label2id")


def make_config(settings: Mapping[str, Any], tokenizer: Any, max_length: int, **more: Any) -> Any:
    """The transformers configuration that `settings` ({model_type: …, …}) mean, fitted to the tokenizer.

    Where it doesn't say how many positions there are, there are `max_length`: the model learns no others.
    Errors: BadInput for a model_type that transformers doesn't know and for names that its configuration
    doesn't have (transformers itself would keep them and do nothing).
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    given = dict(settings)
    model_type = given.pop("model_type", None)
    _check_model_type(model_type)
    default = AutoConfig.for_model(model_type)
    known = {*default.to_dict(), *default.attribute_map}
    for name in given:
        if name in _OURS:
            raise BadInput(f"config.{name} follows from the tokenizer and the data", fix="leave it out")
        if name not in known:
            raise BadInput(
                f"config: a {model_type} has no '{name}'", fix=_did_you_mean(name, known) or "leave it out"
            )
    more.setdefault("max_position_embeddings", given.pop("max_position_embeddings", max_length))
    tokens = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("pad", "bos", "eos")}
    try:
        return AutoConfig.for_model(model_type, **given, vocab_size=len(tokenizer), **tokens, **more)
    except (TypeError, ValueError, StrictDataclassError) as problem:
        raise BadInput(
            f"config: {problem.__cause__ or problem}",
            fix=f"see the {model_type} configuration of transformers",
        ) from problem


def make_model(factory: Any, config: Any) -> Any:
    """A model with fresh weights from the current seed, in float32. Errors: BadInput where the sizes don't fit."""
    import torch

    try:
        return factory.from_config(config, dtype=torch.float32)
    except (ValueError, RuntimeError, TypeError, KeyError) as problem:
        raise BadInput(
            f"config: no such model can be made: {problem}",
            fix="hidden_size must be a multiple of num_attention_heads, and the model_type must suit the recipe",
        ) from problem


def _check_model_type(name: Any) -> None:
    from transformers import CONFIG_MAPPING

    if name is None:
        raise BadInput("config: which model? There is no `model_type`", fix="config: {model_type: llama, …}")
    if name not in CONFIG_MAPPING:
        fix = _did_you_mean(str(name), list(CONFIG_MAPPING)) or "for example llama, gpt2, bert"
        raise BadInput(f"config: transformers has no model_type '{name}'", fix=fix)


def _did_you_mean(name: str, known: Any) -> str | None:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean '{close[0]}'?" if close else None
