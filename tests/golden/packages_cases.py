"""Golden cases of exporters, over what a training leaves."""

from pathlib import Path
from typing import Any

from spark_build.contract import Context
from spark_build.core.digest import canonical_json, digest_file
from tests.golden import Golden, files_of, golden, rule_of
from tests.golden.models_cases import bert, context

PAPERS = ("README.md", "env.json", "inputs.json", "metrics.json", "recipe.json")


def packaging(folder: Path) -> Context:
    """As the package stage makes it, of a classifier that has an adapter as well."""
    trained = folder / "trained"
    bert(trained / "model")
    (trained / "adapter").mkdir()
    (trained / "adapter" / "adapter_config.json").write_text('{"r": 4, "peft_version": "0.18"}')
    training = {
        "rule": "bert_classification", "revision": 3, "params": {"epochs": 2, "learning_rate": 0.0002},
        "numerics": {"device": "cpu", "threads": 1}, "libraries": {"torch": "2.13"},
        "inputs": {"dataset": {"data/train-*": "ab" * 32}},
    }  # fmt: skip
    (trained / "training.json").write_bytes(canonical_json(training))
    (folder / "eval").mkdir()
    (folder / "eval" / "metrics.json").write_text('{"accuracy": 0.5}')
    facts = {
        "libraries": {"transformers": "5.23"},
        "inputs": {"trained": {"model/": "cd" * 32}},
        "numerics": {},
    }
    inputs = {"trained": trained, "model": trained / "model", "eval": folder / "eval"}
    return context(folder / "run", inputs, facts=facts)


def _papers(own: Context) -> dict[str, Any]:
    return {name: (own.output / name).read_text() for name in PAPERS}


@golden("exporter", "safetensors")
def _safetensors(folder: Path) -> Golden:
    """As it is: copied byte for byte. As another type: tensors by name, type and shape."""
    rule, own = rule_of("exporter", "safetensors"), packaging(folder / "keep")
    rule(rule.Params(license="mit", description="A small one.")).export(own)
    other = packaging(folder / "bfloat16")
    rule(rule.Params(dtype="bfloat16", shard_size="10KB")).export(other)
    weights = "model/model.safetensors"
    return Golden(
        {
            "files": files_of(own.output),
            "is copied": digest_file(own.output / weights) == digest_file(own.inputs["trained"] / weights),
            "adapter": (own.output / "adapter" / "adapter_config.json").read_text(),
            "papers": _papers(own),
            "other files": files_of(other.output),
            "other tensors": _shapes(other.output / "model"),
        }
    )


def _shapes(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    tensors = [item for path in folder.glob("*.safetensors") for item in load_file(path).items()]
    return {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors}


@golden("exporter", "onnx")
def _onnx(folder: Path) -> Golden:
    """What the graph takes and gives, and what it says to a text; its nodes are torch's choice."""
    rule, own = rule_of("exporter", "onnx"), packaging(folder)
    rule(rule.Params(license="mit")).export(own)
    session, answers = _run(own.output / "model" / "model.onnx")
    ends = [[end.name, end.type, end.shape] for end in (*session.get_inputs(), *session.get_outputs())]
    return Golden({"files": files_of(own.output), "ends": ends, "papers": _papers(own)}, answers)


def _run(graph: Path) -> tuple[Any, dict[str, float]]:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    tokens = np.array([[40, 50, 60, 70, 80]])
    given = {
        "input_ids": tokens,
        "attention_mask": np.ones_like(tokens),
        "token_type_ids": np.zeros_like(tokens),
    }
    (logits,) = session.run(None, {end.name: given[end.name] for end in session.get_inputs()})
    return session, {f"logit {n}": float(value) for n, value in enumerate(logits[0])}


@golden("exporter", "command")
def _command(folder: Path) -> Golden:
    rule, own = rule_of("exporter", "command"), packaging(folder)
    exporter = rule(rule.Params(run="ls {inputs.trained} > {output}/listing.txt"))
    exporter.export(own)
    written = {path: (own.output / path).read_text() for path in files_of(own.output)}
    return Golden({"keyed": rule.keyed(exporter.params), "written": written})
