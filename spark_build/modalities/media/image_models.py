"""Models that look at images: scores by label, and embeddings. From local folders, one image at a time.

On a CPU the last bits of a matrix product hang on the size of the batch, and what is remembered must not.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import BadInput
from spark_build.core.values import Struct
from spark_build.modalities.labels import is_multi_label, labels_of, scores_of
from spark_build.modalities.model_folder import load_image_processor, load_model

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_LAYOUT = "config.json, preprocessor_config.json and model.safetensors"
UNIT = 32_767  # of an embedding's whole numbers: one


class ImageClassifier(Struct, frozen=True):
    model: Any
    processor: Any
    labels: tuple[str, ...]
    is_multi_label: bool  # sigmoid per label; else one softmax over all

    def scores(self, image: "Image.Image") -> dict[str, float]:
        logits = _asked(self.model, self.processor, image).logits[0]
        scores = scores_of(logits, is_multi_label=self.is_multi_label)
        return dict(zip(self.labels, scores, strict=True))


@lru_cache(maxsize=2)
def load_image_classifier(folder: Path) -> ImageClassifier:
    """Errors: BadInput where the folder holds none, Unavailable where libraries are missing."""
    model = load_model(folder, "AutoModelForImageClassification", "image classifier", _LAYOUT)
    multi = is_multi_label(model.config, folder)
    return ImageClassifier(model, load_image_processor(folder), labels_of(model.config), multi)


class Embedder(Struct, frozen=True):
    model: Any
    processor: Any

    def embedding(self, image: "Image.Image") -> "np.ndarray[Any, Any]":
        """A direction in whole numbers (int16), so that comparing two gives the same bits everywhere."""
        import numpy as np

        vector = self._vector(image).double().numpy()
        length = float(np.linalg.norm(vector))
        if not np.isfinite(length) or length == 0:
            raise BadInput(
                "the model gives an image no embedding", fix="take another model: this one is broken"
            )
        whole: np.ndarray[Any, Any] = np.rint(vector / length * UNIT).astype("<i2")
        return whole

    def _vector(self, image: "Image.Image") -> Any:
        """What the model was trained to compare, else its pooled output, else the mean of its last states."""
        import torch

        if hasattr(self.model, "get_image_features"):
            pixels = self.processor(images=image, return_tensors="pt")["pixel_values"]
            with torch.inference_mode():
                found = self.model.get_image_features(pixel_values=pixels)
        else:
            found = _asked(self.model, self.processor, image)
        if torch.is_tensor(found):
            return found[0].flatten()
        pooled = getattr(found, "pooler_output", None)
        return pooled[0].flatten() if pooled is not None else found.last_hidden_state[0].flatten(1).mean(0)


@lru_cache(maxsize=2)
def load_embedder(folder: Path) -> Embedder:
    """Errors: BadInput where the folder holds no model of images, Unavailable where libraries are missing."""
    model = load_model(folder, "AutoModel", "model of images", _LAYOUT)
    if model.main_input_name != "pixel_values" and not hasattr(model, "get_image_features"):
        raise BadInput(
            f"'{folder.name}' sees no images: its type is {model.config.model_type}",
            fix="name a model like CLIP, SigLIP, DINOv2 or ViT",
        )
    return Embedder(model, load_image_processor(folder))


def _asked(model: Any, processor: Any, image: "Image.Image") -> Any:
    import torch

    with torch.inference_mode():
        return model(**processor(images=image, return_tensors="pt"))
