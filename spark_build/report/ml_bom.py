"""A CycloneDX ML-BOM: the model with its card, the datasets, base models, libraries and tools that it was made with.

Written as JSON here, since cyclonedx-python-lib has no model cards yet; its schemas check it in the tests.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spark_build import __version__
from spark_build.core.address import kind_of, name_of, stage_name, target_of
from spark_build.core.digest import digest_json
from spark_build.core.errors import Unavailable
from spark_build.report.dependencies import Dependency, Made, dependencies_of, hub_purl
from spark_build.report.provenance import Attested, finished, requirements
from spark_build.report.words import is_set, number, value

SPEC = "1.6"
_DATASET_STAGES = ("version", "filter", "ingest")  # the first that is there stands for the dataset
_HASHES = {"blake3": "BLAKE3", "sha256": "SHA-256"}
Component = dict[str, Any]


def ml_bom(attested: Attested) -> dict[str, Any]:
    """Rests on Records and the result's files alone, as the statement does."""
    main = _main(attested)
    others, edges = _others(attested)
    edges.setdefault(main["bom-ref"], set())
    bom = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "version": 1,
        "metadata": {
            "timestamp": finished(attested.result),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "spark-build", "version": __version__}]},
            "component": main,
        },
        "components": [others[ref] for ref in sorted(others)],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(on)}
            for ref, on in sorted(edges.items())
            if on or ref == main["bom-ref"]
        ],
    }
    return {**bom, "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, digest_json(bom)).urn}


def _main(attested: Attested) -> Component:
    target, result = target_of(attested.result.stage), attested.result
    component = _of_target(target, [*attested.made, *attested.judges], result, attested.digests)
    files = [{"type": "file", "name": f.path, "hashes": _hashes(f.digests)} for f in attested.files]
    card = {"modelCard": _model_card(attested)} if kind_of(target) == "model" else {}
    return {**component, **card, **({"components": files} if files else {})}


def _others(attested: Attested) -> tuple[dict[str, Component], dict[str, set[str]]]:
    """Components by reference, and which of them each is made from."""
    own = target_of(attested.result.stage)
    found: dict[str, Component] = {}
    edges: dict[str, set[str]] = {}
    for one in attested.made:
        target = target_of(one.stage)
        if target != own:
            of_it = [m for m in attested.made if target_of(m.stage) == target]
            found[target] = _of_target(target, [*attested.made, *attested.judges], _last(of_it))
        for dependency in dependencies_of(one, attested.made):
            component = _component(dependency)
            if component is not None:
                found.setdefault(component["bom-ref"], component)
                edges.setdefault(target, set()).add(component["bom-ref"])
            elif dependency.kind == "result" and (before := target_of(dependency.name)) != target:
                edges.setdefault(target, set()).add(before)
    return found, edges


def _last(of_target: Sequence[Made]) -> Made:
    named = {stage_name(one.stage): one for one in of_target}
    return next((named[stage] for stage in _DATASET_STAGES if stage in named), of_target[-1])


def _of_target(
    target: str, known: Sequence[Made], made: Made, digests: Mapping[str, str] | None = None
) -> Component:
    """A dataset or a model of the Sparkfile, with what its card names."""
    is_model = kind_of(target) == "model"
    card = _card([one for one in known if target_of(one.stage) == target])
    component = {
        "type": "machine-learning-model" if is_model else "data",
        "bom-ref": target,
        "name": name_of(target),
        "version": str(card.get("tag") or made.record.output[:16]),
        "description": card.get("description"),
        "licenses": _licenses(card.get("license")),
        "hashes": _hashes(digests or {"blake3": made.record.output}),
        "data": None if is_model else [_data(target, made)],
        "properties": _properties({"key": made.record.key, "stage": made.stage}),
    }
    return {name: told for name, told in component.items() if told}


def _card(of_target: Sequence[Made]) -> dict[str, Any]:
    """What the Sparkfile's card says: of a dataset its version's, of a model what its steps are given."""
    found: dict[str, Any] = {}
    for one in of_target:
        for step in one.steps:
            params = step.get("params", {})
            card = params.get("card") if isinstance(params.get("card"), Mapping) else params
            told = {name: card.get(name) for name in ("license", "description")}
            found |= {name: text for name, text in told.items() if text}
            if one.record.manifest.get("kind") == "version" and params.get("tag"):
                found["tag"] = params["tag"]
    return found


def _data(target: str, made: Made) -> dict[str, Any]:
    figures = {name: number(figure) for name, figure in sorted(made.record.metrics.items())}
    return {
        "type": "dataset",
        "name": name_of(target),
        "contents": {"properties": _properties(figures)},
    }


def _component(dependency: Dependency) -> Component | None:
    """None for what is no component of its own: files of a folder, rules, results of other stages."""
    name, hashes = dependency.name, _hashes(dependency.digest)
    version = str(dependency.more.get("version", ""))
    match dependency.kind:
        case "library":
            told: Component = {"type": "library", "version": version, "purl": dependency.uri}
        case "tool":
            told = {"type": "application", "version": version, "purl": dependency.uri}
        case "hub":
            revision = dependency.digest["gitCommit"]
            purl = {"purl": hub_purl(name, revision)} if dependency.uri else {}
            told = {"type": "machine-learning-model", "version": revision, **purl}
        case "folder":
            told = {"type": "data", "hashes": hashes, "data": [{"type": "dataset", "name": name}]}
        case "code":
            told = {"type": "file", "hashes": hashes}
        case "file" if "listing" in dependency.more:  # an input of its own
            told = {"type": "file", "hashes": hashes}
        case "result" if not dependency.uri:  # brought from outside: no stage of this lineage gave it
            is_model = "model/" in dependency.more.get("parts", {})
            data = {"type": "data", "data": [{"type": "dataset", "name": name}]}
            told = {**({"type": "machine-learning-model"} if is_model else data), "hashes": hashes}
        case _:
            return None
    digest = next(iter(dependency.digest.values()), "")[:16]
    ref = told.get("purl") or f"{dependency.kind}:{name}@{digest}"
    return {"bom-ref": ref, "name": name, **told}


def _model_card(attested: Attested) -> dict[str, Any]:
    result = attested.result
    datasets = sorted({target_of(m.stage) for m in attested.made if kind_of(m.stage) == "dataset"})
    own = [m for m in (*attested.made, *attested.judges) if target_of(m.stage) == target_of(result.stage)]
    judges = [one for one in own if one.record.manifest["kind"] == "eval"]  # an exporter reads its figures
    metrics = [metric for one in judges for metric in _metrics(one)]
    params = {name: value(given) for one in own if one not in judges for name, given in _params(one)}
    required = {
        f"require:{told['metric']}": f"{told['require']} ({'met' if told['met'] else 'not met'})"
        for one in judges
        for told in requirements(one)
    }
    card = {
        "modelParameters": {"datasets": [{"ref": target} for target in datasets]} if datasets else {},
        "quantitativeAnalysis": {"performanceMetrics": metrics} if metrics else {},
        "properties": _properties({**params, **required}),
    }
    return {name: told for name, told in card.items() if told}


def _metrics(judge: Made) -> Iterator[dict[str, str]]:
    """Of an evaluation each figure, and on which rows."""
    data = sorted(
        target_of(given.stage)
        for _, _, given in judge.inputs()
        if given is not None and given.stage is not None and kind_of(given.stage) == "dataset"
    )
    split = judge.record.manifest.get("options", {}).get("split")
    rows = " ".join(str(part) for part in [*dict.fromkeys(data), split] if part)
    name = stage_name(judge.stage).partition("eval.")[2]
    told = ": ".join(filter(None, [name, rows]))
    for metric, figure in sorted(judge.record.metrics.items()):
        yield {"type": metric, "value": number(figure), **({"slice": told} if told else {})}


def _params(one: Made) -> Iterator[tuple[str, Any]]:
    """`train:learning_rate`; of a command its own params stand one level below."""
    stage = stage_name(one.stage)
    for step in one.steps:
        yield f"{stage}:rule", step["rule"]
        given = dict(step.get("params", {}))
        inner = given.pop("params", {}) if isinstance(given.get("params"), Mapping) else {}
        yield from (
            (f"{stage}:{name}", told) for name, told in sorted({**given, **inner}.items()) if is_set(told)
        )


def _licenses(given: Any) -> list[dict[str, Any]]:
    """By SPDX's identifier where it has one."""
    names = [str(one) for one in (given if isinstance(given, list) else [given]) if one]
    if not names:
        return []
    try:
        from cyclonedx.spdx import fixup_id
    except ImportError:
        raise Unavailable(
            "the identifiers of licences come with cyclonedx-python-lib",
            fix="pip install 'spark-build[attest]'",
        ) from None
    found = [(name, fixup_id(name)) for name in names]
    return [{"license": {"id": spdx} if spdx else {"name": name}} for name, spdx in found]


def _hashes(digests: Mapping[str, str]) -> list[dict[str, str]]:
    """Revisions of the hub are git's, and none of the hashes that a BOM knows."""
    return [{"alg": _HASHES[name], "content": text} for name, text in digests.items() if name in _HASHES]


def _properties(told: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": f"spark:{name}", "value": text} for name, text in told.items()]
