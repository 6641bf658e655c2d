"""The safetensors exporter on real tiny models (random weights from a seed; see support/tiny_models.py)."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_models import bert, files_of, llama, package_context, train_output

from spark_build.core.errors import BadInput
from spark_build.packaging.safetensors import Params, Safetensors


@pytest.fixture(scope="module")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert(tmp_path_factory.mktemp("bert"))


def export(tmp_path: Path, model: Path, figures: dict[str, float] | None = None, **params: Any) -> Path:
    trained = tmp_path / "trained"
    if not trained.exists():
        train_output(trained, model)
    context = package_context(tmp_path / "package", trained, figures)
    Safetensors(Params(**params)).export(context)
    return context.output


def logits(folder: Path, text: str = "How do I open a file?") -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(**AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")).logits.float()


def test_weights_that_are_safetensors_already_are_copied_byte_for_byte(
    tmp_path: Path, llama_folder: Path
) -> None:
    output = export(tmp_path, llama_folder)
    assert (output / "model/model.safetensors").read_bytes() == (
        llama_folder / "model.safetensors"
    ).read_bytes()


def test_a_classifier_keeps_its_labels(tmp_path: Path, bert_folder: Path) -> None:
    output = export(tmp_path, bert_folder)
    assert json.loads((output / "model/config.json").read_text())["id2label"] == {
        "0": "list",
        "1": "file",
        "2": "loop",
    }


def test_read_only_inputs_become_files_that_can_be_written(tmp_path: Path, llama_folder: Path) -> None:
    trained = train_output(tmp_path / "trained", llama_folder)
    for path in trained.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    output = export(tmp_path, llama_folder)
    assert all(path.stat().st_mode & 0o200 for path in output.rglob("*"))


def test_bfloat16_halves_the_weights_and_the_model_still_loads(tmp_path: Path, llama_folder: Path) -> None:
    import torch

    output = export(tmp_path, llama_folder, dtype="bfloat16")
    half, whole = ((f / "model.safetensors").stat().st_size for f in (output / "model", llama_folder))
    assert half < 0.6 * whole
    # bfloat16 keeps 8 bits of the mantissa: a relative error of 2**-8 per weight, logits here stay below 0.2
    torch.testing.assert_close(logits(output / "model"), logits(llama_folder), atol=0.02, rtol=0.05)


def test_weights_above_the_shard_size_are_split_and_load_the_same(tmp_path: Path, llama_folder: Path) -> None:
    output = export(tmp_path, llama_folder, shard_size="60KB")
    assert len(list((output / "model").glob("*.safetensors"))) > 1
    assert not (output / "model/model.safetensors").exists()
    assert logits(output / "model").equal(logits(llama_folder))


def test_pytorch_bin_weights_are_converted(tmp_path: Path, llama_folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    trained = train_output(tmp_path / "trained", llama_folder)
    weights = trained / "model/model.safetensors"
    torch.save(load_file(weights), trained / "model/pytorch_model.bin")
    weights.unlink()
    output = export(tmp_path, llama_folder)
    assert [p.name for p in (output / "model").glob("*.bin")] == []
    assert logits(output / "model").equal(logits(llama_folder))


def test_an_adapter_travels_beside_the_merged_model(tmp_path: Path, llama_folder: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    trained = train_output(tmp_path / "trained", llama_folder)
    base = AutoModelForCausalLM.from_pretrained(llama_folder)
    get_peft_model(base, LoraConfig(r=2, target_modules="all-linear")).save_pretrained(trained / "adapter")
    output = export(tmp_path, llama_folder)
    assert str(tmp_path) not in (output / "adapter/adapter_config.json").read_text()
    fresh = AutoModelForCausalLM.from_pretrained(output / "model")
    assert PeftModel.from_pretrained(fresh, output / "adapter").peft_config["default"].r == 2


def test_the_folder_that_a_model_was_loaded_from_is_taken_out(tmp_path: Path, llama_folder: Path) -> None:
    trained = train_output(tmp_path / "trained", llama_folder)
    config = json.loads((trained / "model/config.json").read_text())
    (trained / "model/config.json").write_text(json.dumps(config | {"_name_or_path": str(tmp_path)}))
    output = export(tmp_path, llama_folder)
    assert str(tmp_path).encode() not in b"".join(files_of(output).values())


@pytest.mark.parametrize("dtype", ["keep", "bfloat16"])
def test_no_patch_version_of_a_library_is_inside(tmp_path: Path, llama_folder: Path, dtype: str) -> None:
    import transformers

    output = export(tmp_path, llama_folder, dtype=dtype)
    assert transformers.__version__.encode() not in b"".join(files_of(output).values())


def test_what_the_trainer_left_beside_the_model_stays_behind(tmp_path: Path, llama_folder: Path) -> None:
    trained = train_output(tmp_path / "trained", llama_folder)
    for name in ("training_args.bin", "optimizer.pt", "rng_state_0.pth"):
        (trained / "model" / name).write_bytes(b"\x80\x04.")
    assert {p.suffix for p in export(tmp_path, llama_folder).rglob("*")} & {".bin", ".pt", ".pth"} == set()


def test_any_other_pickle_is_refused(tmp_path: Path, llama_folder: Path) -> None:
    trained = train_output(tmp_path / "trained", llama_folder)
    (trained / "model/vectors.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(BadInput, match=r"vectors\.pkl is a pickle") as refused:
        export(tmp_path, llama_folder)
    assert refused.value.fix == "save it as .safetensors or .json"


def test_a_model_that_lacks_a_tensor_is_refused_when_it_is_converted(
    tmp_path: Path, llama_folder: Path
) -> None:
    from safetensors.torch import load_file, save_file

    trained = train_output(tmp_path / "trained", llama_folder)
    weights = trained / "model/model.safetensors"
    tensors = load_file(weights)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(BadInput, match=r"lacks 1 of its tensors.*layers\.1\.mlp\.up_proj"):
        export(tmp_path, llama_folder, dtype="float16")


@pytest.mark.parametrize(
    ("missing", "message"),
    [("config.json", "no transformers model"), ("model.safetensors", "holds no weights")],
)
def test_a_folder_that_is_no_whole_model_is_refused(
    tmp_path: Path, llama_folder: Path, missing: str, message: str
) -> None:
    trained = train_output(tmp_path / "trained", llama_folder)
    (trained / "model" / missing).unlink()
    with pytest.raises(BadInput, match=message):
        export(tmp_path, llama_folder)


def test_the_papers_say_what_the_training_said(tmp_path: Path, llama_folder: Path) -> None:
    output = export(tmp_path, llama_folder, {"perplexity": 12.18})
    papers = {
        name: json.loads((output / f"{name}.json").read_text())
        for name in ("env", "recipe", "metrics", "inputs")
    }
    assert papers["env"]["training"]["libraries"] == {"torch": "2.13", "transformers": "5.23"}
    assert papers["env"]["training"]["numerics"]["isa"] == "avx2"
    assert papers["recipe"] == {
        "rule": "causal_lm", "revision": 3, "params": {"epochs": 2, "learning_rate": 0.0002},
    }  # fmt: skip
    assert papers["metrics"] == {"perplexity": 12.18}
    assert set(papers["inputs"]["training"]) == {"dataset", "base"}
    assert set(papers["inputs"]["export"]) == {"trained"}


def test_without_an_eval_there_are_no_figures(tmp_path: Path, llama_folder: Path) -> None:
    output = export(tmp_path, llama_folder)
    assert not (output / "metrics.json").exists()
    assert "model-index" not in (output / "README.md").read_text()


def test_several_evals_stand_under_their_names(tmp_path: Path, llama_folder: Path) -> None:
    trained = train_output(tmp_path / "trained", llama_folder)
    context = package_context(tmp_path / "package", trained)
    for name, wer in (("clean", 0.1), ("noisy", 0.2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps({"wer": wer}))
        context.inputs[f"eval.{name}"] = tmp_path / name  # type: ignore[index]
    Safetensors(Params()).export(context)
    figures = json.loads((context.output / "metrics.json").read_text())
    assert figures == {"clean": {"wer": 0.1}, "noisy": {"wer": 0.2}}


def test_the_hub_reads_the_card(tmp_path: Path, llama_folder: Path) -> None:
    from huggingface_hub import ModelCard

    output = export(
        tmp_path, llama_folder, {"perplexity": 12.18}, license="apache-2.0", description="For tests."
    )
    card = ModelCard.load(output / "README.md")
    assert (card.data.license, card.data.pipeline_tag) == ("apache-2.0", "text-generation")
    assert [(r.metric_type, r.metric_value) for r in card.data.eval_results] == [("perplexity", 12.18)]
    assert "For tests." in card.text


def test_the_card_leaves_out_what_has_no_value(tmp_path: Path, llama_folder: Path) -> None:
    absent = {"dataset": {"data/train-*": "0" * 64, "data/validation-*": None}}
    train_output(tmp_path / "trained", llama_folder, params={"r": 8, "packing": None}, inputs=absent)
    output = export(tmp_path, llama_folder)
    card = (output / "README.md").read_text()
    assert "| `r` | `8` |" in card
    assert "packing" not in card
    assert "validation" not in card
    assert json.loads((output / "recipe.json").read_text())["params"]["packing"] is None


def test_the_card_of_a_users_own_recipe_says_so(tmp_path: Path, llama_folder: Path) -> None:
    trained = tmp_path / "trained"
    train_output(trained, llama_folder, rule="./mine.py:Mine", revision=None, code={"mine.py": "0" * 64})
    assert "a rule of its project's own" in (export(tmp_path, llama_folder) / "README.md").read_text()
