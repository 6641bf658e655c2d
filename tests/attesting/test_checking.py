"""`spark verify --attestation`: nothing that was changed is taken, and every difference is named."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from spark_build.app.attestations import check_attestation
from spark_build.app.attesting import digests_of
from spark_build.core.digest import canonical_json
from spark_build.core.record import Record
from spark_build.core.signing import PrivateKey
from spark_build.core.tree import Entry, Tree
from spark_build.report.dependencies import Made
from spark_build.report.provenance import PAYLOAD, PREDICATE, STATEMENT, File, statement
from spark_build.report.provenance import Attested as Told
from tests.attesting.conftest import UNSIGNED, Attested
from tests.spark import Folder


def checked(attested: Attested, *words: str, code: int, key: str | None = "") -> dict[str, Any]:
    named = ["--key", key or str(attested.key.public)] if key is not None else []
    file = str(attested.provenance)
    ran = attested.folder.spark("verify", "--attestation", file, "--json", *named, *words, code=code)
    found: dict[str, Any] = json.loads(ran.out)
    assert list(found) == [
        "version", "attestation", "target", "verdict", "signed_by", "compared", "files", "differences", "refused",
        "model_signature",
    ]  # fmt: skip
    return found


@pytest.fixture
def got(attested: Attested, tmp_path: Path) -> Path:
    attested.folder.spark("get", "model:tiny", "--to", str(tmp_path / "got"))
    return tmp_path / "got"


def differences(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["kind"], one["file"]) for one in found["differences"]]


def test_files_of_the_store_and_of_a_folder_are_as_attested(attested: Attested, got: Path) -> None:
    for words in ([], ["model:tiny"], ["--folder", str(got)]):
        found = checked(attested, *words, code=0)
        assert (found["verdict"], found["files"]) == ("equal", 3)
        assert found["signed_by"] == attested.key.public.id


def test_a_folder_is_compared_where_there_is_no_sparkfile(
    attested: Attested, got: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    words = ["verify", "--attestation", str(attested.provenance), "--key", str(attested.key.public)]
    ran = Folder(tmp_path / "empty").spark(*words, "--folder", str(got))
    assert ran.out.startswith("verified  model:tiny: 3 files of ")
    assert ran.out.endswith(f"signed by {attested.key.public.id}; model.sig verified\n")


def test_a_changed_an_added_and_a_missing_file_are_each_named(attested: Attested, got: Path) -> None:
    (got / "model/weights.bin").write_text("others")
    (got / "model/more").write_text("")
    (got / "model/sub/run.sh").unlink()
    (got / "link").symlink_to("training.json")
    found = checked(attested, "--folder", str(got), code=4)
    assert differences(found) == [
        ("additional", "link (no plain file)"),
        ("additional", "model/more"),
        ("changed", "model/weights.bin"),
        ("missing", "model/sub/run.sh"),
    ]
    changed = found["differences"][2]
    assert changed["expected"].startswith("sha256:")
    assert changed["got"] != changed["expected"]


def test_an_executable_that_is_none_any_more_is_a_difference(attested: Attested, got: Path) -> None:
    (got / "model/sub/run.sh").chmod(0o644)
    assert differences(checked(attested, "--folder", str(got), code=4)) == [("mode", "model:tiny")]


def test_an_object_that_was_changed_in_the_store_is_named_and_set_aside(project: Attested) -> None:
    objects = project.folder.path / ".spark/objects"
    wanted = json.loads(project.folder.spark("show", "model:tiny", "--json").out)
    weights = next(f for f in objects.rglob("*") if f.is_file() and f.read_bytes().startswith(b"0.1 ["))
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes().replace(b"0.1", b"0.2"))
    assert differences(checked(project, code=4)) == [("changed", "model/weights.bin")]
    assert differences(checked(project, code=4)) == [("missing", "model/weights.bin")]
    project.folder.build()
    assert checked(project, code=0)["verdict"] == "equal"
    assert json.loads(project.folder.spark("show", "model:tiny", "--json").out) == wanted


def test_a_target_that_was_built_anew_is_not_what_was_attested(project: Attested) -> None:
    project.folder.edit("lr: 0.1", "lr: 0.2")
    project.folder.build()
    found = checked(project, "model:tiny", code=4)
    assert differences(found) == [
        ("result", "model:tiny"),
        ("lock", "Sparkfile.lock"),
        ("changed", "model/weights.bin"),
        ("changed", "training.json"),
    ]
    assert differences(checked(project, code=4)) == [("lock", "Sparkfile.lock")]


def test_a_bom_that_was_changed_beside_it_is_named(attested: Attested) -> None:
    bom = attested.to / "bom.cdx.json"
    bom.write_text(bom.read_text().replace("CC-BY-4.0", "CC0-1.0"))
    assert differences(checked(attested, code=4)) == [("byproduct", "bom.cdx.json")]


def test_no_byte_of_one_can_be_changed(tmp_path: Path) -> None:
    key, got = PrivateKey.new(), tmp_path / "got"
    got.mkdir()
    (got / "x").write_text("x")
    file = tmp_path / "small"
    file.write_bytes(key.sign(PAYLOAD, canonical_json(small_statement(got))).to_json() + b"\n")
    whole, taken = file.read_bytes(), []
    assert check_attestation(file, None, keys=[key.public], folder=got).verdict == "equal"
    for place in range(len(whole)):
        spoiled = bytearray(whole)
        spoiled[place] ^= 0x20 if place % 2 else 1  # of a letter the other case, or a neighbour
        file.write_bytes(spoiled)
        if check_attestation(file, None, keys=[key.public], folder=got).verdict != "refused":
            taken.append(place)
    assert taken == []


def small_statement(folder: Path) -> dict[str, Any]:
    """Of a folder with the file `x` alone, whose Record tells nothing more than it has to."""
    digests = digests_of(folder / "x")
    tree = Tree.of([Entry("x", 1, digests["blake3"])])
    listed = hashlib.sha256(tree.listing).hexdigest()
    began = "2026-11-27T21:27:54+00:00"
    manifest: dict[str, Any] = {"kind": "train", "steps": []}
    record = Record("c" * 64, "c" * 64, "model:x/train", manifest, tree.digest, {}, 1, 1.0, began)
    files = (File("x", 1, **digests),)
    return statement(Told("model:x", files, listed, (Made("model:x/train", record),)), {})


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:-1], lambda b: b + b" ", lambda b: b"", lambda b: b[: len(b) // 2]]
)
def test_a_cut_or_longer_file_is_refused(attested: Attested, spoil: Any) -> None:
    attested.provenance.write_bytes(spoil(attested.provenance.read_bytes()))
    assert checked(attested, code=4)["refused"]


def test_a_signature_beside_the_one_that_counts_is_refused(attested: Attested) -> None:
    told = json.loads(attested.provenance.read_bytes())
    told["signatures"].insert(0, {"keyid": "0" * 16, "sig": "AAAA"})
    attested.provenance.write_bytes(canonical_json(told) + b"\n")
    assert "something was added" in str(checked(attested, code=4)["refused"])


def test_what_somebody_else_signed_is_refused(attested: Attested) -> None:
    found = checked(attested, code=4, key=str(PrivateKey.new().public))
    assert (found["verdict"], found["target"]) == ("refused", None)
    assert attested.key.public.id in found["refused"]


def test_keys_that_the_sparkfile_lists_count_and_others_are_told(project: Attested, tmp_path: Path) -> None:
    listed = f'store: {{keys: ["{project.key.public}"]}}\n'
    project.folder.edit("datasets:\n", listed + "datasets:\n")
    assert checked(project, code=0, key=None)["signed_by"] == project.key.public.id
    project.folder.edit(str(project.key.public), str(PrivateKey.new().public))
    assert checked(project, code=4, key=None)["verdict"] == "refused"
    ran = project.folder.spark("attest", "dataset:notes", "--to", str(tmp_path / "x"))
    assert "which this Sparkfile does not list for 'trusted'" in ran.err


def test_an_unsigned_one_counts_only_where_that_is_asked_for(attested: Attested) -> None:
    attested.folder.spark("attest", "model:tiny", "--no-sign", "--to", str(attested.to))
    words = ["verify", "--attestation", str(attested.to / UNSIGNED)]
    refused = attested.folder.spark(*words, "--key", str(attested.key.public), code=4)
    assert refused.out.startswith("refused")
    taken = attested.folder.spark(*words, "--unsigned")
    assert "UNSIGNED: anybody may have written it" in taken.out


@pytest.mark.parametrize(
    "told",
    [
        b"\xff", b"[]", b"3", b"{}", b"null", b"[" * 100_000, b'{"_type": "https://in-toto.io/Statement/v1"}',
        *(
            json.dumps({"_type": STATEMENT, "predicateType": PREDICATE, "subject": subject, "predicate": predicate})
            .encode()
            for subject in ([], 1, [1], [{}], [{"name": "x", "digest": {"sha256": "0"}}])
            for predicate in ({}, {"runDetails": 1, "buildDefinition": []})
        ),
    ],
)  # fmt: skip
def test_what_is_no_statement_is_refused_in_words(tmp_path: Path, told: bytes) -> None:
    (tmp_path / "told").write_bytes(told)
    found = check_attestation(tmp_path / "told", None, keys=[], folder=tmp_path, takes_unsigned=True)
    assert found.verdict == "refused"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "verify what?"),
        (["model:tiny", "--folder", "x"], "go with --attestation"),
        (["--attestation", "nowhere"], "no key says whose signature counts"),
        (["--attestation", "nowhere", "--unsigned"], "nowhere: No such file"),
        (["--attestation", "x", "--unsigned", "--keep", "y"], "builds nothing"),
        (["--attestation", "x", "--unsigned", "model:tiny", "--folder", "y"], "name one of them"),
        (["--attestation", "x", "--key", "ed25519:AAAA"], "is no public key"),
    ],
)
def test_wrong_usage_is_told(attested_once: Attested, words: list[str], said: str) -> None:
    assert said in attested_once.folder.spark("verify", *words, code=2).err
