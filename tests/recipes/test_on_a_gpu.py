"""The same promises on a CUDA device, in bfloat16."""

from pathlib import Path
from typing import Any

import pytest
from rule_runs import contents, run_rule

LORA = "spark_build.recipes.llama_lora:LlamaLora"
CAUSAL = "spark_build.recipes.causal_lm:CausalLm"
FIT = {"base": "base", "max_length": 48, "batch_size": 4, "epochs": 2, "checkpoint_every": 3}
ON_GPU = {"numerics": {"device": "cuda", "dtype": "bfloat16"}}


@pytest.fixture(autouse=True)
def has_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("impl", "params"), [(CAUSAL, {}), (LORA, {"r": 4, "dropout": 0.1}), (LORA, {"r": 4, "load_in": "4bit"})]
)
def test_a_killed_run_goes_on_to_the_same_bytes(
    impl: str, params: dict[str, Any], base: Path, pairs: Path, tmp_path: Path
) -> None:
    inputs = {"dataset": pairs, "base": base}
    undisturbed = run_rule(tmp_path / "whole", impl, {**FIT, **params}, inputs, **ON_GPU)
    assert (
        run_rule(tmp_path / "killed", impl, {**FIT, **params}, inputs, kill={"at_step": 5}, **ON_GPU).code
        == -9
    )
    resumed = run_rule(tmp_path / "killed", impl, {**FIT, **params}, inputs, **ON_GPU)
    assert "resumed at step 3 of" in resumed.log
    assert contents(resumed.output) == contents(undisturbed.output)
