"""Runs of words that an item shares with a dataset, with the span and the other item as evidence."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from gate_corpus import item, words

from spark_build.contract import Verdict
from spark_build.core.errors import BadInput
from spark_build.gates.decontaminate import Decontaminate, Params
from spark_build.modalities.text.overlaps import WordRuns, grams
from tests.support.rule_runs import write_dataset

QUESTION = (
    "Which of the four boats left the harbour first on that quiet morning in April, and why?"  # 17 words
)
SHORT = "Name the boat that came home last, please."  # 8 words
TINY = "Who won the race?"


@pytest.fixture
def exam(tmp_path: Path) -> Path:
    rows = [{"question": text, "label": "a"} for text in (QUESTION, SHORT, TINY)]
    fields = {"question": "text", "label": "label"}
    return write_dataset(
        tmp_path / "exam", fields, test=rows, train=[{"question": words_apart(), "label": "b"}]
    )


def words_apart() -> str:
    return " ".join(f"other{n}" for n in range(20))


def verdict_on(exam: Path, text: str, **params: object) -> Verdict:
    gate = Decontaminate(Params(against="dataset:exam", **params), {"against": exam})
    return gate.decide(gate.measure(item(text)), gate.params)


def test_a_shared_run_is_found_with_span_and_matched_item(exam: Path) -> None:
    text = f"Some page before. It asked: {QUESTION.upper()} Then it went on for a while."
    verdict = verdict_on(exam, text)
    assert (verdict.action, verdict.reason, verdict.matched) == ("drop", "contaminated", "0")
    assert verdict.detail == QUESTION.upper()
    assert verdict.score == 17 / len(grams(text))


def test_twelve_words_are_no_thirteen(exam: Path) -> None:
    shared = QUESTION.split()
    assert verdict_on(exam, " ".join(shared[:13])).action == "drop"
    assert verdict_on(exam, " ".join([*shared[:12], "else"])).action == "keep"


def test_case_punctuation_and_white_space_make_no_difference(exam: Path) -> None:
    changed = "which, of the FOUR boats\n\nleft (the harbour) first on that - quiet morning"
    assert verdict_on(exam, changed).action == "drop"


def test_a_short_text_is_looked_for_as_a_whole_and_a_tiny_one_not_at_all(exam: Path) -> None:
    assert verdict_on(exam, f"First: {SHORT} Next.").matched == "1"
    assert verdict_on(exam, " ".join(SHORT.split()[:7])).action == "keep"
    assert verdict_on(exam, f"{TINY} {TINY}").action == "keep"
    assert verdict_on(exam, TINY, shortest=4).matched == "2"


def test_a_threshold_allows_a_share_of_the_words(exam: Path) -> None:
    text = f"{QUESTION} {'word ' * 83}"
    assert verdict_on(exam, text, threshold=0.17).action == "keep"
    assert verdict_on(exam, text, threshold=0.16).score == 0.17


def test_only_the_named_splits_count(exam: Path) -> None:
    assert verdict_on(exam, words_apart(), splits=["test"]).action == "keep"
    assert verdict_on(exam, words_apart()).action == "drop"
    with pytest.raises(BadInput, match="no split 'dev'"):
        verdict_on(exam, "x", splits=["dev"])


def test_a_field_that_is_not_there_is_refused(exam: Path) -> None:
    with pytest.raises(BadInput, match="dataset:exam has no field 'text'\n  fix: it has question, label"):
        verdict_on(exam, "x", against_fields=["text"])


def test_it_finds_exactly_what_comparing_every_run_finds() -> None:
    rnd = random.Random(2)
    texts = [" ".join(rnd.choices(["a", "b", "c", "d", "e"], k=rnd.randrange(1, 30))) for _ in range(30)]
    for size, shortest in ((5, 3), (3, 3), (7, 9)):
        runs = WordRuns(texts, size, shortest)
        for _ in range(200):
            own = rnd.choices(["a", "b", "c", "d", "e"], k=rnd.randrange(0, 25))
            found = runs.overlap(own)
            assert (found.covered if found else 0) == covered(own, [t.split() for t in texts], size, shortest)


def covered(own: Sequence[str], texts: Sequence[Sequence[str]], size: int, shortest: int) -> int:
    marked: set[int] = set()
    for text in texts:
        length = min(size, len(text))
        if len(text) < min(size, shortest):
            continue
        known = {tuple(text[i : i + length]) for i in range(len(text) - length + 1)}
        for i in range(len(own) - length + 1):
            if tuple(own[i : i + length]) in known:
                marked |= set(range(i, i + length))
    return len(marked)


def test_no_random_text_is_found_in_another() -> None:
    rnd = random.Random(1)
    runs = WordRuns([" ".join(words(rnd, 40)) for _ in range(300)], 13, 8)
    assert not any(runs.overlap(words(rnd, 300)) for _ in range(100))
