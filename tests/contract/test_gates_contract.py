"""What every gate keeps to. The suite finds gates by itself: a file under spark_build/gates is enough."""

import copy
import importlib
import inspect
import json
import pkgutil
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import spark_build.gates
from spark_build.contract import GateParams, Item, ItemGate, JoinGate, RuleParams, Verdict
from spark_build.contract.rules import Gate
from spark_build.core.errors import ItemRejected
from spark_build.core.ports import NoBlobs
from spark_build.gates.near_duplicates import NearDuplicates
from spark_build.stages.item_gate import measured
from spark_build.stages.joining import signatures as signatures_of
from spark_build.stages.loading import without_deciding
from spark_build.stages.narrow import View
from tests.support.other_process import OtherProcess, step_of
from tests.support.rule_runs import write_dataset


def gate_classes() -> list[type[Gate]]:
    found = []
    for module in pkgutil.iter_modules(spark_build.gates.__path__, "spark_build.gates."):
        members = vars(importlib.import_module(module.name)).values()
        found += [
            m for m in members if inspect.isclass(m) and m.__module__ == module.name and issubclass(m, Gate)
        ]
    return sorted(found, key=lambda gate: gate.__name__)


GATES = [g for g in gate_classes() if not inspect.isabstract(g)]
ITEM_GATES = [g for g in GATES if issubclass(g, ItemGate)]
JOIN_GATES = [g for g in GATES if issubclass(g, JoinGate)]

