"""Every figure against a text small enough to be worked out by hand."""

import random
from collections import Counter
from typing import Any, get_args

import pytest
from gate_corpus import item
from pydantic import ValidationError

from spark_build.gates.quality import CHECKS, Params, Quality, Rule
from spark_build.modalities.text.repetition import repeated_runs
from spark_build.modalities.text.words import words_of

PROSE = (
    "The harbour was quiet that morning, and the boats lay still with their sails folded away. "
    "Nobody expected visitors so early in the year, "
    "because the road across the hills stays closed until April. "
    "Still, an old man had walked down to the pier to wait, as he does on every first Sunday of spring. "
    "He would have told you that patience is a habit, and that habits are cheap to keep. "
    "Around noon a small white ferry appeared behind the lighthouse, turned once, and came slowly alongside."
)


def measured(text: str) -> dict[str, Any]:
    return Quality(Params()).measure(item(text))


def verdict_on(text: str, **params: object) -> tuple[str, str, float | None, float | None]:
    gate = Quality(Params(**params))
    verdict = gate.decide(gate.measure(item(text)), gate.params)
    return verdict.action, verdict.reason, verdict.score, verdict.threshold


@pytest.mark.parametrize(
    ("figure", "text", "expected"),
    [
        ("word_count", "one two  three\nfour", 4),
        ("word_count", "", 0),
        ("mean_word_length", "a bbb cc", 2.0),  # 1 + 3 + 2 of 3
        ("mean_word_length", "", 0.0),
        ("symbol_ratio", "# a # b", 0.5),  # 2 hashes, 4 words
        ("symbol_ratio", "a... b\u2026 c d", 0.5),  # 2 ellipses, 4 words
        ("symbol_ratio", "# a... b c", 0.25),  # one of each: the larger share, not the sum
        ("alphabetic_words", "a 1 2 b3", 0.5),
        ("stop_words", "The cat, THE dog (and) nothing", 2),  # the, and
        ("stop_words", "theory of", 1),
        ("line_ends_per_word", "a b\nc\n\nd", 3 / 4),
    ],
)
def test_word_figures(figure: str, text: str, expected: float) -> None:
    assert measured(text)[figure] == expected


@pytest.mark.parametrize(
    ("figure", "text", "expected"),
    [
        ("bullet_lines", "\u2022 a\n- b\n* c\nd", 0.75),
        ("bullet_lines", "-5 degrees\n*bold* word", 0.0),
        ("bullet_lines", "  - indented\n\n\nplain", 0.5),  # blank lines are no lines
        ("ellipsis_lines", "read more...\nand more \u2026\nend.\nx", 0.5),
        ("terminal_lines", 'One.\nTwo!\nThree?\n"Four"\nFive\nSix...', 4 / 6),
        ("javascript_lines", "Enable JavaScript to go on.\nText.", 0.5),
        ("bullet_lines", "", 0.0),
        ("punctuated_lines", "One.\nTwo\n'Three'\nFour...", 3 / 4),
        ("short_lines", f"{'x' * 30}\n{'x' * 31}\n\nshort\n  {'y' * 30}  ", 3 / 4),
    ],
)
def test_line_figures(figure: str, text: str, expected: float) -> None:
    assert measured(text)[figure] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("figure", "text", "expected"),
    [
        ("duplicate_lines", "a\nb\na\na", 0.5),  # two of four came before
        ("duplicate_line_characters", "aaa\nb\naaa", 3 / 7),
        ("duplicate_lines", "a b\na  b", 0.5),  # white space makes no other line
        ("duplicate_paragraphs", "x y\nz\n\nx y\nz\n\nw", 1 / 3),
        ("duplicate_paragraph_characters", "xy\n\nxy\n\nw", 2 / 5),
        ("top_2_gram", "a b c a b d", 4 / 6),  # 'a b' twice
        ("top_2_gram", "a a a", 1.0),  # 'a a' twice, overlapping: all three words, none counted twice
        ("top_2_gram", "a b c d", 0.0),  # nothing occurs twice
        ("top_2_gram", "aa b aa b c dd c dd", 6 / 12),  # both twice: 'aa b' and 'c dd' are equally long
        ("top_3_gram", "a b c x a b c", 6 / 7),
        ("top_4_gram", "a b c d a b c d", 1.0),
        ("duplicate_5_grams", "a b c d e x a b c d e", 5 / 11),  # the first occurrence is no duplicate
        ("duplicate_6_grams", "a b c d e x a b c d e", 0.0),
        ("duplicate_10_grams", "a b c d e f g h i j a b c d e f g h i j", 0.5),
        (
            "duplicate_5_grams",
            "a a a a a a a a a a a a",
            10 / 12,
        ),  # at 1 the run is known: words 1-5, then 6-10
        ("duplicate_5_grams", "", 0.0),
    ],
)
def test_repetition_figures(figure: str, text: str, expected: float) -> None:
    assert measured(text)[figure] == pytest.approx(expected, abs=1e-12)


