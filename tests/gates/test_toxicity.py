"""With a real BERT of 15,000 weights, trained for a second on a handful of words (tiny_classifier.py)."""

import json
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from gate_corpus import item
from pydantic import ValidationError
from tiny_classifier import NICE, RUDE, THREATS, train_classifier

from spark_build.contract import Needs, Verdict
from spark_build.core.errors import BadInput
from spark_build.gates.toxicity import Params, Toxicity

INSULT, THREAT, KIND = "we like the idiot today", "we kill the garden", "the weather is nice today"


@pytest.fixture(scope="module")
def multi_label(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("multi") / "toxic-bert"
    labels = {"toxic": RUDE + THREATS, "insult": RUDE, "threat": THREATS}
    train_classifier(folder, labels, "multi_label_classification")
    return folder


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("single") / "binary"
    train_classifier(folder, {"neutral": [], "toxic": RUDE + THREATS}, "single_label_classification")
    return folder


@pytest.fixture(scope="module")
def detoxify(tmp_path_factory: pytest.TempPathFactory, multi_label: Path) -> Path:
    """The layout of detoxify 0.5.4: config.arch.args, config.dataset.args.classes, state_dict."""
    import torch
    from safetensors.torch import load_file

    folder = tmp_path_factory.mktemp("detoxify") / "original"
    shutil.copytree(multi_label, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    arch = {
        "num_classes": 3,
        "model_type": "bert-base-uncased",
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
    }
    config = {
        "arch": {"type": "BERT", "args": arch},
        "dataset": {"args": {"classes": ["toxic", "insult", "threat"]}},
    }
    state = {**weights, "bert.embeddings.position_ids": torch.arange(64)[None]}
    torch.save({"config": config, "state_dict": state}, folder / "toxic_original.ckpt")
    return folder


def gate(folder: Path, **params: Any) -> Toxicity:
    return Toxicity(Params(model="model:toxic-bert", **params), {"model": folder})


def verdict_on(text: str, folder: Path, **params: Any) -> Verdict:
    toxicity = gate(folder, **params)
    return toxicity.decide(toxicity.measure(item(text)), toxicity.params)


def test_each_label_has_its_own_score_where_labels_are_independent(multi_label: Path) -> None:
    insult, threat = gate(multi_label).measure(item(INSULT)), gate(multi_label).measure(item(THREAT))
    assert insult["insult"] > 0.9 > 0.5 > insult["threat"]
    assert threat["threat"] > 0.9 > 0.5 > threat["insult"]
    assert min(insult["toxic"], threat["toxic"]) > 0.9, "sigmoid: two labels can be certain at once"


def test_scores_sum_to_one_where_one_label_holds(two_classes: Path) -> None:
    assert sum(gate(two_classes).measure(item(INSULT)).values()) == pytest.approx(1, abs=1e-6)


def test_a_toxic_item_is_dropped_with_label_score_and_threshold(multi_label: Path) -> None:
    verdict = verdict_on(INSULT, multi_label, labels=["insult"], threshold=0.7)
    assert (verdict.action, verdict.reason, verdict.threshold) == ("drop", "toxic:insult", 0.7)
    assert (verdict.score or 0) > 0.9


def test_a_kind_item_is_kept(multi_label: Path, two_classes: Path) -> None:
    assert verdict_on(KIND, multi_label).action == "keep"
    assert verdict_on(KIND, two_classes).action == "keep", "the label 'neutral' does not count"


def test_only_the_labels_asked_for_count(multi_label: Path) -> None:
    assert verdict_on(INSULT, multi_label, labels=["threat"]).action == "keep"


def test_a_word_at_the_end_of_a_long_text_counts(multi_label: Path) -> None:
    long_text = " ".join(NICE * 40) + " idiot"
    assert gate(multi_label).measure(item(long_text))["insult"] > 0.9


def test_windows_share_tokens(multi_label: Path) -> None:
    from spark_build.modalities.text.classifier import load_classifier

    windows = load_classifier(multi_label)._windows(" ".join(NICE * 20), 32, 8)
    assert all(len(w) <= 32 for w in windows)
    assert windows[0][-9:-1] == windows[1][1:9]


def test_scores_are_the_same_bits_alone_and_in_any_batch(multi_label: Path) -> None:
    texts = [INSULT, KIND, THREAT, " ".join(NICE * 30), "", "idiot"]
    toxicity = gate(multi_label)
    alone = [toxicity.measure(item(t)) for t in texts]
    assert toxicity.measure_many([item(t) for t in texts]) == alone
    assert toxicity.measure_many([item(t) for t in reversed(texts)]) == alone[::-1]


def test_a_text_without_words_scores_nothing(multi_label: Path) -> None:
    assert gate(multi_label).measure(item(" \n")) == {"toxic": 0.0, "insult": 0.0, "threat": 0.0}


def test_a_detoxify_checkpoint_gives_the_scores_of_the_model_that_it_holds(
    detoxify: Path, multi_label: Path
) -> None:
    found = gate(detoxify).measure(item(INSULT))
    expected = gate(multi_label).measure(item(INSULT))
    assert found == {
        "toxicity": expected["toxic"],
        "insult": expected["insult"],
        "threat": expected["threat"],
    }


class FilesOfAProject:
    def exists(self, path: str) -> bool:
        return True

    def is_file(self, path: str) -> bool:
        return PurePosixPath(path).suffix == ".ckpt"

    def glob(self, pattern: str) -> tuple[str, ...]:
        return ()

    def python_closure(self, path: str) -> tuple[str, ...]:
        return ()


def test_a_checkpoint_named_by_its_file_reads_the_folder_around_it() -> None:
    params = Params(model="models/detoxify/toxic_original.ckpt")
    assert Toxicity.needs(params, FilesOfAProject()) == Needs(paths={"model": "models/detoxify"})


def test_a_pickle_that_holds_more_than_tensors_is_not_loaded(detoxify: Path, tmp_path: Path) -> None:
    import torch

    folder = tmp_path / "bad"
    shutil.copytree(detoxify, folder)
    torch.save({"config": Path("x"), "state_dict": {}}, folder / "toxic_original.ckpt")
    with pytest.raises(BadInput, match=r"can't be read as tensors alone; other pickles are never loaded"):
        gate(folder).measure(item("x"))


def test_a_checkpoint_that_is_none_of_detoxify_says_so(detoxify: Path, tmp_path: Path) -> None:
    import torch

    folder = tmp_path / "other"
    shutil.copytree(detoxify, folder)
    torch.save({"state_dict": {}}, folder / "toxic_original.ckpt")
    with pytest.raises(BadInput, match=r"'toxic_original.ckpt' is no checkpoint of detoxify: no 'config'"):
        gate(folder).measure(item("x"))


def test_a_checkpoint_and_a_config_that_differ_are_refused(detoxify: Path, tmp_path: Path) -> None:
    folder = tmp_path / "misfit"
    shutil.copytree(detoxify, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 16}))
    with pytest.raises(BadInput, match=r"checkpoint and config.json don't fit: size mismatch"):
        gate(folder).measure(item("x"))


def test_a_model_without_a_classification_head_is_refused(multi_label: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    folder = tmp_path / "masked"
    shutil.copytree(multi_label, folder)
    AutoModelForMaskedLM.from_pretrained(multi_label).save_pretrained(folder)
    with pytest.raises(BadInput, match=r"'masked' is no text classifier: it lacks .*classifier"):
        gate(folder).measure(item("x"))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no classifier") as caught:
        gate(tmp_path).measure(item("x"))
    assert "config.json, tokenizer.json and model.safetensors" in str(caught.value.fix)


def test_weights_in_a_pickle_are_refused(multi_label: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(multi_label, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadInput, match="'pickled' holds no weights in safetensors"):
        gate(folder).measure(item("x"))


def test_a_label_that_the_model_lacks_is_named(multi_label: Path) -> None:
    with pytest.raises(BadInput, match="has no label 'obscene'") as caught:
        verdict_on(KIND, multi_label, labels=["obscene"])
    assert caught.value.fix == "the model has toxic, insult, threat"


def test_a_model_is_required() -> None:
    with pytest.raises(ValidationError, match="Field required"):
        Params()