EVERYDAY = (
    "The harbour was quiet that morning, and the boats lay still. Write to ann@example.com "
    "or call +1 212-555-1234, you stupid idiot. # Lorem ipsum { dolor }\n"
    "- a line\n- a line\n\nA paragraph...\n\nA paragraph..."
)
STRANGE = {
    "empty": "",
    "one letter": "a",
    "white space": " \n\t\u00a0\u2003\n",
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea " * 20,
    "zero width": "a\u200bb\u200c@\ufeffexample.com \u200d1\u200b2\u200b3 " * 20,
    "right to left": "\u202eגבגב 123 العربية a@b.de \u202c" * 20,
    "combining": "e" + "\u0301" * 500,
    "lone surrogate": "a \ud83d b 4111 1111 1111 1111",
    "control characters": "a\x00b\x1b[31mc\x85d\u2028e",
    "without spaces": "日本語の文章には空白がありません。" * 30,
    "one long word": "x" * 5_000,
    "digits": "1234567890" * 300,
    "one megabyte": "All work and no play makes Jack a dull boy, number 7. " * 19_000,
}


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained one: what it says does not matter here, that it says it twice does."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, set_seed

    folder = tmp_path_factory.mktemp("classifier") / "model"
    words = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "the", "and", "idiot", "work", "play", "."])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    wrapped.save_pretrained(folder)
    set_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(
        vocab_size=len(words), num_labels=3, problem_type="multi_label_classification", **size
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that a gate may be given beside its own."""
    rows = [{"text": EVERYDAY}, {"text": STRANGE["without spaces"]}, {"text": None}]
    return write_dataset(tmp_path_factory.mktemp("dataset"), {"text": "text"}, test=rows)


@pytest.fixture
def inputs(request: pytest.FixtureRequest) -> Mapping[str, Path]:
    gate: type[Gate] = request.getfixturevalue("gate_class")
    given = {"model": request.getfixturevalue("classifier")} if gate.uses_model else {}
    return given | {name: request.getfixturevalue("dataset") for name in gate.Params.marked("dataset")}


# of params that have no default, and name neither a model nor a dataset
REQUIRED: Mapping[str, Mapping[str, Any]] = {"Language": {"languages": ["en", "de"]}}


def params_of(gate: type[Gate], **more: Any) -> RuleParams:
    """Defaults, and a name for everything that must be named."""
    named = {
        n: f"{kind}:some" for kind in ("model", "dataset") for n in gate.Params.marked(kind) if n not in more
    }
    needed = {n: v for n, v in named.items() if gate.Params.model_fields[n].is_required()}
    return gate.Params(**REQUIRED.get(gate.__name__, {}), **needed, **more)


def blind(gate: type[Gate], inputs: Mapping[str, Path]) -> Any:
    """As the filter stage makes it for `measure` and `signature`: deciding params raise when read."""
    return gate(without_deciding(params_of(gate)), inputs)


def item(text: str, number: int = 0) -> Item:
    return Item(f"id-{number}", "source.txt", "train", {"text": text})


def some_items() -> list[Item]:
    rnd = random.Random(5)
    texts = [" ".join(rnd.choices(EVERYDAY.split(), k=n)) for n in (3, 12, 40, 90, 200)]
    return [item(text, n) for n, text in enumerate([EVERYDAY, *texts, EVERYDAY, ""])]


def strange_views() -> list[View]:
    texts = [text for name, text in STRANGE.items() if name != "one megabyte"]
    return [View(one, ("text",)) for one in (*some_items(), *map(item, texts))]


@pytest.fixture(scope="module")
def other_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherProcess]:
    process = OtherProcess(tmp_path_factory.mktemp("other"))
    yield process
    process.close()


each_gate = pytest.mark.parametrize("gate_class", GATES, ids=lambda g: g.__name__)
each_item_gate = pytest.mark.parametrize("gate_class", ITEM_GATES, ids=lambda g: g.__name__)
each_join_gate = pytest.mark.parametrize("gate_class", JOIN_GATES, ids=lambda g: g.__name__)


def test_the_suite_finds_the_gates() -> None:
    assert {g.__name__ for g in GATES} >= {"NearDuplicates", "Pii", "Quality", "Toxicity"}


# params


@each_gate
def test_every_param_has_a_description(gate_class: type[Gate]) -> None:
    properties = gate_class.Params.model_json_schema()["properties"]
    assert properties, "a gate without params needs no Params"
    assert [name for name, schema in properties.items() if not schema.get("description")] == []


@each_gate
def test_an_unknown_param_is_refused(gate_class: type[Gate]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        params_of(gate_class, treshold=1)


@each_gate
def test_synonyms_lead_to_params_that_exist(gate_class: type[Gate]) -> None:
    known = set(gate_class.Params.model_fields)
    assert set(gate_class.Params.synonyms.values()) <= known
    assert known.isdisjoint(gate_class.Params.synonyms)


@each_gate
def test_default_params_are_json(gate_class: type[Gate]) -> None:
    dumped = params_of(gate_class).model_dump(mode="json")
    assert gate_class.Params(**json.loads(json.dumps(dumped))) == params_of(gate_class)


@each_gate
def test_something_decides(gate_class: type[Gate]) -> None:
    assert gate_class.Params.marked("decides"), "what decides must be changeable without measuring again"


@each_gate
def test_every_gate_takes_an_action_that_is_no_part_of_what_is_measured(gate_class: type[Gate]) -> None:
    assert issubclass(gate_class.Params, GateParams)
    assert "action" in gate_class.Params.marked("decides")
    assert [params_of(gate_class, action=action).action for action in ("drop", "flag", "fail")]


# gates that look at one item


@each_item_gate
def test_measure_reads_nothing_that_decides_and_says_the_same_twice(
    gate_class: type[ItemGate], inputs: Mapping[str, Path]
) -> None:
    gate = blind(gate_class, inputs)
    for one in some_items():
        assert gate.measure(copy.deepcopy(one)) == gate.measure(one)


@each_item_gate
def test_a_deciding_param_is_hidden_from_measure(
    gate_class: type[ItemGate], inputs: Mapping[str, Path]
) -> None:
    gate = blind(gate_class, inputs)
    for name in gate_class.Params.marked("decides"):
        with pytest.raises(AttributeError, match="only decides"):
            getattr(gate.params, name)


@each_item_gate
def test_values_are_the_same_bits_alone_and_in_any_batch(
    gate_class: type[ItemGate], inputs: Mapping[str, Path]
) -> None:
    gate, items = blind(gate_class, inputs), some_items()
    alone = [gate.measure(one) for one in items]
    assert gate.measure_many(items) == alone
    assert gate.measure_many(items[::-1])[::-1] == alone
    assert [value for one in items for value in gate.measure_many([one])] == alone


@each_item_gate
def test_another_process_measures_the_same(
    gate_class: type[ItemGate], inputs: Mapping[str, Path], other_process: OtherProcess
) -> None:
    if gate_class.uses_model:
        pytest.skip("rules with a model stay in one process")
    step, views = step_of(gate_class, params_of(gate_class), inputs), strange_views()
    here = [*measured(step, blind(gate_class, inputs), views, NoBlobs())]
    assert other_process.values(measured, ItemGate, step, views, batch=3) == here


@each_item_gate
def test_what_was_found_survives_json_and_is_decided_the_same(
    gate_class: type[ItemGate], inputs: Mapping[str, Path]
) -> None:
    gate, params = blind(gate_class, inputs), params_of(gate_class)
    for one in some_items():
        found = gate.measure(one)
        remembered = json.loads(json.dumps(found, allow_nan=False))
        assert remembered == found
        assert gate.decide_item(one, remembered, params) == gate.decide_item(one, found, params)


@each_item_gate
def test_decide_is_pure(gate_class: type[ItemGate], inputs: Mapping[str, Path]) -> None:
    gate, params = blind(gate_class, inputs), params_of(gate_class)
    for one in some_items():
        found, same_item = gate.measure(one), copy.deepcopy(one)
        before = copy.deepcopy(found)
        first = gate.decide_item(one, found, params)
        assert (found, one) == (before, same_item), "nothing that it is given changes"
        assert gate.decide_item(one, found, params) == first
        other = gate_class(params, {})  # another instance, without a model: what was found is enough
        assert other.decide_item(one, found, params) == first


@each_item_gate
def test_a_verdict_is_one_that_the_stage_can_keep(
    gate_class: type[ItemGate], inputs: Mapping[str, Path]
) -> None:
    gate, params = blind(gate_class, inputs), params_of(gate_class)
    for one in some_items():
        verdict: Verdict = gate.decide_item(one, gate.measure(one), params)
        assert verdict.action in ("keep", "drop", "replace")
        assert verdict.action == "keep" or verdict.reason == verdict.reason.lower().replace(" ", "_") != ""
        assert (verdict.fields is not None) == (verdict.action == "replace")
        assert set(verdict.fields or ()) <= set(one.fields)


@each_item_gate
@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE.keys())
def test_strange_text_gets_a_verdict(
    gate_class: type[ItemGate], inputs: Mapping[str, Path], text: str
) -> None:
    gate, params = blind(gate_class, inputs), params_of(gate_class)
    started = time.process_time()
    verdict = gate.decide_item(item(text), gate.measure(item(text)), params)
    assert verdict.action in ("keep", "drop", "replace")
    assert time.process_time() - started < (60 if gate_class.uses_model else 5)


@each_item_gate
def test_only_the_fields_that_it_says_are_read(
    gate_class: type[ItemGate], inputs: Mapping[str, Path]
) -> None:
    gate = blind(gate_class, inputs)
    watched = Watched({"text": EVERYDAY, "number": 3.5, "nothing": None})
    gate.measure(Item("1", "s", "train", watched))
    assert watched.read <= set(gate.fields_read(Item("1", "s", "train", dict(watched))))


class Watched(dict[str, Any]):
    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)


# gates that compare items


@each_join_gate
def test_signatures_are_the_same_twice_and_of_one_length(
    gate_class: type[JoinGate], inputs: Mapping[str, Path]
) -> None:
    gate = blind(gate_class, inputs)
    signatures = [gate.signature(one) for one in some_items()]
    assert signatures == [gate.signature(one) for one in some_items()]
    assert len({len(s) for s in signatures}) == 1


@each_join_gate
def test_a_batch_is_signed_as_each_alone(gate_class: type[JoinGate], inputs: Mapping[str, Path]) -> None:
    gate = blind(gate_class, inputs)
    assert gate.signature_many(some_items()) == [gate.signature(one) for one in some_items()]


def test_an_item_of_a_batch_that_cannot_be_signed_costs_the_others_nothing() -> None:
    class Refuses(NearDuplicates):
        def signature_many(self, items: Sequence[Item]) -> list[bytes]:
            if any("bad" in one["text"] for one in items):
                raise ItemRejected("bad_text")
            return super().signature_many(items)

    gate, texts = Refuses(Refuses.Params()), ("one two", "bad", "three")
    views = [View(item(text), ("text",)) for text in texts]
    first, second, third = signatures_of(step_of(Refuses, gate.params, {}), gate, views, NoBlobs())
    assert second == b'!["bad_text", ""]'
    assert [first, third] == [b"=" + gate.signature(item(text)) for text in ("one two", "three")]


@each_join_gate
def test_another_process_gives_the_same_signatures(
    gate_class: type[JoinGate], inputs: Mapping[str, Path], other_process: OtherProcess
) -> None:
    step, views = step_of(gate_class, params_of(gate_class), inputs), strange_views()
    here = [*signatures_of(step, blind(gate_class, inputs), views, NoBlobs())]
    assert other_process.values(signatures_of, JoinGate, step, views) == here


@each_join_gate
def test_candidates_are_ordered_pairs_that_hold_every_identical_pair(
    gate_class: type[JoinGate], inputs: Mapping[str, Path]
) -> None:
    gate, items = blind(gate_class, inputs), some_items()
    pairs = list(gate.candidates([gate.signature(i) for i in items], params_of(gate_class)))
    assert pairs == sorted(set(pairs), key=lambda pair: (pair[1], pair[0]))
    assert all(0 <= i < j < len(items) for i, j in pairs)
    identical = {(i, j) for j in range(len(items)) for i in range(j) if items[i].fields == items[j].fields}
    assert identical <= set(pairs)


@each_join_gate
@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare_gives_no_candidates(
    gate_class: type[JoinGate], inputs: Mapping[str, Path], count: int
) -> None:
    gate = blind(gate_class, inputs)
    assert list(gate.candidates([gate.signature(item("a b c"))] * count, params_of(gate_class))) == []


@each_join_gate
def test_similarity_is_symmetric_and_one_of_identical_items(
    gate_class: type[JoinGate], inputs: Mapping[str, Path]
) -> None:
    gate, items = blind(gate_class, inputs), some_items()
    for first in items:
        assert gate.similarity(first, copy.deepcopy(first)) == 1.0
        for second in items:
            assert 0 <= gate.similarity(first, second) == gate.similarity(second, first) <= 1


@each_join_gate
@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE.keys())
def test_strange_text_is_compared(gate_class: type[JoinGate], inputs: Mapping[str, Path], text: str) -> None:
    gate, params = blind(gate_class, inputs), params_of(gate_class)
    signatures = [gate.signature(item(t)) for t in (EVERYDAY, text, text)]
    assert (1, 2) in set(gate.candidates(signatures, params))
    assert gate.is_similar(gate.similarity(item(text), item(text)), params)


@each_join_gate
def test_pairs_of_items_that_are_gone_are_left_out(
    gate_class: type[JoinGate], inputs: Mapping[str, Path]
) -> None:
    gate, params, kept = blind(gate_class, inputs), params_of(gate_class), [True] * 50
    signatures = [gate.signature(item(EVERYDAY))] * 50
    taken = []
    for i, j in _lazily(gate.candidates(signatures, params, kept.__getitem__)):
        taken.append((i, j))
        kept[j] = False
    assert taken == [(0, j) for j in range(1, 50)]


def _lazily(pairs: Any) -> Iterator[tuple[int, int]]:
    yield from pairs
