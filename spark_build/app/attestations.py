"""`spark verify --attestation`: who signed it, and whether the files are those that it names. Asks no network."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.app import Project
from spark_build.app.attesting import MODEL_KEY, MODEL_SIGNATURE, digests_of
from spark_build.app.lineage import meant_by
from spark_build.core.address import Address, typed
from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError, StoreDamaged, Unavailable, Untrusted, UsageError
from spark_build.core.tree import Entry, Tree
from spark_build.core.values import Struct, replace
from spark_build.pinning import LOCK_NAME
from spark_build.report.attested import Checked, FileDifference
from spark_build.report.provenance import PAYLOAD, PREDICATE, STATEMENT
from spark_build.storage.objects import LocalObjects

if TYPE_CHECKING:
    from spark_build.core.signing import PublicKey

Digests = Mapping[str, str]  # 'sha256', 'blake3'


class Claimed(Struct, frozen=True):
    """What a statement says of files."""

    target: str
    stage: str
    artifact: Digests
    files: Mapping[str, Digests]
    byproducts: Mapping[str, str]  # with their SHA-256
    signed_by: str | None

    @classmethod
    def read(cls, payload: bytes, signed_by: str | None) -> "Claimed":
        """Errors: Untrusted where it is no statement of ours."""
        try:
            told = json.loads(payload)
            if (told["_type"], told["predicateType"]) != (STATEMENT, PREDICATE):
                raise Untrusted(f"it is {told['_type']} with {told['predicateType']}, not SLSA provenance")
            (artifact, *files), predicate = told["subject"], told["predicate"]
            named = {str(one["name"]): _digests(one) for one in files}
            if len(named) != len(files):
                raise Untrusted("it names a file twice")
            outer = predicate["buildDefinition"]["externalParameters"]
            besides = predicate["runDetails"]["byproducts"]
            byproducts = {str(one["name"]): str(one["digest"]["sha256"]) for one in besides}
            target, stage = str(outer["target"]), str(outer["stage"])
            return cls(target, stage, _digests(artifact), named, byproducts, signed_by)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Untrusted(f"it holds no statement of spark attest ({type(error).__name__})") from error


def check_attestation(
    file: Path,
    project: Project | None,
    *,
    keys: Sequence["PublicKey"],
    target: str | None = None,
    folder: Path | None = None,
    takes_unsigned: bool = False,
) -> Checked:
    """Against `folder`, else against what the project's store holds of `target`, else of the attested result.

    Errors: UsageError where the file can't be read; SparkError where there is nothing to compare with.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", fix="name a file that spark attest wrote") from None
    bare = Checked(str(file), None, None, None)
    try:
        claimed = _unsigned(data) if takes_unsigned else _signed(data, keys)
    except Untrusted as error:
        return replace(bare, refused=error.message)
    if folder is not None:
        found, compared = _in_folder(claimed, folder, file), str(folder)
    else:
        assert project is not None
        found, compared = _in_store(claimed, project, target), "the store"
    differences = (*found, *_beside(claimed, file))
    checked = Checked(str(file), claimed.target, compared, claimed.signed_by, len(claimed.files), differences)
    return checked if differences else _with_model_signature(checked, claimed, file, project, folder)


def _with_model_signature(
    checked: Checked, claimed: Claimed, attestation: Path, project: Project | None, folder: Path | None
) -> Checked:
    """`model.sig` as well, where it lies beside the statement with the key that this one names."""
    signature, key = (attestation.with_name(name) for name in (MODEL_SIGNATURE, MODEL_KEY))
    if MODEL_KEY not in claimed.byproducts or not (signature.is_file() and key.is_file()):
        return checked
    from spark_build.app.model_signature import why_not_signed
    from spark_build.app.results import view

    if folder is None:
        assert project is not None
        folder = view(project, claimed.artifact["blake3"])
    try:
        problem = why_not_signed(folder, signature, key)
    except Unavailable:
        return replace(checked, model_signature="not checked: it needs pip install 'spark-build[attest]'")
    if problem is None:
        return replace(checked, model_signature="verified")
    differs = FileDifference("signature", MODEL_SIGNATURE, got=problem)
    return replace(checked, model_signature="differs", differences=(differs,))


def _signed(data: bytes, keys: Sequence["PublicKey"]) -> Claimed:
    from spark_build.core.signing import Envelope

    envelope = Envelope.parse(data, "it")
    payload = envelope.opened(PAYLOAD, keys, "it")
    # nothing stands in it that nobody signed
    if len(envelope.signatures) != 1 or data != envelope.to_json() + b"\n":
        raise Untrusted("it is not as spark attest wrote it: something was added or written otherwise")
    return Claimed.read(payload, envelope.signatures[0].keyid)


def _unsigned(data: bytes) -> Claimed:
    return Claimed.read(data, None)


