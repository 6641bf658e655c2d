"""Microsoft Presidio, held offline: no spaCy download, no list of domain suffixes from the network."""

from functools import lru_cache
from typing import Any

from spark_build.core.errors import Unavailable
from spark_build.modalities.text.spans import Span

_KINDS = {
    "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "US_SSN": "ssn", "CREDIT_CARD": "credit_card",
    "IP_ADDRESS": "ip", "IBAN_CODE": "iban", "PERSON": "person", "LOCATION": "location",
    "ORGANIZATION": "organization",
}  # fmt: skip


def find_with_presidio(text: str, language: str, model: str | None, score: float) -> list[Span]:
    """What Presidio finds, sorted. `model` is the folder of a spaCy pipeline; None: a blank one."""
    if not text:
        return []
    results = _analyzer(language, model).analyze(text, language=language, score_threshold=score)
    return sorted({(r.start, r.end, _KINDS[r.entity_type]) for r in results if r.entity_type in _KINDS})


@lru_cache(maxsize=4)
def _analyzer(language: str, model: str | None) -> Any:
    try:
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    except ImportError as error:
        raise Unavailable(
            "engine: presidio needs Presidio", fix="pip install 'spark-build[presidio]'"
        ) from error
    registry = RecognizerRegistry(
        _recognizers(language, with_names=model is not None), supported_languages=[language]
    )
    return AnalyzerEngine(
        registry=registry, nlp_engine=_engine(language, model), supported_languages=[language]
    )


def _recognizers(language: str, *, with_names: bool) -> list[Any]:
    from presidio_analyzer import predefined_recognizers as known

    class OfflineEmail(known.EmailRecognizer):
        def validate_result(self, pattern_text: str) -> bool:
            return bool(_domain(pattern_text).fqdn)

    rules = [
        OfflineEmail, known.PhoneRecognizer, known.UsSsnRecognizer, known.CreditCardRecognizer,
        known.IpRecognizer, known.IbanRecognizer, *([known.SpacyRecognizer] if with_names else []),
    ]  # fmt: skip
    return [rule(supported_language=language) for rule in rules]


def _domain(address: str) -> Any:
    """Parts of an address by the suffix list that tldextract ships."""
    return _suffixes()(address)


@lru_cache(maxsize=1)
def _suffixes() -> Any:
    import tldextract

    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


def _engine(language: str, model: str | None) -> Any:
    """A spaCy engine that is loaded already: Presidio's own would download what it does not find."""
    import spacy
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    engine: Any = SpacyNlpEngine(models=[{"lang_code": language, "model_name": model or "blank"}])
    try:
        pipeline = spacy.load(model) if model else spacy.blank(language)
    except (ImportError, OSError, ValueError) as error:
        raise Unavailable(
            f"spaCy can't load '{model or language}': {error}",
            fix="name the folder of a spaCy pipeline as 'model'",
        ) from error
    pipeline.max_length = 1 << 30  # spaCy's own limit guards the memory of parsers
    engine.nlp = {language: pipeline}
    return engine
