"""Which language a text is in: lingua's answer, brought to what is the same each time."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, get_args

from spark_build.core.errors import Unavailable

# ISO 639-1 codes of the languages that lingua tells apart
Code = Literal[
    "af", "ar", "az", "be", "bg", "bn", "bs", "ca", "cs", "cy", "da", "de", "el", "en", "eo", "es", "et", "eu",
    "fa", "fi", "fr", "ga", "gu", "he", "hi", "hr", "hu", "hy", "id", "is", "it", "ja", "ka", "kk", "ko", "la",
    "lg", "lt", "lv", "mi", "mk", "mn", "mr", "ms", "nb", "nl", "nn", "pa", "pl", "pt", "ro", "ru", "sk", "sl",
    "sn", "so", "sq", "sr", "st", "sv", "sw", "ta", "te", "th", "tl", "tn", "tr", "ts", "uk", "ur", "vi", "xh",
    "yo", "zh", "zu",
]  # fmt: skip
CODES: tuple[str, ...] = get_args(Code)

# lingua adds logarithms in the order of a hash table, which differs from run to run: of a confidence some twelve
# digits are the same, and these are enough
_DIGITS = 3


def language_of(text: str, among: Sequence[str], *, is_accurate: bool) -> tuple[str | None, float]:
    """The likeliest of these languages, and how much likelier than the others it is (0 to 1).

    None where the text has no letters that tell. Of equally likely ones the first by its code.
    """
    found = _detector(tuple(among), is_accurate).compute_language_confidence_values(text)
    scores = {one.language.iso_code_639_1.name.lower(): round(one.value, _DIGITS) for one in found}
    best = max(sorted(scores), key=scores.__getitem__)
    return (best, scores[best]) if scores[best] > 0 else (None, 0.0)


@cache
def _detector(among: tuple[str, ...], is_accurate: bool) -> Any:
    """Models are loaded as texts ask for them: those of another script never are."""
    try:
        from lingua import IsoCode639_1, LanguageDetectorBuilder
    except ImportError:
        raise Unavailable("the gate language needs lingua", fix="pip install 'spark-build[gates]'") from None
    codes = [getattr(IsoCode639_1, code.upper()) for code in among]
    builder = LanguageDetectorBuilder.from_iso_codes_639_1(*codes)
    return (builder if is_accurate else builder.with_low_accuracy_mode()).build()
