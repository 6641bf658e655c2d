"""What every transform promises; finds the transforms by itself, and asks for a case of each."""

import copy
import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from openai_double import openai_double
from pydantic import ValidationError

import spark_build.transforms
from spark_build.contract import AskingTransform, Item, Media, Transform
from spark_build.core.digest import canonical_json, digest_file
from spark_build.core.errors import ItemRejected
from spark_build.core.ports import NoBlobs
from spark_build.core.values import replace
from spark_build.stages.loading import without_deciding
from spark_build.stages.narrow import View
from spark_build.stages.transforming import applied as made_of
from tests.golden.data_cases import context
from tests.support.other_process import OtherProcess, step_of

# name -> params of several uses
CASES: dict[str, list[dict[str, Any]]] = {
    "augment": [{"copies": 2, "flip": 0.5, "snr": 20}],
    "caption": [{"model": "m"}, {"model": "m", "frames": 3, "shots": "frames"}],
    "chunk": [{"words": 5, "stride": 2}, {"tokens": 8}, {"characters": 10, "stride": 3, "min": 2}],
    "clean_html": [{}, {"field": "text", "to": "plain", "whole_page": True}],
    # items without media pass them; tests/transforms/test_media_transforms.py has the others
    "convert_image": [{}, {"format": "png", "size": [8, 8], "fit": "cover"}],
    "extract_audio": [{"rate": 16_000, "channels": 1}],
    "generate": [
        {"model": "m", "prompt": "{text} {label}"},
        {"model": "m", "prompt": "{n} {any}", "answer": "number", "raw": "said"},
        {"model": "m", "prompt": "{text}", "chat": False, "answer": "json", "key": "a.b"},
    ],
    "frames": [{"every": 1.0}, {"count": 3}, {"keyframes": True}],
    "render_text": [{"width": 200, "height": 100}, {"pages": "first", "text": "none", "missing": 1.0}],
    "resample": [{}],
    "transcribe": [{"model": "m"}, {"model": "m", "segments": "parts", "silent": True}],
    "strip_exif": [{}],
    "normalize_text": [{}, {"fields": ["text"], "unicode": "NFKC", "whitespace": "collapse", "quotes": True}],
    "template": [
        {"prompt": "{label}: {n}", "completion": "{text}"},
        {"prompt": "{txt}", "completion": "{text}"},
        {"form": "messages", "to": "sharegpt"},
    ],
}
TEXTS = {
    "plain": "The quick brown fox jumps over the lazy dog. It does so every day, come rain or shine.",
    "empty": "",
    "blank": " \n\t ",
    "emoji": "👩‍👩‍👧‍👦 families 🏳️‍🌈 and flags 🇩🇪🇫🇷 " * 4,
    "zero width": "a\u200bb\u200cc\u200d\ufeff" * 10,
    "right to left": "שלום עולם, مرحبا بالعالم " * 5,
    "combining": "e\u0301" * 40,
    "one word": "x" * 500,
}


def transforms() -> Iterator[Any]:
    for module in pkgutil.iter_modules(spark_build.transforms.__path__):
        if module.name.startswith("_"):
            continue
        loaded = importlib.import_module(f"spark_build.transforms.{module.name}")
        for value in vars(loaded).values():
            if (
                inspect.isclass(value)
                and issubclass(value, Transform)
                and value.__module__ == loaded.__name__
            ):
                for params in CASES.get(module.name, [{}]):
                    yield pytest.param(module.name, value, params, id=f"{module.name}-{'-'.join(params)}")


every_transform = pytest.mark.parametrize(("name", "transform", "params"), list(transforms()))
every_text = pytest.mark.parametrize("text", list(TEXTS.values()), ids=list(TEXTS))


@cache
def endpoint() -> str:
    """Of a server that answers until the tests are over."""
    return openai_double().__enter__().url


def rule_of(transform: type[Transform], params: dict[str, Any]) -> Transform:
    asks = {"endpoint": endpoint()} if "endpoint" in transform.Params.model_fields else {}
    return transform(transform.Params(**params, **asks))


