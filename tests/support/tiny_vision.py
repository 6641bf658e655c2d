"""Tiny models that see: real architectures of transformers, made from a config, trained for seconds or not at all."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pictures import digits
from PIL import Image

SIDE = 8  # pixels of a digit: nothing is scaled


@lru_cache(maxsize=1)
def digit_labels() -> list[int]:
    from sklearn.datasets import load_digits

    return [int(target) for target in load_digits().target]


def image_processor(side: int = SIDE) -> Any:
    from transformers import ViTImageProcessorPil

    return ViTImageProcessorPil(size={"height": side, "width": side})


def resnet(folder: Path, labels: Sequence[str]) -> Any:
    """A ResNet of 36,000 random weights that tells `labels`; saved with its processor."""
    import torch
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    names = {"id2label": dict(enumerate(labels)), "label2id": {name: n for n, name in enumerate(labels)}}
    size = {"embedding_size": 16, "hidden_sizes": [32], "depths": [2], "layer_type": "basic"}
    model = ResNetForImageClassification(ResNetConfig(**size, **names))
    model.save_pretrained(folder)
    image_processor().save_pretrained(folder)
    return model


def pixels(images: Sequence[Image.Image]) -> Any:
    """(N, 3, SIDE, SIDE), as the processor gives them one by one."""
    import torch

    gray = torch.tensor(np.stack([np.asarray(image) for image in images]), dtype=torch.float32) / 127.5 - 1
    return gray[:, None].expand(-1, 3, -1, -1)


def train_resnet(folder: Path, labels: Sequence[str], wanted: Sequence[int], steps: int = 120) -> None:
    """Learns the first digits of scikit-learn, each with the number of its label."""
    import torch

    torch.set_num_threads(1)  # two wait for each other on a busy machine
    model = resnet(folder, labels).train()
    seen, targets = pixels(digits()[: len(wanted)]), torch.tensor(wanted)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    order = np.random.default_rng(0)
    for _ in range(steps):
        batch = torch.from_numpy(order.integers(0, len(wanted), 64))
        model(pixel_values=seen[batch], labels=targets[batch]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)
