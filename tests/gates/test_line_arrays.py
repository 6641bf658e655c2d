"""Lines, paragraphs and sentences as arrays, held against what looking at each text's lines says, one by one."""

import random
import re
from collections.abc import Sequence

import pytest
from gate_corpus import item

from spark_build.gates.quality import Params, Quality
from spark_build.modalities.text import marks as marks_module
from spark_build.modalities.text import words as words_module
from spark_build.modalities.text.prose import LONGEST_LINE, SHORT_LINE

BULLET = re.compile(r"\s*(?:[•‣◦●▪·]|[-*–]\s)")
SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\W_a-z])|(?<=[。！？])(?=.)")
PUNCTUATION = (*".!?'\"", "…", "。", "！", "？", "؟", "”", "’", "।")
BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")

SIGNS = [*"\n\r\x0b\x85\u2028\xa0\u3000  ", *".!?。！？؟\"'”’»)]“‘([…।•*-–#{", *"abAB1_²\u0130\u01c5\u212a"]
SIGNS += ["...", "\n\n", "\n \n", "\U0001d7d8", "\U00010400", "\ud800", "(" * 10]
SIGNS += ["javascript", "JavaScript", "the"]
PIECES = [
    "He",
    "said",
    "so.",
    '"Stop!"',
    "(and",
    "[Then",
    "left...",
    "»Yes.«",
    "no?)",
    "好。",
    "the",
    "go",
    "- ",
]


def texts_drawn(seed: int) -> list[str]:
    rnd = random.Random(seed)
    texts = []
    for _ in range(400):
        signs = rnd.sample(SIGNS, rnd.choice([3, 8, len(SIGNS)]))
        texts.append("".join(rnd.choices(signs, k=rnd.randrange(rnd.choice([5, 60])))))
        gaps = rnd.choices([" ", " ", " ", " ", "\n", "\r\n", "\n\n", "\n\t\n\n"], k=rnd.randrange(80))
        texts.append("".join(rnd.choice(PIECES) + gap for gap in gaps))
    return texts


@pytest.mark.parametrize("window", [1, 50, 1 << 18])
def test_figures_of_lines_are_those_of_each_line_looked_at(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words_module, "_WINDOW_CHARACTERS", window)
    texts = texts_drawn(window)
    for text, found in zip(texts, Quality(Params()).measure_many([*map(item, texts)]), strict=True):
        expected = {**of_lines(lines_of(text)), **repeated("line", lines_of(text))}
        expected |= repeated("paragraph", [p for p in BLANK_LINES.split(text) if p.strip()])
        expected["stop_words"] = stop_words(text.lower())
        assert {name: found[name] for name in expected} == expected, repr(text)


def test_many_closing_signs_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "So." + ")" * 50 + " " + "(" * 50 + "And so on." + '"' * 3 + "\n" + "]" * 20
    at_once = Quality(Params()).measure(item(text))
    monkeypatch.setattr(marks_module, "_ROUNDS", 1000)
    assert at_once == Quality(Params()).measure(item(text))
    assert at_once["sentences"][4] == 2


def lines_of(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line]


def of_lines(lines: Sequence[str]) -> dict[str, object]:
    total = max(1, len(lines))
    sentences = [0] * (LONGEST_LINE + 1)
    for line in lines:
        if is_terminated(line) and "javascript" not in line.lower():
            sentences[min(LONGEST_LINE, len(line.split()))] += 1 + len(SENTENCE_END.findall(line))
    return {
        "bullet_lines": sum(bool(BULLET.match(line)) for line in lines) / total,
        "ellipsis_lines": sum(line.endswith(("...", "…")) for line in lines) / total,
        "terminal_lines": sum(map(is_terminated, lines)) / total,
        "punctuated_lines": sum(line.endswith(PUNCTUATION) for line in lines) / total,
        "short_lines": sum(len(line) <= SHORT_LINE for line in lines) / total,
        "javascript_lines": sum("javascript" in line.lower() for line in lines) / total,
        "sentences": sentences,
    }


def is_terminated(line: str) -> bool:
    if line.endswith(("...", "…")):
        return False
    return line.endswith(('"', "”")) or line.rstrip("\"'”’»)]").endswith(tuple(".!?。！？؟"))


def repeated(name: str, pieces: Sequence[str]) -> dict[str, float]:
    if len(pieces) < 2:
        pieces = ()
    pieces = [" ".join(piece.split()) for piece in pieces]
    lengths = [len(piece.replace(" ", "")) for piece in pieces]
    again = [piece in pieces[:place] for place, piece in enumerate(pieces)]
    return {
        f"duplicate_{name}s": sum(again) / max(1, len(pieces)),
        f"duplicate_{name}_characters": sum(n for n, is_again in zip(lengths, again, strict=True) if is_again)
        / max(1, sum(lengths)),
    }


def stop_words(text: str) -> int:
    edges = "\"'“”‘’.,;:!?()[]{}<>*_`"
    found = {word.strip(edges) for word in text.split()}
    return len(found & {"the", "be", "to", "of", "and", "that", "have", "with"})
