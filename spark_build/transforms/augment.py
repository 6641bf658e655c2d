"""Variants of images and sounds beside the originals, to train on: noise, speed, gain; flips, turns, crops, colors."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from spark_build.contract import Item, Media, RuleParams, Transform
from spark_build.contract.media import new_file
from spark_build.contract.params import Field
from spark_build.core.digest import digest_file, digest_json
from spark_build.core.errors import ItemRejected
from spark_build.modalities.media.decoding import write_sound
from spark_build.modalities.media.images import opened
from spark_build.modalities.media.pictures import in_color, upright
from spark_build.modalities.media.variants import ImageChange, SoundChange, drawn, varied, vary_sound
from spark_build.transforms._media import made

_OF_SOUND = ("snr", "speed", "gain")
_OF_IMAGES = ("flip", "rotate", "crop", "brightness", "contrast", "saturation", "noise")
_LOSSLESS = (".png", ".gif", ".bmp", ".tif", ".tiff")
_JPEG_QUALITY = 95


def _as_pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"[{pair[0]:g}, {pair[1]:g}]: the smaller one first")
    return pair


Range = Annotated[tuple[float, float], BeforeValidator(_as_pair), AfterValidator(_ascending)]


def _within(low: float, high: float) -> Any:
    def check(pair: tuple[float, float]) -> tuple[float, float]:
        if pair[0] < low or pair[1] > high:
            raise ValueError(f"[{pair[0]:g}, {pair[1]:g}] is not within {low:g} and {high:g}")
        return pair

    return AfterValidator(check)


class Params(RuleParams):
    """Each range is drawn from evenly; one number is always that one."""

    copies: int = Field(1, ge=1, le=1000, description="Variants of each item.")
    keep: bool = Field(default=True, description="The item itself stays beside its variants.")
    seed: int = Field(
        0, ge=0, description="What is drawn follows from this, the content of the media and the copy."
    )
    field: str | None = Field(None, description="The image or audio; by default all that the item has.")
    number_in: str | None = Field(
        None, description="A field that takes the variant's number; 0 is the item itself."
    )
    snr: Annotated[Range, _within(-60, 120)] | None = Field(
        None, description="Of sound: white noise so many decibels below it: [10, 30]."
    )
    speed: Annotated[Range, _within(0.25, 4)] | None = Field(
        None, description="Of sound: how much faster, and higher: [0.9, 1.1]."
    )
    gain: Annotated[Range, _within(-60, 60)] | None = Field(
        None, description="Of sound: how many decibels louder: [-6, 6]; what is too loud is clipped."
    )
    flip: float | None = Field(
        None, gt=0, le=1, description="Of images: how often left and right change places."
    )
    rotate: float | None = Field(
        None, gt=0, le=180, description="Of images: degrees, at most, either way; corners become black."
    )
    crop: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Of images: the smallest share of each side that stays; where, is drawn.",
    )
    brightness: Annotated[Range, _within(0, 10)] | None = Field(
        None, description="Of images, a factor: [0.8, 1.2]."
    )
    contrast: Annotated[Range, _within(0, 10)] | None = Field(
        None, description="Of images, a factor: [0.8, 1.2]."
    )
    saturation: Annotated[Range, _within(0, 10)] | None = Field(
        None, description="Of images, a factor: [0.5, 1.5]; 0 is gray."
    )
    noise: Annotated[Range, _within(0, 255)] | None = Field(
        None, description="Of images: standard deviation of each channel, of 255: [0, 10]."
    )
    image_format: Literal["same", "png", "jpeg"] = Field(
        "same", description="Of variants. same: PNG where the image is kept without loss, else JPEG."
    )
    audio_format: Literal["wav", "flac"] = Field("wav", description="Of variants, with 16 bits a sample.")

    synonyms: ClassVar[Mapping[str, str]] = {
        "n": "copies", "count": "copies", "num_copies": "copies", "variants": "copies", "keep_original": "keep",
        "column": "field", "snr_db": "snr", "noise_db": "snr", "gain_db": "gain", "volume": "gain", "tempo": "speed",
        "hflip": "flip", "horizontal_flip": "flip", "degrees": "rotate", "rotation": "rotate", "scale": "crop",
        "hue": "saturation", "color": "saturation", "format": "image_format",
    }  # fmt: skip

    @model_validator(mode="after")
    def _does_something(self) -> "Params":
        if all(getattr(self, name) is None for name in (*_OF_SOUND, *_OF_IMAGES)):
            raise ValueError(
                f"say what varies: of sound {', '.join(_OF_SOUND)}; of images {', '.join(_OF_IMAGES)}"
            )
        return self


class Augment(Transform):
    """What is drawn hangs on the content alone: neither on other items nor on their order. Labels stay as they are."""

    Params = Params
    revision = 1
    libraries = ("av", "numpy", "pillow")
    reproducible = "numerics"  # the filters' last bits are the processor's

    def fields_read(self, item: Item) -> tuple[str, ...]:
        if self.params.field is not None:
            return () if item.fields.get(self.params.field) is None else (self.params.field,)
        return tuple(sorted(name for name, value in item.fields.items() if self._varies(value)))

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        names = self.fields_read(item)
        if not names:
            return [{}]  # it has another modality
        for name in names:
            if not self._varies(item[name]):
                raise ItemRejected("field_type", f"{name}: no image or sound of which something varies")
        originals = {name: item[name] for name in names}
        variants = [
            {name: self._variant(media, number) for name, media in originals.items()}
            for number in range(1, self.params.copies + 1)
        ]
        found = [(0, originals)] * self.params.keep + list(enumerate(variants, start=1))
        return [{**fields, **self._numbered(number)} for number, fields in found]

    def _numbered(self, number: int) -> dict[str, Any]:
        return {} if self.params.number_in is None else {self.params.number_in: float(number)}

    def _varies(self, value: Any) -> bool:
        ways = (
            {"audio": _OF_SOUND, "image": _OF_IMAGES}.get(value.kind, ()) if isinstance(value, Media) else ()
        )
        return any(getattr(self.params, way) is not None for way in ways)

    def _variant(self, media: Media, number: int) -> Media:
        content = media.digest or digest_file(media.path)
        random = Random(int(digest_json([self.params.seed, content, number])[:16], 16))
        return self._image(media, random) if media.kind == "image" else self._sound(media, random)

    def _image(self, media: Media, random: Random) -> Media:
        change = _image_change(self.params, random)
        is_png = self.params.image_format == "png" or (
            self.params.image_format == "same" and media.suffix in _LOSSLESS
        )
        path = new_file(".png" if is_png else ".jpg")
        try:
            with warnings.catch_warnings(action="ignore"), opened(media.path) as image:
                plain = varied(upright(in_color(image), image), change)
                plain.save(path, "PNG" if is_png else "JPEG", quality=_JPEG_QUALITY)
        except ItemRejected:
            raise
        except Exception as error:  # decoders raise whatever they stumble over
            raise ItemRejected("broken_image", (str(error) or type(error).__name__)[:200]) from None
        return made(path)

    def _sound(self, media: Media, random: Random) -> Media:
        plain, faster, changed = (new_file(".wav") for _ in range(3))
        try:
            write_sound(media.path, plain, rate=None, channels=None)
            vary_sound(plain, changed, _sound_change(self.params, random), faster)
            if self.params.audio_format == "wav":
                return made(changed)
            flac = new_file(".flac")
            write_sound(changed, flac, rate=None, channels=None)
            changed.unlink()
            return made(flac)
        finally:
            _remove(plain, faster)


def _image_change(params: Any, random: Random) -> ImageChange:
    """All is drawn whatever is wanted, so that one more kind of change leaves the others as they were."""
    flips, turn, share, left, top = (random.random() for _ in range(5))
    factors = [random.random() for _ in range(4)]
    least = params.crop or 1.0
    wanted = (params.brightness, params.contrast, params.saturation, params.noise)
    brightness, contrast, saturation, noise = (
        drawn(value, pair, default)
        for value, pair, default in zip(factors, wanted, (1.0, 1.0, 1.0, 0.0), strict=True)
    )
    return ImageChange(
        is_flipped=params.flip is not None and flips < params.flip,
        degrees=(2 * turn - 1) * (params.rotate or 0.0),
        share=least + (1 - least) * share,
        place=(left, top),
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        noise=noise,
        seed=random.getrandbits(64),
    )


def _sound_change(params: Any, random: Random) -> SoundChange:
    speed, gain, snr = (random.random() for _ in range(3))
    return SoundChange(
        speed=drawn(speed, params.speed, 1.0),
        decibels=drawn(gain, params.gain, 0.0),
        signal_to_noise=None if params.snr is None else drawn(snr, params.snr, 0.0),
        seed=random.getrandbits(64),
    )


def _remove(*files: Path) -> None:
    for file in files:
        with suppress(FileNotFoundError):
            file.unlink()
