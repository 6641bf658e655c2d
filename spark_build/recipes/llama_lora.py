"""Trains adapters on a frozen language model: LoRA, rsLoRA, DoRA or IA³. In spite of the name, on any causal one."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from spark_build.contract import Base, Context, Recipe
from spark_build.recipes._causal import Started, train_causal
from spark_build.recipes._params import CausalParams
from spark_build.training.adapters import AdapterSettings


class Params(CausalParams):
    base: Base = Field(description="model to put adapters on: a hub id, a folder, or model:NAME")
    method: Literal["lora", "rslora", "dora", "ia3"] = Field("lora", description="kind of adapter")
    r: int = Field(16, gt=0, description="rank of the adapter's matrices; ia3 has none")
    alpha: int = Field(32, gt=0, description="the adapter's weight: its output is scaled by alpha / r")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share of the adapter's inputs dropped while training"
    )
    target_modules: tuple[str, ...] | None = Field(
        None, description="names of layers that get adapters; by default every linear one but the head"
    )
    load_in: Literal["4bit", "8bit"] | None = Field(
        None, description="quantise the frozen base while training (bitsandbytes)"
    )

    synonyms: ClassVar[Mapping[str, str]] = {
        **CausalParams.synonyms,
        "lora_r": "r",
        "rank": "r",
        "lora_rank": "r",
        "lora_alpha": "alpha",
        "lora_dropout": "dropout",
        "lora_target_modules": "target_modules",
        "load_in_4bit": "load_in",
        "load_in_8bit": "load_in",
        "quantization": "load_in",
        "use_rslora": "method",
        "use_dora": "method",
        "model": "base",
        "base_model": "base",
        "model_name_or_path": "base",
    }

    def adapter(self) -> AdapterSettings:
        return AdapterSettings(self.method, self.r, self.alpha, self.dropout, self.target_modules)


class LlamaLora(Recipe):
    """Leaves `model/`, the merged weights in the base's own type, and `adapter/`, the adapter alone."""

    Params = Params
    revision = 1
    libraries: ClassVar[tuple[str, ...]] = (
        "torch",
        "transformers",
        "peft",
        "accelerate",
        "tokenizers",
        "safetensors",
    )

    @classmethod
    def libraries_of(cls, params: Any) -> tuple[str, ...]:
        return (*cls.libraries, "bitsandbytes") if params.load_in else cls.libraries

    def train(self, context: Context) -> None:
        from spark_build.training.adapters import merged, save_adapter
        from spark_build.training.model_files import save_model

        started, text = train_causal(context, self.params, lambda rows, text: self._start(context))
        adapter = context.output / "adapter"
        save_adapter(started.model, adapter)
        model = merged(started.model, context.inputs["base"], adapter, self.params.load_in)
        save_model(
            model, started.tokenizer, context.output / "model", recipe=text.to_json(), dtype=started.dtype
        )

    def _start(self, context: Context) -> Started:
        from spark_build.training import model_files
        from spark_build.training.adapters import add_adapter, load_frozen
        from spark_build.training.seeds import seed_everything

        base, numerics = context.inputs["base"], context.numerics
        frozen = load_frozen(
            base, dtype=numerics.dtype, device=model_files.device_of(numerics), load_in=self.params.load_in
        )
        seed_everything(self.params.seed)  # adapters begin the same, whatever loading drew
        model = add_adapter(frozen, self.params.adapter())
        return Started(model_files.load_tokenizer(base), model, model_files.dtype_of(base))
