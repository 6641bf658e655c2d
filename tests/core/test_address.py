"""Addresses: what parses is written as it was read, whatever stands in a matrix's values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_build.app.addresses import Names
from spark_build.core.address import (
    Address,
    kind_of,
    name_of,
    stage_name,
    tag_of,
    target_of,
    typed,
    without_tag,
)
from spark_build.core.errors import UsageError
from spark_build.engine.graph import Graph, Node
from sparkfile_schema.address import canonical, selector_of

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
params = st.from_regex(r"[A-Za-z_][A-Za-z0-9._-]{0,8}", fullmatch=True)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
stages = st.sampled_from(["train", "version", "ingest", "eval.clean", "package.onnx-2"])
folders = st.sampled_from(["", "asr", "speech/de", "a.b/c-d"])


@st.composite
def addresses(draw: st.DrawFn) -> Address:
    kind = draw(st.sampled_from([None, "dataset", "model", "deployment"]))
    return Address(
        kind,
        draw(names),
        draw(st.none() | names),
        draw(st.none() | stages),
        draw(folders) if kind else "",
        selector_of(draw(st.dictionaries(params, values, max_size=3))),
    )


@given(addresses())
def test_an_address_reads_as_it_is_written(address: Address) -> None:
    assert Address.parse(str(address)) == address


@given(addresses())
def test_an_address_is_one_line_that_hides_nothing(address: Address) -> None:
    assert str(address).isprintable()


@given(addresses().filter(lambda a: a.kind is not None))
def test_the_quick_ways_agree_with_the_grammar(address: Address) -> None:
    stage = address.main_stage
    assert target_of(stage) == address.target
    assert stage_name(stage) == stage[len(address.target) + 1 :]
    assert kind_of(stage) == kind_of(address.target) == address.kind
    assert name_of(address.target) == address.full_name
    tagged = f"{address.target}@v1"
    assert (without_tag(tagged), tag_of(tagged)) == (address.target, "v1")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("model:sweep@seed=1,learning_rate=1e-4", "model:sweep@learning_rate=0.0001,seed=1"),
        ("dataset:calls@lang=de", 'dataset:calls@lang="de"'),
        ("dataset:calls@lang=de@v1/version", 'dataset:calls@lang="de"@v1/version'),
        ("sweep@on=True,off=false,none=~", "sweep@none=null,off=false,on=true"),
        ('asr/model:x@path="a/b,c=d@e f"/train', 'asr/model:x@path="a/b,c=d@e f"/train'),
        ('model:x@text="\\u00e4\\u2028"', 'model:x@text="ä\\u2028"'),
        ("model:x@seed=1@run-3f2a", "model:x@seed=1@run-3f2a"),
        ("model:x@words=two words", 'model:x@words="two words"'),
    ],
)
def test_what_is_typed_becomes_canonical(text: str, meant: str) -> None:
    assert str(Address.parse(text)) == meant


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "model:",
            "model:x@",
            "model:x@a=",
            "model:x@a=1,",
            "model:x@a=1,a=2",
            "model:x@a=b/c/d",
            "a/b/c",
        ),
        *('model:x@a="', 'model:x@a="\\q"', "model:x@a=1@v1@v2", "/model:x", "model:x/", "thing:x"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("word", "as_typed"),
    [
        ("model:x@seed=1/train", "model:x@seed=1/train"),
        ('dataset:calls@lang="de"', "'dataset:calls@lang=\"de\"'"),
        ('dataset:x@a="it\'s"', "'dataset:x@a=\"it'\\''s\"'"),
    ],
)
def test_a_hint_can_be_pasted_into_a_shell(word: str, as_typed: str) -> None:
    assert typed(word) == as_typed


# -- in a graph --------------------------------------------------------------------------------------

STAGES = [
    *(f"model:sweep@learning_rate={lr},seed={seed}/train" for lr in ("0.0001", "0.0002") for seed in (1, 2)),
    *(f'dataset:calls@lang="{lang}"/{stage}' for lang in ("de", "1") for stage in ("ingest", "version")),
    "dataset:calls2/version",
    "model:plain/train",
    "model:plain/eval.clean",
]


@pytest.fixture
def known() -> Names:
    return Names(Graph.of([Node(stage, "train", (), 1) for stage in STAGES]))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("sweep", ["0.0001,seed=1", "0.0001,seed=2", "0.0002,seed=1", "0.0002,seed=2"]),
        ("model:sweep@seed=1", ["0.0001,seed=1", "0.0002,seed=1"]),
        ("model:sweep@seed=1.0,learning_rate=2e-4", ["0.0002,seed=1"]),
    ],
)
def test_a_selector_means_the_members_that_fit(known: Names, text: str, meant: list[str]) -> None:
    assert [a.target for a in known.all(text)] == [f"model:sweep@learning_rate={m}" for m in meant]


def test_a_text_may_be_typed_without_its_quotes(known: Names) -> None:
    assert known.one("calls@lang=de/ingest") == Address.parse('dataset:calls@lang="de"/ingest')
    assert known.one("calls@lang=1").target == 'dataset:calls@lang="1"'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "model:sweep@seed=1",
            "is a matrix, 2 are meant\n  fix: name one: model:sweep@learning_rate=0.0001,seed=1",
        ),
        ("model:sweep@sed=1", "has no 'sed'\n  fix: it has learning_rate, seed"),
        (
            "model:sweep@seed=3",
            "no member of 'model:sweep' is 'model:sweep@seed=3'\n  fix: there are model:sweep@",
        ),
        ("model:plain@seed=1", "'model:plain' has no matrix"),
        ("model:plain/package.onnx", "has no stage 'package.onnx'\n  fix: it has train, eval.clean"),
        ("model:swep", "nothing here is called 'model:swep'\n  fix: did you mean 'model:sweep'"),
        ("dataset:calls", "name one: 'dataset:calls@lang=\"de\"', 'dataset:calls@lang=\"1\"'"),
    ],
)
def test_one_is_asked_for_and_none_or_several_are_found(known: Names, text: str, problem: str) -> None:
    with pytest.raises(UsageError) as told:
        known.one(text)
    assert problem in str(told.value)


def test_values_that_are_alike_stay_apart() -> None:
    assert canonical(1) != canonical("1") != canonical(True)
