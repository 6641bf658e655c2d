"""llama_lora: what is merged, what is kept beside it."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rule_runs import Run

from spark_build.core.errors import Unavailable
from spark_build.recipes.llama_lora import LlamaLora
from spark_build.training import adapters

Train = Callable[..., Run]


def logits(model):
    import torch

    with torch.no_grad():
        return model(torch.arange(2, 20)[None]).logits


@pytest.mark.parametrize("method", adapters.METHODS)
def test_the_merged_model_is_base_and_adapter_together(train: Train, base: Path, method: str) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run = train("llama_lora", base=base, method=method, r=4, learning_rate=0.05)
    assert run.code == 0
    bare = AutoModelForCausalLM.from_pretrained(base)
    before = logits(bare)
    together = logits(PeftModel.from_pretrained(bare, run.output / "adapter"))
    merged = logits(AutoModelForCausalLM.from_pretrained(run.model))
    torch.testing.assert_close(merged, together, rtol=1e-4, atol=1e-4)  # float32, sums in another order
    assert (merged - before).abs().max() > 1e-3


def test_the_adapter_holds_the_adapter_alone(train: Train, base: Path) -> None:
    from safetensors.torch import load_file

    run = train("llama_lora", base=base, r=4)
    tensors = load_file(run.output / "adapter" / "adapter_model.safetensors")
    assert all(".lora_A." in name or ".lora_B." in name for name in tensors)
    assert {path.name for path in (run.output / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_the_adapter_names_no_place(train: Train, base: Path) -> None:
    run = train("llama_lora", base=base, r=4)
    config = json.loads((run.output / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None
    assert config["target_modules"] == sorted(config["target_modules"])


def test_every_linear_layer_but_the_head_gets_an_adapter_by_default(train: Train, base: Path) -> None:
    from safetensors.torch import load_file

    run = train("llama_lora", base=base, r=4)
    names = load_file(run.output / "adapter" / "adapter_model.safetensors")
    assert {name.split(".lora_")[0].split(".")[-1] for name in names} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip


def test_layers_that_are_not_there_are_refused(train: Train, base: Path) -> None:
    run = train("llama_lora", base=base, target_modules=["query"])
    assert run.code == 2
    assert "lora finds no place in this model" in run.error
    assert "fix: name layers under `target_modules`" in run.error


@pytest.mark.skipif(not importlib.util.find_spec("bitsandbytes"), reason="bitsandbytes is not installed")
@pytest.mark.parametrize("load_in", ["4bit", "8bit"])
def test_a_quantised_base_gives_a_whole_merged_model(train: Train, base: Path, load_in: str) -> None:
    import torch
    from safetensors.torch import load_file

    run = train("llama_lora", base=base, load_in=load_in, r=4)
    assert run.code == 0, (run.folder / "log").read_text()
    merged, before = load_file(run.model / "model.safetensors"), load_file(base / "model.safetensors")
    assert {name: t.dtype for name, t in merged.items()} == dict.fromkeys(before, torch.float32)


def test_without_bitsandbytes_quantisation_is_refused_with_the_way_out(base: Path, monkeypatch) -> None:
    monkeypatch.setattr(adapters.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="needs bitsandbytes, which is not installed") as refused:
        adapters.load_frozen(base, dtype="float32", device="cpu", load_in="4bit")
    assert refused.value.fix == "pip install bitsandbytes, or leave `load_in` out"


def test_bitsandbytes_counts_only_where_it_is_used() -> None:
    assert "bitsandbytes" not in LlamaLora.libraries_of(LlamaLora.Params(base="x"))
    assert "bitsandbytes" in LlamaLora.libraries_of(LlamaLora.Params(base="x", load_in="4bit"))
