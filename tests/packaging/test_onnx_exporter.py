"""The onnx exporter on a real tiny BERT (random weights from a seed; see tests/support/tiny_models.py)."""

from pathlib import Path
from typing import Any

import pytest
from tiny_models import bert, llama, package_context, train_output

from spark_build.contract import Context
from spark_build.core.errors import BadInput, StageFailed
from spark_build.packaging.onnx import Onnx, Params


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    return train_output(folder / "trained", bert(folder / "model"))


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Context:
    context = package_context(tmp_path_factory.mktemp("package") / "onnx", trained, {"accuracy": 0.5})
    Onnx(Params()).export(context)
    return context


def run(folder: Path, texts: list[str]) -> Any:
    import onnxruntime
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    tensors = tokenizer(texts, padding=True, return_tensors="np")
    return onnxruntime.InferenceSession(folder / "model/model.onnx").run(None, dict(tensors))[0]


# float32: about 1e-7 relative per operation, over two layers; the exporter itself accepts 1e-4
@pytest.mark.parametrize(
    "texts", [["loop"], ["a list", "a dictionary maps keys to values " * 5], ["range " * 58]]
)
def test_the_graph_gives_what_torch_gives(exported: Context, trained: Path, texts: list[str]) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(trained / "model").eval()
    with torch.no_grad():
        tensors = AutoTokenizer.from_pretrained(trained / "model")(texts, padding=True, return_tensors="pt")
        expected = model(**tensors).logits
    torch.testing.assert_close(torch.from_numpy(run(exported.output, texts)), expected, atol=1e-5, rtol=1e-4)


def test_batch_and_sequence_are_free(exported: Context) -> None:
    import onnx

    graph = onnx.load(exported.output / "model/model.onnx").graph
    assert [d.dim_param for d in graph.input[0].type.tensor_type.shape.dim] == ["batch", "sequence"]
    assert graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_the_difference_from_torch_is_noted(exported: Context) -> None:
    assert 0 <= exported.report.notes["onnx_largest_difference"] < 1e-5  # type: ignore[attr-defined]


def test_tokenizer_and_config_stand_beside_and_no_other_weights(exported: Context) -> None:
    names = {path.name for path in (exported.output / "model").iterdir()}
    assert {"model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json"} <= names
    assert not any(name.endswith(".safetensors") for name in names)


def test_a_graph_that_differs_too_much_fails(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"differs from torch by .*above 1e-12") as failed:
        Onnx(Params(tolerance=1e-12)).export(package_context(tmp_path / "package", trained))
    assert "`tolerance`" in str(failed.value.fix)


def test_a_decoder_is_refused_with_the_way_out(tmp_path: Path) -> None:
    trained = train_output(tmp_path / "trained", llama(tmp_path / "model"))
    with pytest.raises(BadInput, match="LlamaForCausalLM generates text") as refused:
        Onnx(Params()).export(package_context(tmp_path / "package", trained))
    assert "`safetensors` takes any model" in str(refused.value.fix)


def test_a_model_without_tokenizer_is_refused(trained: Path, tmp_path: Path) -> None:
    import shutil

    copied = tmp_path / "trained"
    shutil.copytree(trained, copied)
    for path in (copied / "model").glob("tokenizer*"):
        path.unlink()
    with pytest.raises(BadInput, match="no tokenizer beside its weights"):
        Onnx(Params()).export(package_context(tmp_path / "package", copied))


def test_large_weights_stand_in_a_file_beside_the_graph(
    exported: Context, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark_build.packaging.onnx._INLINE_BYTES", 1000)
    context = package_context(tmp_path / "package", trained)
    Onnx(Params()).export(context)
    assert (context.output / "model/model.onnx.data").stat().st_size > 50_000
    assert (run(context.output, ["a loop"]) == run(exported.output, ["a loop"])).all()


def test_a_roberta_is_checked_no_further_than_its_positions_reach(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, RobertaConfig, RobertaForSequenceClassification

    model = bert(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(model, model_max_length=10**9)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=64, pad_token_id=1, **sizes)
    RobertaForSequenceClassification(config).save_pretrained(model)
    tokenizer.save_pretrained(model)
    context = package_context(tmp_path / "package", train_output(tmp_path / "trained", model))
    Onnx(Params()).export(context)
    assert run(context.output, ["loop " * 60]).shape == (1, 2)


def test_an_encoder_without_a_head_gives_its_hidden_states(tmp_path: Path) -> None:
    from transformers import BertModel

    model = bert(tmp_path / "model")
    BertModel.from_pretrained(model).save_pretrained(model)
    context = package_context(tmp_path / "package", train_output(tmp_path / "trained", model))
    Onnx(Params()).export(context)
    assert run(context.output, ["a list", "a loop over range"]).shape[2] == 32
