"""Drops items that are nearly the same as one that is kept."""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from spark_build.contract import Decides, GateParams, Item, JoinGate, ModelRef
from spark_build.contract.params import Needs, Project
from spark_build.contract.rules import Reproducible
from spark_build.core.values import Struct, replace
from spark_build.gates._embeddings import cosine, embedding, image_fields, near_directions
from spark_build.gates._looks import visual_candidates, visual_fields, visual_hashes, visual_likeness
from spark_build.gates._text import joined_text, text_and_chat_fields
from spark_build.gates._tunes import (
    print_candidates,
    print_hashes,
    print_likeness,
    sound_candidates,
    sound_fields,
    sound_hashes,
    sound_likeness,
)
from spark_build.modalities.text.candidates import candidate_pairs
from spark_build.modalities.text.shingles import distinct_counts, jaccard, shingle_hashes, shingles_of
from spark_build.modalities.text.sketches import MinHashes, SimHashes, Sketches, minhashes, simhash

if TYPE_CHECKING:
    import numpy as np


_LIBRARIES = {
    "minhash": ("rensa",), "simhash": ("xxhash",), "phash": ("pillow", "av", "numpy"), "chroma": ("av", "numpy"),
    "chromaprint": (),
    "embedding": ("torch", "transformers", "pillow", "numpy"),
}  # fmt: skip
_Signatures = Sequence[bytes]


class _OfMedia(Struct, frozen=True):
    """How a method looks at media: the fields that hold them, and what stands in for a text's shingles."""

    fields: Callable[[Item], tuple[str, ...]]
    signature: Callable[[Item, Sequence[str]], bytes]
    candidates: Callable[[_Signatures, Callable[[int], bool]], Iterable[tuple[int, int]]]
    similarity: Callable[[Item, Item, Sequence[str]], float]


_MEDIA = {
    "phash": _OfMedia(visual_fields, visual_hashes, visual_candidates, visual_likeness),
    "chroma": _OfMedia(sound_fields, sound_hashes, sound_candidates, sound_likeness),
    "chromaprint": _OfMedia(sound_fields, print_hashes, print_candidates, print_likeness),
}