def item(text: str) -> Item:
    return Item(
        "id", "a.txt", "train", {"text": text, "label": "a", "n": 1.0, "any": {"b": [1, 2]}}, {"m": 1}
    )


def applied(rule: Transform, one: Item) -> list[Mapping[str, Any]] | str:
    """What comes out, or the reason of the refusal."""
    try:
        if isinstance(rule, AskingTransform):
            return list(rule.becomes(one, asked(rule, one), rule.params))
        return [{name: kept(value) for name, value in fields.items()} for fields in rule.apply(one)]
    except ItemRejected as rejected:
        return rejected.reason


def kept(value: Any) -> Any:
    """Media as the runner keeps it: by content."""
    return replace(value, digest=digest_file(value.path)).reference() if isinstance(value, Media) else value


def asked(rule: AskingTransform, one: Item) -> Any:
    blind = type(rule)(without_deciding(rule.params))
    with TemporaryDirectory() as folder:
        ((number, found),) = blind.ask([one], context(Path(folder), {}))
    assert number == 0
    if isinstance(found, ItemRejected):
        raise found
    return json.loads(canonical_json(found))


@every_transform
def test_every_transform_has_a_case_here(
    name: str, transform: type[Transform], params: dict[str, Any]
) -> None:
    assert name in CASES


@every_transform
@every_text
def test_any_text_is_handled_the_same_twice(
    name: str, transform: type[Transform], params: dict[str, Any], text: str
) -> None:
    first = applied(rule_of(transform, params), item(text))
    assert first == applied(rule_of(transform, params), item(text))


@every_transform
@every_text
def test_it_reads_no_more_than_it_says(
    name: str, transform: type[Transform], params: dict[str, Any], text: str
) -> None:
    """The memo's key covers the fields that it names, and neither id, source, split nor meta."""
    rule, whole = rule_of(transform, params), item(text)
    names = rule.fields_read(whole)
    assert set(names) <= set(whole.fields)
    narrow = Item("", "", "", {n: whole.fields[n] for n in names})
    assert applied(rule, whole) == applied(rule, narrow)


@every_transform
@every_text
def test_what_comes_out_survives_json(
    name: str, transform: type[Transform], params: dict[str, Any], text: str
) -> None:
    found = applied(rule_of(transform, params), item(text))
    assert json.loads(canonical_json(found)) == found


@every_transform
def test_another_process_makes_the_same(
    name: str, transform: type[Transform], params: dict[str, Any], other_process: OtherProcess
) -> None:
    rule = rule_of(transform, params)
    if isinstance(rule, AskingTransform) or rule.uses_model_of(rule.params):
        pytest.skip("it stays in one process")
    step = step_of(transform, rule.params)
    views = [View(one, rule.fields_read(one)) for one in map(item, TEXTS.values())]
    # media that a rule makes are new files each time; the stage's own tests compare what becomes of them
    if any("$media" in str(applied(rule, view.item)) for view in views):
        pytest.skip("it makes media")
    here = [*made_of(step, rule, views, NoBlobs())]
    assert other_process.values(made_of, Transform, step, views) == here


@pytest.fixture(scope="module")
def other_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherProcess]:
    process = OtherProcess(tmp_path_factory.mktemp("other"))
    yield process
    process.close()


@every_transform
def test_the_item_is_left_as_it_was(name: str, transform: type[Transform], params: dict[str, Any]) -> None:
    one = item(TEXTS["plain"])
    before = copy.deepcopy(one)
    applied(rule_of(transform, params), one)
    assert one == before


@every_transform
def test_a_megabyte_is_handled_in_seconds(
    name: str, transform: type[Transform], params: dict[str, Any]
) -> None:
    import time

    started = time.process_time()
    applied(rule_of(transform, params), item(TEXTS["plain"] * 12_000))
    assert time.process_time() - started < 10


@every_transform
def test_every_param_is_described_and_unknown_ones_are_refused(
    name: str, transform: type[Transform], params: dict[str, Any]
) -> None:
    properties = transform.Params.model_json_schema()["properties"]
    assert [field for field, schema in properties.items() if not schema.get("description")] == []
    with pytest.raises(ValidationError, match="not_a_param"):
        transform.Params(**params, not_a_param=1)
