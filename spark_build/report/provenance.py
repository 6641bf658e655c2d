"""SLSA provenance of a result as an in-toto Statement: its files, all that it was made from, what was measured."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from spark_build import __version__
from spark_build.core.address import target_of
from spark_build.core.digest import Digest
from spark_build.core.undeclared import NOTE, WATCHED
from spark_build.core.values import Struct
from spark_build.report.dependencies import Made, dependencies

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
PAYLOAD = "application/vnd.in-toto+json"
BUILD_TYPE = "urn:spark-build:stages:1"  # docs/provenance.md says what it means
BUILDER = "urn:spark-build:builder"
EVIDENCE = "spark_evidence"  # SLSA names fields of others VENDOR_NAME
_NOTES = ("gates", NOTE, WATCHED, "pickles", "published")  # of a Record, what tells for or against its result


class File(Struct, frozen=True):
    """One of a result's files."""

    path: str
    size: int
    sha256: str
    blake3: Digest

    @property
    def digests(self) -> dict[str, str]:
        return {"blake3": self.blake3, "sha256": self.sha256}


class Attested(Struct, frozen=True):
    """What an attestation tells, before it takes a form."""

    target: str  # 'model:helper@v1'
    files: tuple[File, ...]
    listing_sha256: str  # of the text whose BLAKE3 is the Artifact's digest
    made: tuple[Made, ...]  # in order; the last is the result itself
    judges: tuple[Made, ...] = ()  # evaluations of it, and guards of what it was made from

    @property
    def result(self) -> Made:
        return self.made[-1]

    @property
    def digests(self) -> dict[str, str]:
        return {"blake3": self.result.record.output, "sha256": self.listing_sha256}


def statement(attested: Attested, byproducts: Mapping[str, str]) -> dict[str, Any]:
    """`byproducts`: the files that go with it, with their SHA-256. It rests on Records and these alone."""
    files = [{"name": f.path, "digest": f.digests} for f in attested.files]
    return {
        "_type": STATEMENT,
        "subject": [{"name": attested.target, "digest": attested.digests}, *files],
        "predicateType": PREDICATE,
        "predicate": {"buildDefinition": _definition(attested), "runDetails": _run(attested, byproducts)},
    }


def finite(value: Any) -> Any:
    """JSON has neither NaN nor infinity: they are told in words."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: finite(inner) for name, inner in value.items()}
    return [finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def finished(made: Made) -> str:
    """RFC 3339. A Record's start is known to the second."""
    began = datetime.fromisoformat(made.record.started)
    return _utc(began + timedelta(seconds=math.ceil(made.record.seconds)))


def requirements(made: Made) -> list[dict[str, Any]]:
    """What the Sparkfile requires of the recorded figures, as it stands."""
    figures = made.record.metrics
    return [
        {
            "metric": one.name,
            "require": one.text,
            "figure": figures.get(one.name),
            "met": one.name in figures and one.holds(figures[one.name]),
        }
        for one in (made.node.requires if made.node is not None else ())
    ]


def _definition(attested: Attested) -> dict[str, Any]:
    stages = finite({one.stage: {"steps": _steps(one), **_options(one)} for one in attested.made})
    return {
        "buildType": BUILD_TYPE,
        "externalParameters": {
            "target": attested.target,
            "stage": attested.result.stage,
            "stages": stages,
        },
        "internalParameters": {"stages": {one.stage: _internal(one) for one in attested.made}},
        "resolvedDependencies": dependencies(attested.made),
    }


def _steps(made: Made) -> list[dict[str, Any]]:
    """Rule and params; what they read stands among the dependencies."""
    names = ("rule", "name", "revision", "params", "options")
    return [{name: step[name] for name in names if name in step} for step in made.steps]


def _options(made: Made) -> dict[str, Any]:
    options = made.record.manifest.get("options")
    return {"options": options} if options else {}


def _internal(made: Made) -> dict[str, Any]:
    """What the tool set besides: digests of variables, never their values."""
    manifest = made.record.manifest
    environment = {name: digest for step in made.steps for name, digest in step.get("env", {}).items()}
    told = {
        "kind": manifest.get("kind"),
        "revision": manifest.get("revision"),
        "numerics": manifest.get("numerics"),
        "environment": environment,
    }
    return {name: value for name, value in told.items() if value}


def _run(attested: Attested, byproducts: Mapping[str, str]) -> dict[str, Any]:
    result = attested.result
    record = result.record
    return {
        "builder": {"id": BUILDER, "version": {"spark-build": __version__}},
        "metadata": {
            "invocationId": (record.log or record.key).removesuffix(".log"),
            "startedOn": _utc(datetime.fromisoformat(record.started)),
            "finishedOn": finished(result),
        },
        "byproducts": [
            {"name": name, "digest": {"sha256": digest}} for name, digest in sorted(byproducts.items())
        ],
        EVIDENCE: [
            *(_evidence(one) for one in {(one.stage, one.record.key): one for one in attested.made}.values()),
            *({**_evidence(one), **_judged(one)} for one in attested.judges),
        ],
    }


def _evidence(made: Made) -> dict[str, Any]:
    record = made.record
    told = {
        "startedOn": _utc(datetime.fromisoformat(record.started)),
        "seconds": record.seconds,
        "items": record.items,
        "metrics": record.metrics,
        "requirements": requirements(made),
        **{name: record.notes.get(name) for name in _NOTES},
        "accepted": made.accepted,
    }
    return {
        "stage": made.stage,
        "key": record.key,
        "output": record.output,
        **{name: finite(value) for name, value in told.items() if value not in (None, {}, [], ())},
    }


def _judged(made: Made) -> dict[str, Any]:
    """The result is not made from what judges it, so that this stands among no dependencies."""
    return {
        "judges": target_of(made.stage),
        "steps": finite(_steps(made)),
        **finite(_options(made)),
        "dependencies": dependencies([made]),
    }


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
