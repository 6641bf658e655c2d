"""Drops items that are too small or too large."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from spark_build.contract import Decides, GateParams, Item, ItemGate, Media, Verdict
from spark_build.gates._text import joined_text, text_and_chat_fields


def _least(what: str) -> Any:
    return Field(None, ge=0, description=f"Fewest {what} that an item may have.")


def _most(what: str) -> Any:
    return Field(None, ge=0, description=f"Most {what} that an item may have.")


_OF_MEDIA = ("bytes", "width", "height", "pixels", "duration", "frame_rate", "sample_rate", "channels")


class Params(GateParams):
    """Bounds, themselves allowed; each is `min_` or `max_` and the name of a figure that `measure` gives."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "min_length": "min_characters", "max_length": "max_characters", "min_chars": "min_characters",
        "max_chars": "max_characters", "min_len": "min_characters", "max_len": "max_characters",
        "min_num_words": "min_words", "max_num_words": "max_words", "min_size": "min_bytes",
        "max_size": "max_bytes", "min_seconds": "min_duration", "max_seconds": "max_duration",
        "min_fps": "min_frame_rate", "max_fps": "max_frame_rate",
    }  # fmt: skip

    fields: list[str] | None = Field(
        None,
        description="Fields that are measured, texts as one; by default all text, chat messages and media.",
    )
    min_characters: Decides[int | None] = _least("characters")
    max_characters: Decides[int | None] = _most("characters")
    min_words: Decides[int | None] = _least("words (what white space separates)")
    max_words: Decides[int | None] = _most("words (what white space separates)")
    min_lines: Decides[int | None] = _least("lines with anything but white space")
    max_lines: Decides[int | None] = _most("lines with anything but white space")
    min_bytes: Decides[int | None] = _least("bytes: of media their file's, of text as UTF-8")
    max_bytes: Decides[int | None] = _most("bytes: of media their file's, of text as UTF-8")
    min_width: Decides[int | None] = _least("pixels across")
    max_width: Decides[int | None] = _most("pixels across")
    min_height: Decides[int | None] = _least("pixels down")
    max_height: Decides[int | None] = _most("pixels down")
    min_pixels: Decides[int | None] = _least("pixels, width by height")
    max_pixels: Decides[int | None] = _most("pixels, width by height")
    min_duration: Decides[float | None] = _least("seconds")
    max_duration: Decides[float | None] = _most("seconds")
    min_frame_rate: Decides[float | None] = _least("frames per second")
    max_frame_rate: Decides[float | None] = _most("frames per second")
    min_sample_rate: Decides[int | None] = _least("samples per second, of audio")
    max_sample_rate: Decides[int | None] = _most("samples per second, of audio")
    min_channels: Decides[int | None] = _least("channels, of audio")
    max_channels: Decides[int | None] = _most("channels, of audio")

    @model_validator(mode="after")
    def _leave_something(self) -> "Params":
        for figure in dict.fromkeys(name[4:] for name in self.bounds()):
            least, most = getattr(self, f"min_{figure}"), getattr(self, f"max_{figure}")
            if least is not None and most is not None and least > most:
                raise ValueError(
                    f"min_{figure}: {least} is more than max_{figure}: {most}; nothing would pass"
                )
        return self

    @classmethod
    def bounds(cls) -> list[str]:
        """Names of the params that are bounds, in the order in which they are asked."""
        return [name for name in cls.model_fields if name[:4] in ("min_", "max_")]


class Limits(ItemGate):
    """The first bound that an item breaks is the reason."""

    Params = Params

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return tuple(self.params.fields or [*text_and_chat_fields(item), *media_fields(item)])

    def measure(self, item: Item) -> dict[str, Any]:
        """Figures by name; of media the least and the greatest of all that the item has."""
        names = self.fields_read(item)
        media = [item.fields[name] for name in names if isinstance(item.fields.get(name), Media)]
        texts = [name for name in names if not isinstance(item.fields.get(name), Media)]
        found: dict[str, Any] = _of_text(joined_text(item, texts)) if texts or not media else {}
        for figure in _OF_MEDIA if media else ():
            if values := [value for one in media if (value := _figure(one, figure)) is not None]:
                found[figure] = [min(values), max(values)]
        return found

    def decide(self, found: dict[str, Any], params: Any) -> Verdict:
        for name in params.bounds():
            is_least = name.startswith("min_")
            value, bound = found.get(name[4:]), getattr(params, name)
            if value is None or bound is None:
                continue  # a figure that this item does not have breaks nothing
            value = value if not isinstance(value, list) else min(value) if is_least else max(value)
            if value < bound if is_least else value > bound:
                side = "below" if is_least else "above"
                return Verdict.drop(f"{side}_{name}", score=float(value), threshold=float(bound))
        return Verdict.keep()


def media_fields(item: Item) -> tuple[str, ...]:
    return tuple(name for name, value in item.fields.items() if isinstance(value, Media))


def _figure(media: Media, name: str) -> float | None:
    if name == "bytes":
        return media.size
    if name == "pixels":
        return media.facts["width"] * media.facts["height"] if "width" in media.facts else None
    return media.facts.get(name)


def _of_text(text: str) -> dict[str, float]:
    return {
        "characters": len(text),
        "words": len(text.split()),
        "lines": sum(bool(line.strip()) for line in text.splitlines()),
        "bytes": len(text.encode("utf-8", "replace")),
    }
