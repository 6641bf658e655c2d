"""An encoder as ONNX: model/model.onnx, tokenizer and config beside it, compared with torch before it counts.

torch's dynamo exporter is used: the older one (TorchScript) turned BERT with SDPA attention into a graph
whose logits were off by 1e-2, under transformers 5.23 and torch 2.13.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spark_build.contract import Context, Exporter
from spark_build.contract.params import Field
from spark_build.core.errors import BadInput, StageFailed, Unavailable
from spark_build.modalities.text.tokenizer_folder import load_tokenizer
from spark_build.packaging import _card, _model_folder

_OUTPUTS = ("logits", "start_logits", "end_logits")  # of a head; a model without one gives its hidden states
_DECODERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_INLINE_BYTES = 1_500_000_000  # protobuf ends at 2 GiB; larger weights go to a file beside the graph
_LONGEST_CHECKED = 512  # tokens
_TEXTS = (
    "Yes.",
    "How do I read a file line by line?",
    "Two texts of different length in one batch: the shorter one is padded, and the mask hides it.",
    "Ünïcode, 数字 42, and a rare wörd → all the same.",
)


class Params(_card.CardParams):
    opset: int = Field(18, ge=18, le=23, description="ONNX operator set of the graph")
    tolerance: float = Field(
        1e-4, gt=0, description="Largest absolute difference from torch's float32 outputs that is accepted"
    )


class Onnx(Exporter):
    """Weights in float32; `batch` and `sequence` are dynamic axes; the graph holds no path and no time."""

    Params = Params
    revision = 1
    libraries = ("huggingface_hub", "onnx", "onnx_ir", "onnxscript", "torch", "transformers")
    reproducible = "numerics"

    def export(self, context: Context) -> None:
        source, to = context.inputs["model"], context.output / "model"
        _refuse_decoders(_model_folder.config_of(source))
        _model_folder.copy_all_but_weights(source, to)
        _model_folder.scrub(to)
        model, tokenizer = _model_folder.load(source, "float32"), load_tokenizer(source)
        encoder = _Encoder.of(model, tokenizer)
        _save(_exported(encoder, tokenizer, self.params.opset), to / "model.onnx")
        difference = _largest_difference(encoder, tokenizer, to / "model.onnx")
        context.report.note("onnx_largest_difference", difference)
        if not difference <= self.params.tolerance:
            raise StageFailed(
                f"the ONNX graph differs from torch by {difference:.2g}, above {self.params.tolerance:.2g}",
                fix="raise `tolerance` where that is good enough, or try another `opset`",
            )
        _card.write_papers(context, self.params, _usage(encoder))


@dataclass(frozen=True)
class _Encoder:
    """The model as a function of named tensors that gives a tuple, which is what a graph is made from."""

    module: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    longest: int  # tokens

    @classmethod
    def of(cls, model: Any, tokenizer: Any) -> "_Encoder":
        import inspect

        accepted = inspect.signature(model.forward).parameters
        inputs = tuple(name for name in tokenizer.model_input_names if name in accepted)
        given = model(**{name: tokenizer(_TEXTS[0], return_tensors="pt")[name] for name in inputs})
        outputs = tuple(n for n in _OUTPUTS if n in given) or ("last_hidden_state",)
        longest = min(_positions(model), tokenizer.model_max_length)
        return cls(_tuple_module(model, inputs, outputs), inputs, outputs, longest)

    def run(self, tensors: Mapping[str, Any]) -> tuple[Any, ...]:
        import torch

        with torch.no_grad():
            found: tuple[Any, ...] = self.module(*(tensors[name] for name in self.inputs))
        return found


def _refuse_decoders(config: Mapping[str, Any]) -> None:
    name = _card.architecture(config)
    if name.endswith(_DECODERS) or config.get("is_decoder") or config.get("is_encoder_decoder"):
        raise BadInput(
            f"{name} generates text; the onnx exporter takes encoders (classifiers, BERT and its kin)",
            fix="leave `onnx` out of this target's `package:`; `safetensors` takes any model",
        )


def _positions(model: Any) -> int:
    """Tokens that the model has positions for; RoBERTa and its kin begin behind the padding's."""
    stated = getattr(model.config, "max_position_embeddings", None) or _LONGEST_CHECKED
    tables = [module for name, module in model.named_modules() if name.endswith("position_embeddings")]
    paddings = [table.padding_idx for table in tables if getattr(table, "padding_idx", None) is not None]
    return int(stated - max(paddings, default=-1) - 1)


