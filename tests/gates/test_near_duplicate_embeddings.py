"""Images compared by embeddings of a CLIP that is made from a config: one patch, whose random projection keeps how an
image of 12 x 12 pixels looks. It is trained on nothing, and stands for a model that tells images from others."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gate_corpus import kept_after_join
from pictures import encoded
from pydantic import ValidationError
from test_near_duplicate_images import Album, jpeg, originals, scene
from tiny_models import bert

from spark_build.contract import Item
from spark_build.core.errors import BadInput, ItemRejected
from spark_build.gates._embeddings import cosine, near_directions
from spark_build.gates.near_duplicates import NearDuplicates, Params
from tests.spark import Folder

SIDE = 12
EDITS = {
    "jpeg 50": lambda image: jpeg(image, 50),
    "jpeg 25": lambda image: jpeg(image, 25),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "twice the size": lambda image: image.resize((image.width * 2, image.height * 2)),
    "wider": lambda image: image.resize((image.width * 6 // 5, image.height)),
}
SPARKFILE = """\
datasets:
  scans: {source: data/scans, gates: [seen]}
gates:
  seen: {use: near_duplicates, with: {method: embedding, model: models/sees, threshold: 0.98}}
"""


def clip(folder: Path) -> Path:
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    torch.manual_seed(0)
    size = {"hidden_size": 256, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    vision = {**size, "image_size": SIDE, "patch_size": SIDE}
    text = {**size, "vocab_size": 8, "max_position_embeddings": 8, "bos_token_id": 1, "eos_token_id": 2}
    model = CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=256))
    with torch.no_grad():
        model.vision_model.embeddings.class_embedding.zero_()  # nothing but the image is in what comes out
        model.vision_model.embeddings.position_embedding.weight.zero_()
        for layer in (model.visual_projection, model.vision_model.embeddings.patch_embedding):
            torch.nn.init.normal_(layer.weight, std=0.1)
    model.save_pretrained(folder)
    whole = {"height": SIDE, "width": SIDE}
    processor = CLIPImageProcessorPil(size=whole, do_center_crop=False)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("model") / "sees")


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    return Album(tmp_path_factory.mktemp("album"))


def gate(model: Path, threshold: float = 0.98) -> NearDuplicates:
    params = Params(method="embedding", model="model:sees", threshold=threshold)
    return NearDuplicates(params, {"model": model})


def test_planted_copies_are_found_and_others_are_not(model: Path, album: Album) -> None:
    near = gate(model)
    images = dict(enumerate(originals()))
    known = [near.signature(album.item(f"original-{n}", image)) for n, image in images.items()]
    copies = {
        (n, name): near.signature(album.item(f"{name}-{n}", edit(image)))
        for name, edit in EDITS.items()
        for n, image in images.items()
    }
    found = sum(near.is_similar(cosine(known[n], copy), near.params) for (n, _), copy in copies.items())
    assert found / len(copies) >= 0.98
    pairs = list(near_directions(known, 0.98, lambda position: True))
    assert len(pairs) / (len(pairs) + found / len(EDITS)) <= 0.01


def test_no_pair_is_missed_and_no_other_is_named_over_several_blocks() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(0, 1, (1300, 16))
    rows[700:] = rows[:600] + draw.normal(0, 0.25, (600, 16))
    rows = np.rint(rows / np.linalg.norm(rows, axis=1, keepdims=True) * 32_767).astype("<i2")
    whole = rows.astype(np.float64)
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    i, j = np.nonzero(np.triu(whole @ whole.T >= 0.9, 1))
    expected = sorted(zip(i.tolist(), j.tolist(), strict=True), key=lambda pair: (pair[1], pair[0]))
    signatures = [row.tobytes() for row in rows]
    named = near_directions(signatures, 0.9, lambda position: True)
    found = [pair for pair in named if cosine(signatures[pair[0]], signatures[pair[1]]) >= 0.9]
    assert found == expected
    assert len(found) > 300


def test_a_cluster_of_copies_gives_a_pair_each(model: Path, album: Album) -> None:
    items = [album.item(f"cluster-{n}", jpeg(originals()[0], 60 + n)) for n in range(30)]
    kept, compared = kept_after_join(gate(model), items)
    assert (len(kept), compared) == (1, 29)


def test_a_build_asks_the_model_once_about_each_image_whatever_the_threshold(
    folder: Folder, model: Path
) -> None:
    shutil.copytree(model, folder.path / "models/sees")
    folder.sparkfile(SPARKFILE)
    for number in range(6):
        folder.write(f"data/scans/{number}.png", encoded(scene(number)))
        folder.write(f"data/scans/{number}-again.jpg", encoded(scene(number), "JPEG", quality=60))
    built = folder.build("dataset:scans")
    assert built.items["dataset:scans/filter"]["handled"] == 12
    rejected = folder.spark("show", "dataset:scans", "--rejected", "--json").lines[0]["rows"]
    assert len(rejected) == 6
    assert {row["reason"] for row in rejected} == {"near_duplicate"}
    assert all(0.98 <= row["score"] <= 1 for row in rejected)
    folder.edit("threshold: 0.98", "threshold: 0.3")
    again = folder.build("dataset:scans")
    assert again.items["dataset:scans/filter"]["handled"] == 0
    assert len(folder.spark("show", "dataset:scans", "--rejected", "--json").lines[0]["rows"]) > 6


def test_a_cosine_is_of_whole_numbers_symmetric_and_one_of_itself(model: Path, album: Album) -> None:
    near = gate(model)
    one, other = (near.signature(album.item(f"c{n}", scene(n))) for n in range(2))
    assert cosine(one, one) == 1.0
    assert 0 <= cosine(one, other) == cosine(other, one) < 1
    assert near.similarity(album.item("c0", scene(0)), album.item("c1", scene(1))) == cosine(one, other)


def test_model_and_method_go_together() -> None:
    for params in ({"method": "embedding"}, {"model": "model:sees"}):
        with pytest.raises(ValidationError, match="go together"):
            Params(**params)


def test_a_model_that_sees_nothing_is_refused(tmp_path: Path, album: Album) -> None:
    bert(tmp_path / "reads")
    with pytest.raises(BadInput, match="'reads' sees no images: its type is bert"):
        gate(tmp_path / "reads").signature(album.item("a", scene(0)))


def test_a_field_that_holds_no_image_makes_a_rejected_item(model: Path) -> None:
    params: dict[str, Any] = {"method": "embedding", "model": "model:sees", "fields": ["text"]}
    with pytest.raises(ItemRejected, match="no_image"):
        NearDuplicates(Params(**params), {"model": model}).signature(Item("a", "a", "train", {"text": "x"}))
