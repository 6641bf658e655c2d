"""The way every recipe for a causal language model goes: rows, a model to start from, the loop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spark_build.contract import Context
from spark_build.recipes._params import CausalParams
from spark_build.training.causal import CausalText


@dataclass(frozen=True)
class Started:
    """What training begins with."""

    tokenizer: Any
    model: Any
    dtype: str  # in which the result is kept


def train_causal(
    context: Context, params: CausalParams, start: Callable[[Any, CausalText], Started]
) -> tuple[Started, CausalText]:
    """What `start` (rows, text) gives, trained, with the form in which its rows were read."""
    from spark_build.training.batches import PadRight
    from spark_build.training.loop import fit
    from spark_build.training.seeds import pin_numerics, seed_everything

    rows = context.dataset.rows("train")
    text = CausalText.of(rows, params)
    pin_numerics(context.numerics, params.seed)  # before weights or adapters are made
    started = start(rows, text)
    text.check_length(started.model.config)
    examples = text.encode(rows, started.tokenizer, context.report)
    seed_everything(params.seed)
    fit(
        started.model,
        examples,
        PadRight(started.tokenizer.pad_token_id),
        params.settings(),
        numerics=context.numerics,
        scratch=context.scratch,
        report=context.report,
    )
    return started, text