def test_repetition_stays_a_share_of_the_text() -> None:
    figures = repeated_runs(words_of(["spam " * 500]))
    assert all(0 <= value <= 1 for (value,) in figures.values())
    assert figures["top_2_gram"] == [1.0]


def test_runs_of_many_texts_are_those_of_each_worked_out_one_by_one() -> None:
    rnd = random.Random(7)
    texts = [" ".join(rnd.choices(("a", "bb", "ccc"), k=rnd.randrange(60))) for _ in range(300)]
    figures = repeated_runs(words_of(texts))
    for number, text in enumerate(texts):
        own, words = {name: values[number] for name, values in figures.items()}, text.split()
        total = max(1, sum(map(len, words)))
        for size in (2, 3, 4):
            assert own[f"top_{size}_gram"] == most_frequent(words, size) / total, text
        for size in (5, 6, 7, 8, 9, 10):
            assert own[f"duplicate_{size}_grams"] == duplicates(words, size) / total, text


def most_frequent(words: list[str], size: int) -> int:
    runs = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
    counts = Counter(runs)
    if not counts or max(counts.values()) < 2:
        return 0
    covered = []
    for run in (run for run, count in counts.items() if count == max(counts.values())):
        inside = {i + k for i, other in enumerate(runs) if other == run for k in range(size)}
        covered.append(sum(len(words[i]) for i in inside))
    return max(covered)


def duplicates(words: list[str], size: int) -> int:
    place = characters = 0
    seen = set()
    while place <= len(words) - size:
        run = tuple(words[place : place + size])
        if run in seen:
            characters += sum(map(len, run))
            place += size
        else:
            seen.add(run)
            place += 1
    return characters


def test_an_item_is_measured_alike_alone_and_among_others() -> None:
    texts = ["", PROSE, "\u00fcber " * 40, "a\nb\na\na", PROSE + "\n\n" + PROSE, "\U0001f600 \ud800 #"]
    assert Quality(Params()).measure_many([item(text) for text in texts]) == [*map(measured, texts)]


def test_sentences_are_counted_by_the_length_of_their_line() -> None:
    lines = [
        "One two three. Four five!",
        "Short.",
        "No end here",
        'He said "stop". She left...',
        "A (b) c d e.",
    ]
    counts = measured("\n".join(lines))["sentences"]
    assert {n: c for n, c in enumerate(counts) if c} == {5: 3, 1: 1}


def test_lines_that_ask_for_javascript_have_no_sentences() -> None:
    assert sum(measured("Please enable Javascript now.")["sentences"]) == 0


def test_prose_passes_all_rules() -> None:
    assert verdict_on(PROSE, rules=["gopher", "c4"])[0] == "keep"


