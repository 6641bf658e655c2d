"""Bit for bit the same, whoever builds it, where, when and in what locale."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.reproducible.circumstances import ONE, OTHER, Place, another_user, place
from tests.spark import REPOSITORY, WORDS

SPARKFILE = """\
version: 1
project: same
datasets:
  notes:
    source: data
    gates: [near-dup, quality, pii]
    splits: {train: 0.8, test: 0.2}
    card: {license: mit}
  lines:
    source: {use: command, with: {run: "sh list.sh {inputs.raw} {output}", inputs: {raw: data}, tools: [sh]}}
gates:
  near-dup: {use: near_duplicates, with: {threshold: 0.8}}
  quality: {use: quality, with: {rules: [word_count], min_words: 3}}
  pii: {use: pii, with: {action: redact, kinds: [email]}}
recipes:
  tiny:
    use: causal_lm
    with:
      config: {model_type: llama, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2}
      tokenizer: {kind: bpe, vocab_size: 300}
      text: text
      max_length: 32
      max_steps: 3
      batch_size: 2
targets:
  tiny: {recipe: tiny, dataset: notes}
"""
SCRIPT = """\
cd "$1" && for file in *; do printf '%s %s\\n' "$file" "$(date +%Z)"; done > "$2/all.md"; ls -l /dev/null > /dev/null
"""


def files() -> dict[str, str]:
    texts = {
        f"data/{name}{n}.md": f"# {name} {n}\n\nWrite to {name}{n}@example.org of "
        + " ".join(WORDS[(n * 7 + i * (3 + n % 5)) % len(WORDS)] for i in range(30))
        for name in ("note", "Zeta", "äpfel", "éclair", "_under", "日本")
        for n in range(4)
    }
    return {**texts, "Sparkfile.yaml": SPARKFILE, "list.sh": SCRIPT}


@pytest.fixture(scope="module")
def places() -> Iterator[tuple[Place, Place]]:
    with place(ONE, "one") as one, place(replace(OTHER, as_user=another_user()), "another") as other:
        for here in (one, other):
            here.write_all(files())
            here.spark("build")
        yield one, other


def test_all_artifacts_are_equal_under_another_user_zone_locale_umask_and_order(
    places: tuple[Place, Place],
) -> None:
    one, other = places
    outputs = one.outputs()
    assert len(outputs) == 6
    assert outputs == other.outputs()
    locks = [(here.path / "Sparkfile.lock").read_text() for here in places]
    assert locks[0] == locks[1]


def test_verify_says_so(places: tuple[Place, Place]) -> None:
    one, other = places
    assert "verified" in one.spark("verify", "dataset:lines").out
    assert "verified" in other.spark("verify", "dataset:notes").out


QUICKSTART = ("model:python-helper", "model:topic-classifier")


@pytest.mark.long
def test_the_quickstart_verifies_bitwise_in_two_folders(capsys: pytest.CaptureFixture[str]) -> None:
    folder = REPOSITORY / "examples" / "quickstart"
    quickstart = {name: (folder / name).read_text() for name in ("Sparkfile.yaml", "read_docs.py")}
    with place(ONE, "one") as one, place(replace(OTHER, as_user=another_user()), "another") as other:
        outputs = []
        for here in (one, other):
            here.write_all(quickstart)
            here.spark("build", *QUICKSTART)
            outputs.append(here.outputs(*QUICKSTART))
        assert outputs[0] == outputs[1]
        for here in (one, other):
            for target in QUICKSTART:
                told = here.spark("verify", target).out
                with capsys.disabled():
                    print(told)
                assert "close" not in told
                assert f"{target} verified" in told
