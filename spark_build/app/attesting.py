"""`spark attest`: what a result was made from and how it was judged, in the forms that others can check."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.app import Project
from spark_build.app.lineage import Meant, meant_by, readers, tagged
from spark_build.app.overrides import names_of_results
from spark_build.app.results import brought
from spark_build.core.acceptance import accepted_note
from spark_build.core.address import Address, stage_name, target_of, typed
from spark_build.core.digest import Digest, canonical_json
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.record import Record
from spark_build.core.tree import Tree
from spark_build.core.values import Struct, replace
from spark_build.engine.chain import Past
from spark_build.pinning import SOURCE_PIN, import_pin
from spark_build.report.dependencies import Made
from spark_build.report.ml_bom import ml_bom
from spark_build.report.provenance import PAYLOAD, Attested, File, statement

if TYPE_CHECKING:
    from spark_build.core.signing import PrivateKey
    from spark_build.storage.objects import LocalObjects

PROVENANCE, UNSIGNED = "provenance.intoto.jsonl", "provenance.unsigned.json"
BOM, MODEL_SIGNATURE, MODEL_KEY = "bom.cdx.json", "model.sig", "model.pub"
_ALL = (PROVENANCE, UNSIGNED, BOM, MODEL_SIGNATURE, MODEL_KEY)
_CHUNK_BYTES = 8 << 20


class Attestation(Struct, frozen=True):
    """What was written."""

    attested: Attested
    folder: Path
    files: tuple[str, ...]
    signed_by: str | None  # the id of the key


def attest(project: Project, text: str, to: Path | None, key: "PrivateKey | None") -> Attestation:
    """Errors: SparkError where the target is not built, or not in the store."""
    project.look_again()
    if to is not None and to.exists() and not to.is_dir():
        raise UsageError(f"{to} is no folder", fix="--to names a folder; it need not be there yet")
    meant = meant_by(project, text)
    if (kind := meant.record.manifest["kind"]) == "eval":
        raise UsageError(
            f"{text} is an evaluation: its figures are evidence for what it judges",
            fix=f"spark attest {typed(target_of(meant.stage))}",
        )
    attested = _attested(meant, _name(project, meant.stage, Address.parse(text)))
    written = {BOM: _readable(ml_bom(attested))}
    if key is not None and kind in ("train", "package"):
        from spark_build.app.model_signature import model_signed

        written |= model_signed(meant.project, meant.record.output, key, (MODEL_SIGNATURE, MODEL_KEY))
    # an ECDSA signature is never the same twice, and the statement is
    byproducts = {name: data for name, data in written.items() if name != MODEL_SIGNATURE}
    told = statement(attested, {name: hashlib.sha256(data).hexdigest() for name, data in byproducts.items()})
    if key is None:
        written[UNSIGNED] = _readable(told)
    else:
        written[PROVENANCE] = key.sign(PAYLOAD, canonical_json(told)).to_json() + b"\n"
    folder = to if to is not None else Path(f"{_file_name(attested.target)}-attestation")
    _write(folder, written)
    return Attestation(attested, folder, tuple(sorted(written)), key.public.id if key is not None else None)


def files_of(objects: "LocalObjects", tree: Tree) -> tuple[File, ...]:
    """Read, verified, and digested as others do it. Errors: KeyError where one is absent, StoreDamaged."""
    known: dict[Digest, str] = {}
    for entry in tree:
        if entry.digest not in known:
            known[entry.digest] = _sha256(objects, entry.digest)
    return tuple(File(e.path, e.size, known[e.digest], e.digest) for e in tree)


def digests_of(path: str | os.PathLike[str]) -> dict[str, str]:
    """Both digests of a file's content, in one pass."""
    from blake3 import blake3

    ours, theirs = blake3(max_threads=blake3.AUTO), hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            ours.update(chunk)
            theirs.update(chunk)
    return {"blake3": ours.hexdigest(), "sha256": theirs.hexdigest()}


def _sha256(objects: "LocalObjects", digest: Digest) -> str:
    try:
        found = digests_of(objects.path(digest))
    except FileNotFoundError:
        raise KeyError(digest) from None
    if found["blake3"] != digest:
        objects.read(digest)  # sets it aside, and says so
        return _sha256(objects, digest)  # somebody has put a good one there meanwhile
    return found["sha256"]


def _name(project: Project, stage: str, asked: Address) -> str:
    """As it is addressed: with its kind, and without the stage that goes without saying."""
    name = target_of(stage) + (f"@{asked.tag}" if asked.tag else "")
    if not asked.tag and (project.profile or project.sets):
        (name,) = names_of_results(project, [name])
    return name if stage_name(stage) in ("version", "train") else f"{name}/{stage_name(stage)}"


