"""The model as safetensors: merged weights under model/, the adapter where there is one, card and papers."""

import re
from pathlib import Path
from typing import Literal

from spark_build.contract import Context, Exporter
from spark_build.contract.params import Field
from spark_build.core.errors import BadInput
from spark_build.packaging import _card, _model_folder

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(KB|MB|GB)")
_BYTES = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


class Params(_card.CardParams):
    dtype: Literal["keep", "float32", "bfloat16", "float16"] = Field(
        "keep", description="Number format of the weights; keep: that of training"
    )
    shard_size: str = Field(
        "5GB",
        pattern=rf"^{_SIZE.pattern}$",
        description="Largest weight file: 500MB, 5GB; larger ones are split",
    )


class Safetensors(Exporter):
    """Weights that are safetensors already, in this format and small enough, are copied byte for byte."""

    Params = Params
    revision = 1
    libraries = ("huggingface_hub", "safetensors", "torch", "transformers")

    def export(self, context: Context) -> None:
        model, adapter = context.inputs["model"], context.inputs["trained"] / "adapter"
        self._write_model(model, context.output / "model")
        if adapter.is_dir():
            _write_adapter(adapter, context.output / "adapter")
        _card.write_papers(context, self.params, _usage(model, adapter.is_dir()))

    def _write_model(self, source: Path, to: Path) -> None:
        _model_folder.config_of(source)
        _model_folder.copy_all_but_weights(source, to)
        if self._fits(_weights(source)):
            _model_folder.copy_weights(source, to)
        else:
            dtype = "auto" if self.params.dtype == "keep" else self.params.dtype
            _model_folder.load(source, dtype).save_pretrained(to, max_shard_size=self.params.shard_size)
        _model_folder.scrub(to)

    def _fits(self, weights: list[Path]) -> bool:
        if any(
            path.suffix != ".safetensors" or path.stat().st_size > self._shard_bytes() for path in weights
        ):
            return False
        return self.params.dtype == "keep" or all(_dtypes(path) == {self.params.dtype} for path in weights)

    def _shard_bytes(self) -> float:
        match = _SIZE.fullmatch(self.params.shard_size)
        assert match is not None, "BUG: Params let through what is no size"
        return float(match[1]) * _BYTES[match[2]]


def _weights(folder: Path) -> list[Path]:
    if not (weights := _model_folder.weight_files(folder)):
        raise BadInput(
            "the model holds no weights: neither *.safetensors nor pytorch_model*.bin",
            fix="let the recipe write what save_pretrained writes into model/",
        )
    return weights


def _dtypes(path: Path) -> set[str]:
    """Floating-point formats of a file's tensors, as torch names them; whole numbers don't matter."""
    from safetensors import safe_open

    names = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}
    with safe_open(path, framework="pt") as file:
        formats = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - no mapping
    return {names[f] for f in formats if f in names}


def _write_adapter(source: Path, to: Path) -> None:
    _model_folder.copy_all_but_weights(source, to)
    _model_folder.copy_weights(source, to)
    if any(path.suffix in _model_folder.PICKLES for path in to.rglob("*")):
        raise BadInput(
            "the adapter's weights are a pickle, and a package holds none", fix="save them as .safetensors"
        )
    _model_folder.scrub(to)


def _usage(model: Path, has_adapter: bool) -> str:
    _, loader = _card.task_of(_card.architecture(_model_folder.config_of(model)))
    lines = [
        "```python",
        f"from transformers import {loader}, AutoTokenizer",
        "",
        f'model = {loader}.from_pretrained("model")',
        'tokenizer = AutoTokenizer.from_pretrained("model")',
        "```",
    ]
    if has_adapter:
        lines.append("\n`adapter/` is the adapter alone, for peft; `model/` has it merged in.")
    return "\n".join(lines) + "\n"