class Params(GateParams):
    """Near-duplicates: texts by the Jaccard similarity of their shingles, images by how they look."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "num_perm": "permutations",
        "num_permutations": "permutations",
        "ngram": "shingle",
        "ngram_size": "shingle",
        "shingle_size": "shingle",
        "jaccard_threshold": "threshold",
        "similarity": "threshold",
        "algorithm": "method",
        "checkpoint": "model",
    }

    threshold: Decides[float] = Field(
        0.9, gt=0, le=1, description="Items whose similarity is at least this are near-duplicates."
    )
    method: Literal["minhash", "simhash", "phash", "chroma", "chromaprint", "embedding"] = Field(
        "minhash",
        description="How candidate pairs are found; exact similarity decides. Below 0.7 simhash is slow. phash is "
        "for images, videos and audio: what was re-encoded, scaled, mildly cropped or made noisy is alike. chroma is "
        "for audio alone, and surer there: it tells voices apart, and finds what begins up to 3 seconds later. "
        "chromaprint asks the program fpcalc, which has to be installed, and compares no sound below 3 seconds. "
        "embedding is for images, by the cosine of what `model` makes of them.",
    )
    model: ModelRef | None = Field(
        None,
        description="Of embedding: a model like CLIP, SigLIP or DINOv2, by model:NAME, folder or hub id (safetensors). "
        "Try thresholds from 0.95 on.",
    )
    shingle: int = Field(5, ge=1, le=100, description="Length of a shingle, in `unit`s.")
    unit: Literal["words", "characters"] = Field(
        "words", description="What shingles are made of; take characters for languages without spaces."
    )
    permutations: int = Field(
        128,
        ge=16,
        le=1024,
        description="Slots of a MinHash signature, a byte each; more of them cost time, not precision.",
    )
    seed: int = Field(42, ge=0, lt=2**63, description="Seed of the hash functions.")
    fields: list[str] | None = Field(
        None,
        description="Fields that are compared; by default all text and chat messages; with phash the media, with "
        "chroma and chromaprint the audio, with embedding the images.",
    )

    @model_validator(mode="after")
    def _check(self) -> "Params":
        if (self.method == "embedding") != (self.model is not None):
            raise ValueError("'model' and `method: embedding` go together")
        return self


class NearDuplicates(JoinGate):
    """Signatures name candidates, exact Jaccard similarity decides.

    Of the pairs exactly at the threshold at least 99.9% become candidates, of more similar ones more still,
    of identical texts all. SimHash reaches this for texts of some 100 shingles and more; its error on shorter
    ones is larger. Below a threshold of 0.06 (at 128 permutations) MinHash can't promise it.
    Images become candidates where a 64-bit hash of one, or of what a mild crop leaves of it, differs in at most 11
    bits from the other's; videos by their middle frame, and by five of them where their lengths agree; audio by a
    picture of its loudness over time and pitch. With `chroma` audio is compared by twelve pitch classes over time, at
    the best offset. With `embedding` the cosines of all images are worked out, so that no pair is missed.
    """

    Params = Params
    revision = 3
    libraries = ("rensa",)

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        own = super().needs(params, project)
        return replace(own, tools=(*own.tools, "fpcalc")) if params.method == "chromaprint" else own

    @classmethod
    def libraries_of(cls, params: Any) -> tuple[str, ...]:
        return _LIBRARIES[params.method]

    @classmethod
    def uses_model_of(cls, params: Any) -> bool:
        return bool(params.method == "embedding")

    @classmethod
    def reproducible_of(cls, params: Any) -> Reproducible:
        return "numerics" if params.method == "embedding" else "bitwise"

    def fields_read(self, item: Item) -> tuple[str, ...]:
        if self.params.method == "embedding":
            return tuple(self.params.fields or image_fields(item))
        own = method.fields if (method := self._of_media) is not None else text_and_chat_fields
        return tuple(self.params.fields or own(item))

    def signature(self, item: Item) -> bytes:
        """The number of shingles (uint32), then the sketch; of media their hashes, or the embedding."""
        if self.params.method == "embedding":
            return embedding(item, self.fields_read(item), self.inputs["model"])
        if (method := self._of_media) is not None:
            return method.signature(item, self.fields_read(item))
        if self.params.method == "minhash":
            return self._minhashes([item])[0]
        shingles = self._shingles(item)
        return struct.pack("<I", len(shingles)) + simhash(shingles, self.params.seed)

    def signature_many(self, items: Sequence[Item]) -> list[bytes]:
        return self._minhashes(items) if self.params.method == "minhash" else super().signature_many(items)

    @property
    def batch_items(self) -> int:
        return 64 if self.params.method == "minhash" else 1

    def _minhashes(self, items: Sequence[Item]) -> list[bytes]:
        texts = [joined_text(item, self.fields_read(item)) for item in items]
        hashes, firsts = shingle_hashes(texts, self.params.shingle, self.params.unit)
        sketches = minhashes(hashes, firsts, self.params.permutations, self.params.seed)
        counts = distinct_counts(hashes, firsts)
        return [struct.pack("<I", count) + sketch for count, sketch in zip(counts, sketches, strict=True)]

    def candidates(
        self,
        signatures: Sequence[bytes],
        params: Any,
        is_kept: Callable[[int], bool] = lambda position: True,
    ) -> Iterable[tuple[int, int]]:
        if len(signatures) < 2:
            return ()
        if params.method == "embedding":
            return near_directions(signatures, params.threshold, is_kept)
        if (method := self._of_media) is not None:
            return method.candidates(signatures, is_kept)
        counts, sketches = _unpacked(signatures, params.method)

        def plausible(one: int, others: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
            others = _of_like_size(counts, one, others, params.threshold)
            return sketches.agree(one, others, params.threshold)

        return candidate_pairs(sketches.band_keys(params.threshold), plausible, is_kept)

    def alike(self, first: bytes, second: bytes) -> float | None:
        return cosine(first, second) if self.params.method == "embedding" else None

    def similarity(self, first: Item, second: Item) -> float:
        if self.params.method == "embedding":
            return cosine(self.signature(first), self.signature(second))
        if (method := self._of_media) is not None:
            return method.similarity(first, second, self.fields_read(first))
        return jaccard(self._shingles(first), self._shingles(second))

    def is_similar(self, similarity: float, params: Any) -> bool:
        return bool(similarity >= params.threshold)

    @property
    def _of_media(self) -> _OfMedia | None:
        return _MEDIA.get(self.params.method)

    def _shingles(self, item: Item) -> frozenset[str]:
        text = joined_text(item, self.fields_read(item))
        return shingles_of(text, self.params.shingle, self.params.unit)


def _unpacked(signatures: Sequence[bytes], method: str) -> tuple["np.ndarray[Any, Any]", Sketches]:
    import numpy as np

    table = np.frombuffer(b"".join(signatures), np.uint8).reshape(len(signatures), -1)
    counts = table[:, :4].copy().view("<u4")[:, 0].astype(np.int64)
    sketch = table[:, 4:].copy()
    return counts, MinHashes(sketch) if method == "minhash" else SimHashes(sketch.view("<u8"))


def _of_like_size(
    counts: "np.ndarray[Any, Any]", one: int, others: "np.ndarray[Any, Any]", threshold: float
) -> "np.ndarray[Any, Any]":
    """Sets can't be more similar than the smaller one's size over the larger one's."""
    import numpy as np

    own, theirs = counts[one], counts[others]
    like: np.ndarray[Any, Any] = others[np.minimum(own, theirs) / np.maximum(own, theirs) >= threshold]
    return like