def _attested(meant: Meant, target: str) -> Attested:
    project, record, made = meant.project, meant.record, meant.lineage
    objects = project.objects
    try:
        brought(project, record.output)
        tree = objects.tree(record.output)
        files = files_of(objects, tree)
    except KeyError as error:
        raise SparkError(
            f"{target}: {str(error.args[0])[:12]} is not in the store, so that its files can't be digested",
            fix=f"spark build {typed(target)}",
        ) from None
    own = [_made(meant, stage, of_it) for stage, of_it in made.items()]
    judges = _judges(meant, made)
    return Attested(
        target,
        files,
        hashlib.sha256(tree.listing).hexdigest(),
        (*_behind_tags(project, own), *own),
        tuple(_made(meant, stage, of_it) for stage, of_it in judges.items()),
    )


def _behind_tags(project: Project, own: Sequence[Made]) -> list[Made]:
    """The lineages of tagged results that were read: they are pinned by digest, so no stage leads there."""
    names = {one.stage: one.record.key for one in own}
    found: dict[str, list[Made]] = {}
    waiting = list(own)
    while waiting:
        for told in waiting.pop().outside.values():
            if (tag := told.get("tag")) is not None and tag not in found:
                found[tag] = _behind_tag(project, tag, names)
                waiting += found[tag]
    return [one for made in reversed(found.values()) for one in made]


def _behind_tag(project: Project, tag: str, names: dict[str, Digest]) -> list[Made]:
    """`names`: what other results are called already. Nothing where the store has its Record no more."""
    try:
        meant = tagged(project, Address.parse(tag))
    except SparkError:
        return []
    found = []
    for stage, record in meant.lineage.items():
        is_other = names.setdefault(stage, record.key) != record.key
        called = f"{target_of(stage)}@{record.key[:8]}/{stage_name(stage)}" if is_other else stage
        found.append(replace(_made(meant, stage, record), stage=called, address=stage, behind=tag))
    return found


def _judges(meant: Meant, made: Mapping[str, Record]) -> dict[str, Record]:
    """Evaluations of the result, and what guards the stages that it was made by."""
    graph, past = meant.project.graph, Past(meant.project.records, meant.project.journal)
    guards = {guard for stage in made if stage in graph.nodes for guard in graph.nodes[stage].guards}
    judges = guards.union(graph.evaluations(target_of(meant.stage)))
    wanted = [stage for stage in graph.nodes if stage in judges and stage not in made]
    return readers(meant.project, made, past, wanted, meant.known)


def _made(meant: Meant, stage: str, record: Record) -> Made:
    node = meant.project.graph.nodes.get(stage)
    bare = Made(stage, record, node)
    files = {name: tree for name, digest in record.sources.items() if (tree := _tree(meant, digest))}
    outside = {}
    for name, _, given in bare.inputs():
        if given is not None and given.artifact is not None:
            outside[name] = _pin(meant.project, given.name or "", given.artifact)
            if "tag" not in outside[name] and (tree := _tree(meant, given.artifact)):
                files[name] = tree
    accepted = accepted_note(meant.drift.get(stage, ()))
    is_todays = meant.is_todays and meant.known.get(stage) == record.key and accepted is None
    return Made(stage, record, node, files, outside, accepted, is_todays=is_todays)


def _tree(meant: Meant, digest: Digest) -> Tree | None:
    """None where the store has the listing no more: its digest tells what it was."""
    try:
        return meant.project.objects.tree(digest)
    except KeyError:
        return None


def _pin(project: Project, name: str, artifact: Digest) -> dict[str, Any]:
    """What the lock tells of a result that no stage gives: of a tag, of another project, or brought by a source."""
    lock = project.lock
    if (lock.tag(name) or {}).get("output") == artifact:
        return {"tag": name}
    pin = name if name.startswith(SOURCE_PIN) else import_pin(name)
    block = lock.get("pins", pin) or {}
    told = {"from": block.get("url"), "at": block.get("at")} if block.get("output") == artifact else {}
    return {"pin": pin, **{key: value for key, value in told.items() if value}}


def _file_name(target: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", target).strip("-.")


def _readable(told: Any) -> bytes:
    return (json.dumps(told, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1) + "\n").encode()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Each whole or not at all; what an earlier attestation left beside them goes, since it tells of another one."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _ALL:
        if name not in files:
            (folder / name).unlink(missing_ok=True)
    for name, data in files.items():
        beside = folder / f".{name}.{os.getpid()}"
        beside.write_bytes(data)
        beside.replace(folder / name)