@pytest.mark.parametrize(
    ("text", "params", "expected"),
    [
        ("too short", {}, ("drop", "quality:word_count", 2.0, 50.0)),
        (PROSE, {"max_words": 60}, ("drop", "quality:word_count", 88.0, 60.0)),
        ("ab " * 60, {}, ("drop", "quality:mean_word_length", 2.0, 3.0)),
        ("incomprehensibilities " * 60, {}, ("drop", "quality:mean_word_length", 21.0, 10.0)),
        (PROSE + " #" * 22, {}, ("drop", "quality:symbol_ratio", 0.2, 0.1)),
        ("\n".join(f"- {PROSE}" for _ in range(2)), {}, ("drop", "quality:bullet_lines", 1.0, 0.9)),
        (PROSE + "...", {}, ("drop", "quality:ellipsis_lines", 1.0, 0.3)),
        (PROSE + " 1234" * 88, {}, ("drop", "quality:alphabetic_words", 0.5, 0.8)),
        ("palm trees grow slowly " * 20, {}, ("drop", "quality:stop_words", 0.0, 2.0)),
        (f"{PROSE}\n{PROSE}", {}, ("drop", "quality:duplicate_lines", 0.5, 0.3)),
    ],
)
def test_the_first_rule_that_fails_is_the_reason(
    text: str, params: dict[str, object], expected: tuple[str, str, float, float]
) -> None:
    assert verdict_on(text, **params) == expected


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Lorem ipsum dolor. " + PROSE, "lorem_ipsum"),
        (PROSE + " if (x) { return; }.", "curly_brackets"),
        ("One sentence that is long enough to count.", "sentences"),
    ],
)
def test_rules_of_c4(text: str, rule: str) -> None:
    assert verdict_on(text, rules="c4")[:2] == ("drop", f"quality:{rule}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROSE.replace(".", ""), ("punctuated_lines", 0.0, 0.12)),
        ("A line.\n" * 3 + PROSE, ("short_lines", 0.75, 0.67)),
        (f"{PROSE}\n{PROSE}", ("repeated_line_characters", 0.5, 0.01)),
        ("\n".join(f"This {n}\nis a much longer word: incomprehensibilities {n}." for n in range(9)),
         ("line_ends_per_word", 17 / 81, 0.2)),
    ],
)  # fmt: skip
def test_rules_of_fineweb(text: str, expected: tuple[str, float, float]) -> None:
    rule, score, threshold = expected
    found = verdict_on(text, rules="fineweb", max_line_ends_per_word=0.2)
    assert found == ("drop", f"quality:{rule}", pytest.approx(score, abs=0.01), threshold)


def test_prose_passes_the_rules_of_fineweb() -> None:
    assert verdict_on(PROSE, rules="fineweb")[0] == "keep"


def test_rules_of_c4_are_not_asked_by_default() -> None:
    assert verdict_on(PROSE + " {")[0] == "keep"


def test_a_list_of_rules_asks_these_alone() -> None:
    assert verdict_on("short", rules=["curly_brackets"])[0] == "keep"
    assert verdict_on("short {", rules=["curly_brackets"])[1] == "quality:curly_brackets"


def test_null_turns_a_rule_off() -> None:
    assert verdict_on("short text of the sea and", min_words=None)[0] == "keep"


def test_a_threshold_is_still_allowed_itself() -> None:
    # the papers drop what lies outside of the range
    assert verdict_on("the and " + "word " * 48, rules=["word_count"])[0] == "keep"


def test_every_named_rule_has_one_check_and_every_threshold_cites_its_paper() -> None:
    assert tuple(check.rule for check in CHECKS) == get_args(Rule)
    for check in CHECKS:
        for name in filter(None, (check.least, check.most)):
            assert "et al. 20" in str(Params.model_fields[name].description), name


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValidationError):
        Params(rules=["gofer"])


def test_stop_words_of_another_language_can_be_given() -> None:
    gate = Quality(Params(stop_words=["und", "der"]))
    assert gate.measure(item("Der Hund und die Katze"))["stop_words"] == 2