def _tuple_module(model: Any, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Any:
    import torch

    class Tuple(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> tuple[Any, ...]:
            found = self.model(**dict(zip(inputs, tensors, strict=True)))
            return tuple(found[name] for name in outputs)

    return Tuple().eval()


def _exported(encoder: _Encoder, tokenizer: Any, opset: int) -> Any:
    """The graph, without what the exporter notes about the machine and the code that it came from."""
    import torch

    axes = {
        0: torch.export.Dim("batch", min=1, max=65_536),
        1: torch.export.Dim("sequence", min=2, max=encoder.longest),
    }
    try:
        program: Any = torch.onnx.export(
            encoder.module,
            tuple(_tensors(encoder, tokenizer, list(_TEXTS[1:3])).values()),
            dynamic_shapes=(tuple(axes for _ in encoder.inputs),),
            input_names=list(encoder.inputs),
            output_names=list(encoder.outputs),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        name, reason = type(encoder.module.model).__name__, str(error).strip().splitlines()[-1]
        raise StageFailed(
            f"torch can't turn {name} into a graph: {reason}", fix="package it as `safetensors`"
        ) from error
    return _without_traces(program.model)


def _without_traces(model: Any) -> Any:
    """Stack traces hold paths of the machine, the producer's version a build number."""
    model.producer_name, model.producer_version, model.doc_string = "spark build", None, None
    for graph in (model.graph, *model.functions.values()):
        _clear(graph)
        for node in graph.all_nodes():
            _clear(node)
            for value in node.outputs:
                _clear(value)
        for value in (*graph.inputs, *getattr(graph, "initializers", {}).values()):
            _clear(value)
    _clear(model)
    return model


def _clear(part: Any) -> None:
    part.metadata_props.clear()
    part.doc_string = None


def _save(model: Any, to: Path) -> None:
    import onnx_ir

    size = sum(value.const_value.nbytes for value in model.graph.initializers.values())
    onnx_ir.save(model, to, external_data="model.onnx.data" if size > _INLINE_BYTES else None)


def _largest_difference(encoder: _Encoder, tokenizer: Any, path: Path) -> float:
    """Between torch and onnxruntime, over single texts, a padded batch, and the longest input."""
    session = _session(path)
    largest = 0.0
    for texts in _batches(encoder, tokenizer):
        tensors = _tensors(encoder, tokenizer, texts)
        found = session.run(None, {name: tensor.numpy() for name, tensor in tensors.items()})
        for ours, theirs in zip(found, encoder.run(tensors), strict=True):
            largest = max(largest, float(abs(ours - theirs.numpy()).max()))
    return largest


def _batches(encoder: _Encoder, tokenizer: Any) -> Iterator[list[str]]:
    yield from ([text] for text in _TEXTS)
    yield list(_TEXTS)
    yield [
        " ".join(_TEXTS) * min(encoder.longest, _LONGEST_CHECKED)
    ]  # cut to the longest that the model takes


def _tensors(encoder: _Encoder, tokenizer: Any, texts: list[str]) -> dict[str, Any]:
    """Input tensors, each (batch, sequence) int64."""
    longest = min(encoder.longest, _LONGEST_CHECKED)
    found = tokenizer(texts, padding=len(texts) > 1, truncation=True, max_length=longest, return_tensors="pt")
    return {name: found[name] for name in encoder.inputs}


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise Unavailable(
            "onnxruntime is not installed, so the graph can't be compared with torch",
            fix="pip install 'spark-build[onnx]'",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _usage(encoder: _Encoder) -> str:
    return f"""```python
import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("model")
session = onnxruntime.InferenceSession("model/model.onnx")
outputs = session.run(None, dict(tokenizer("A text.", return_tensors="np")))
```

The graph takes {_listed(encoder.inputs)} and gives {_listed(encoder.outputs)}; batch and sequence are free.
"""


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
