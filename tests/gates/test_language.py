"""The language of real text, by its beginning; lingua's answer made the same each time."""

from typing import get_args

import pytest
from gate_corpus import item
from pydantic import ValidationError

from spark_build.contract import Verdict
from spark_build.gates.language import Language, Params
from spark_build.modalities.text.languages import Code

SENTENCES = {
    "en": "The harbour was quiet that morning, and the boats lay still because nobody had gone out to sea.",
    "de": "Der Hafen war an diesem Morgen still, und die Boote lagen ruhig, weil niemand hinausgefahren war.",
    "fr": "Le port était calme ce matin-là, et les bateaux ne bougeaient pas, car personne n'était sorti en mer.",
    "es": "El puerto estaba tranquilo aquella mañana, y los barcos no se movían porque nadie había salido al mar.",
    "ru": "В то утро в порту было тихо, и лодки стояли неподвижно, потому что никто не вышел в море.",
    "ja": "その朝、港は静かで、誰も海に出ていなかったので、船は動かずに並んでいた。",
}


def verdict_on(text: str, **params: object) -> Verdict:
    gate = Language(Params(**{"languages": ["en"], **params}))
    return gate.decide(gate.measure(item(text)), gate.params)


@pytest.mark.parametrize("code", SENTENCES)
def test_a_sentence_is_told_from_74_other_languages(code: str) -> None:
    assert verdict_on(SENTENCES[code], languages=[code]).action == "keep"
    others = [other for other in SENTENCES if other != code]
    verdict = verdict_on(SENTENCES[code], languages=others)
    assert (verdict.action, verdict.reason) == ("drop", f"language:{code}")


@pytest.mark.parametrize("text", ["", " \n", "12345 + 67 = 12412", "\U0001f468 !!! ???"])
def test_what_has_no_letters_is_of_no_language(text: str) -> None:
    assert verdict_on(text).reason == "language:unknown"


def test_only_the_beginning_is_looked_at() -> None:
    text = SENTENCES["en"] + "\n" + 20 * SENTENCES["ru"]
    assert verdict_on(text, prefix=90).action == "keep"
    assert verdict_on(text, prefix=2000).reason == "language:ru"


def test_white_space_at_the_head_hides_nothing() -> None:
    assert verdict_on("\n" * 150 + SENTENCES["de"]).reason == "language:de"


def test_an_unsure_language_is_its_own_reason() -> None:
    verdict = verdict_on(
        "no problem", among=["en", "es", "it", "pt"], languages=["en", "es", "it", "pt"], min_confidence=0.95
    )
    assert (verdict.action, verdict.reason, verdict.threshold) == ("drop", "language:unsure", 0.95)
    assert verdict_on(SENTENCES["en"], among=["en", "ja"], min_confidence=0.95).action == "keep"


def test_the_same_text_gives_the_same_value_in_any_order_and_many_times() -> None:
    """lingua sums in the order of a hash table: its own values differ in their last bits from call to call."""
    gate = Language(Params(languages=["en"], among=["de", "en", "es", "fr"]))
    items = [item(text[:n]) for text in SENTENCES.values() for n in (3, 10, 40, 90)]
    first = gate.measure_many(items)
    assert all(gate.measure_many(items[::-1])[::-1] == first for _ in range(5))


def test_the_languages_are_those_that_lingua_tells_apart() -> None:
    from lingua import Language as Known

    assert list(get_args(Code)) == sorted(one.iso_code_639_1.name.lower() for one in Known.all())


def test_a_language_that_can_not_be_found_is_refused() -> None:
    with pytest.raises(ValidationError, match="'fr' of 'languages' is not in 'among'"):
        Params(languages=["fr"], among=["de", "en"])
    with pytest.raises(ValidationError, match="languages"):
        Params(languages=["english"])