def _digests(descriptor: Any) -> Digests:
    """Those of ours. Errors: KeyError where it has none."""
    return {name: str(descriptor["digest"][name]) for name in ("blake3", "sha256")}


def _in_folder(claimed: Claimed, folder: Path, attestation: Path) -> tuple[FileDifference, ...]:
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", fix="--folder names what spark get has written")
    entries: list[Entry] = []
    found: list[FileDifference] = []
    for path, inside in sorted(_walk(folder)):
        if inside.is_symlink() or not inside.is_file():
            found.append(FileDifference("additional", f"{path} (no plain file)"))
        elif path in claimed.files:
            digests = digests_of(inside)
            stat = inside.stat()
            entries.append(Entry(path, stat.st_size, digests["blake3"], bool(stat.st_mode & 0o100)))
            found += _changed(path, claimed.files[path], digests)
        elif not os.path.samefile(inside, attestation):
            found.append(FileDifference("additional", path))
    here = {entry.path for entry in entries}
    found += [_missing(path, claimed.files[path]) for path in sorted(claimed.files.keys() - here)]
    whole = Tree.of(entries).digest
    if not found and whole != claimed.artifact["blake3"]:  # what is left are sizes and the executable bit
        found.append(FileDifference("mode", claimed.target, _text(claimed.artifact), f"blake3:{whole}"))
    return tuple(found)


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from ((f"{entry.name}/{path}", inside) for path, inside in _walk(Path(entry.path)))
        else:
            yield entry.name, Path(entry.path)


def _in_store(claimed: Claimed, project: Project, target: str | None) -> tuple[FileDifference, ...]:
    """Of a named target what counts for it; else the very result that was attested, and the lock's."""
    wanted = claimed.artifact["blake3"]
    if target is not None:
        output = meant_by(project, target).record.output
        found = [] if output == wanted else [_other("result", target, wanted, output)]
    else:
        output, found = wanted, []
    found += _locked(claimed, project)
    try:
        tree = project.objects.tree(output)
    except KeyError:
        raise SparkError(
            f"{claimed.target}: {output[:12]} is not in the store", fix=f"spark build {typed(claimed.target)}"
        ) from None
    for entry in tree:
        if entry.path not in claimed.files:
            found.append(FileDifference("additional", entry.path))
        elif (digests := _stored(project.objects, entry.digest)) is None:
            found.append(_missing(entry.path, claimed.files[entry.path]))
        else:
            found += _changed(entry.path, claimed.files[entry.path], digests)
    here = {entry.path for entry in tree}
    found += [_missing(path, claimed.files[path]) for path in sorted(claimed.files.keys() - here)]
    return tuple(found)


def _stored(objects: LocalObjects, digest: Digest) -> Digests | None:
    """As the file is now; one that is not what its name says is set aside, so that it is made anew."""
    try:
        found = digests_of(objects.path(digest))
    except FileNotFoundError:
        return None
    if found["blake3"] != digest:
        with suppress(StoreDamaged, KeyError):
            objects.read(digest)
    return found


def _locked(claimed: Claimed, project: Project) -> list[FileDifference]:
    """What the lock says of a tag, or of the stage; nothing where it says nothing."""
    address = Address.parse(claimed.target)
    if address.tag is not None:
        block = project.lock.tag(f"{address.target}@{address.tag}")
    else:
        block = project.lock.get("stages", claimed.stage)
    output, wanted = str((block or {}).get("output", "")), claimed.artifact["blake3"]
    return [_other("lock", LOCK_NAME, wanted, output)] if output and output != wanted else []


def _beside(claimed: Claimed, attestation: Path) -> Iterator[FileDifference]:
    """The BOM and the like, where they lie beside the statement."""
    for name, expected in sorted(claimed.byproducts.items()):
        path = attestation.parent / Path(name).name
        if path.is_file() and (got := hashlib.sha256(path.read_bytes()).hexdigest()) != expected:
            yield FileDifference("byproduct", name, f"sha256:{expected}", f"sha256:{got}")


def _changed(path: str, expected: Digests, got: Digests) -> list[FileDifference]:
    differing = [name for name in ("sha256", "blake3") if expected[name] != got[name]]
    if not differing:
        return []
    name = differing[0]
    return [FileDifference("changed", path, f"{name}:{expected[name]}", f"{name}:{got[name]}")]


def _missing(path: str, expected: Digests) -> FileDifference:
    return FileDifference("missing", path, _text({"sha256": expected["sha256"]}))


def _other(kind: str, what: str, expected: Digest, got: Digest) -> FileDifference:
    return FileDifference(kind, what, f"blake3:{expected}", f"blake3:{got}")


def _text(digests: Digests) -> str:
    name = "blake3" if "blake3" in digests else "sha256"
    return f"{name}:{digests[name]}"
