"""The statement of `spark attest`: in-toto's form, SLSA's predicate, and nothing left out that a Record holds."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from spark_build.core.signing import Envelope
from tests.attesting.conftest import TRAIN, UNSIGNED, Attested
from tests.spark import Folder


def told(attested: Attested) -> dict[str, Any]:
    envelope = Envelope.parse(attested.provenance.read_bytes())
    payload = envelope.opened("application/vnd.in-toto+json", [attested.key.public])
    found: dict[str, Any] = json.loads(payload)
    return found


def records(folder: Folder, *stages: str) -> Iterator[dict[str, Any]]:
    for file in (folder.path / ".spark/records").rglob("*.json"):
        record = json.loads(file.read_text())
        if record["stage"] in stages:
            yield record


MADE = ("dataset:notes/ingest", "dataset:notes/filter", "dataset:notes/version", "model:tiny/train")


def test_it_is_what_the_schemas_of_in_toto_and_slsa_say(attested: Attested) -> None:
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement, statement_pb2

    whole = told(attested)
    read = json_format.ParseDict(whole, statement_pb2.Statement())
    statement.Statement.copy_from_pb(read).validate()
    assert whole["predicate"]["runDetails"].pop("spark_evidence")  # the one field beyond SLSA's
    predicate = json_format.ParseDict(whole["predicate"], provenance_pb2.Provenance())
    assert predicate.build_definition.build_type == "urn:spark-build:stages:1"
    assert predicate.run_details.metadata.started_on.seconds > 0
    everything = predicate.build_definition.resolved_dependencies
    assert all(d.uri or d.digest for d in everything)  # SLSA: at least one of uri, digest, content


def test_another_implementation_of_dsse_takes_its_signature(attested: Attested) -> None:
    from securesystemslib.dsse import Envelope as Theirs
    from securesystemslib.signer import SSlibKey

    key = attested.key.public
    public = SSlibKey(key.id, "ed25519", "ed25519", {"public": key.raw.hex()})
    envelope = Theirs.from_dict(json.loads(attested.provenance.read_bytes()))
    assert list(envelope.verify([public], 1)) == [key.id]


def test_its_subjects_are_the_files_that_a_user_gets(attested: Attested, tmp_path: Path) -> None:
    attested.folder.spark("get", "model:tiny", "--to", str(tmp_path / "got"))
    files = {p.relative_to(tmp_path / "got"): p for p in (tmp_path / "got").rglob("*") if p.is_file()}
    digests = {
        path.as_posix(): {
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "blake3": blake3(file.read_bytes()).hexdigest(),
        }
        for path, file in files.items()
    }
    (artifact, *subjects) = told(attested)["subject"]
    assert {one["name"]: one["digest"] for one in subjects} == digests
    assert artifact["name"] == "model:tiny"
    (record,) = records(attested.folder, "model:tiny/train")
    assert artifact["digest"]["blake3"] == record["output"]


def test_every_digest_that_the_lineages_records_hold_is_in_it(attested: Attested) -> None:
    text = json.dumps(told(attested))
    for record in records(attested.folder, *MADE):
        manifest = json.dumps(record["manifest"])
        assert [d for d in re.findall(r"[0-9a-f]{40,64}", manifest) if d not in text] == []
        assert record["output"] in text
        assert record["key"] in text


def test_every_file_of_a_source_and_every_library_is_among_the_dependencies(attested: Attested) -> None:
    found = told(attested)["predicate"]["buildDefinition"]["resolvedDependencies"]
    by_name = {one["name"]: one for one in found}
    for file in (attested.folder.path / "data").iterdir():
        assert by_name[f"data/{file.name}"]["digest"] == {"blake3": blake3(file.read_bytes()).hexdigest()}
    wanted = {f"pkg:pypi/{n}@{v}" for r in records(attested.folder, *MADE) for n, v in r["libraries"].items()}
    assert wanted <= {one.get("uri") for one in found}
    code = blake3((attested.folder.path / "train.py").read_bytes()).hexdigest()
    assert by_name["train.py"]["digest"] == {"blake3": code}
    assert by_name["python3"]["annotations"]["version"].startswith("Python 3")
    assert by_name["rule limits"]["uri"] == "urn:spark-build:rule:limits:1"


def test_params_numerics_and_variables_stand_where_slsa_wants_them(attested: Attested) -> None:
    definition = told(attested)["predicate"]["buildDefinition"]
    (step,) = definition["externalParameters"]["stages"]["model:tiny/train"]["steps"]
    assert step["params"]["params"] == {"lr": 0.1}
    own = definition["internalParameters"]["stages"]["model:tiny/train"]
    assert own["numerics"]["threads"] == 1
    assert own["environment"] == {"SPEED": blake3(b"7").hexdigest()}  # never the value


def test_figures_gates_and_requirements_are_its_evidence(attested: Attested) -> None:
    evidence = {e["stage"]: e for e in told(attested)["predicate"]["runDetails"]["spark_evidence"]}
    assert list(evidence) == [*MADE, "model:tiny/eval"]
    assert evidence["dataset:notes/filter"]["gates"]["limits"]["reasons"] == {"below_min_characters": 1}
    (required,) = evidence["dataset:notes/version"]["requirements"]
    assert required == {"metric": "items", "require": "> 3", "figure": 8.0, "met": True}
    judged = evidence["model:tiny/eval"]
    assert judged["metrics"] == {"near": 0.5}
    assert judged["judges"] == "model:tiny"
    assert "score.py" in [one["name"] for one in judged["dependencies"]]


def test_a_model_made_of_another_tells_of_both(attested: Attested, tmp_path: Path) -> None:
    whole = attested.statement("model:next", tmp_path / "next")
    assert [e["stage"] for e in whole["predicate"]["runDetails"]["spark_evidence"]] == [
        *MADE,
        "model:next/train",
        "model:tiny/eval",  # its `require` guards what is made of it
    ]
    names = [one["name"] for one in whole["predicate"]["buildDefinition"]["resolvedDependencies"]]
    assert "model:tiny/train" in names
    assert "data/doc0003.md" in names


def test_what_was_made_of_a_tagged_result_tells_the_story_behind_the_tag_too(
    project: Attested, tmp_path: Path
) -> None:
    folder = project.folder
    folder.spark("tag", "model:tiny@first")
    folder.edit("lr: 0.1", "lr: 0.2")
    folder.edit('base: "model:tiny", recipe', 'base: "model:tiny@first", recipe')
    folder.edit(
        'run: "cp -r {inputs.base}/. {output}"',
        'run: "cp -r {inputs.base}/. {output}; cp -r {inputs.m} {output}/m", inputs: {m: "model:tiny"}',
    )
    folder.build()
    whole = project.statement("model:next", tmp_path / "x")
    definition = whole["predicate"]["buildDefinition"]
    stages = definition["externalParameters"]["stages"]
    tiny = [name for name in stages if name.startswith("model:tiny")]
    lr = {name: stages[name]["steps"][0]["params"]["params"]["lr"] for name in tiny}
    assert sorted(lr.values()) == [0.1, 0.2]
    assert lr["model:tiny/train"] == 0.2
    results = {
        d["name"]: d for d in definition["resolvedDependencies"] if d["annotations"]["kind"] == "result"
    }
    (behind,) = set(tiny) - {"model:tiny/train"}
    assert results[behind]["annotations"]["tag"] == "model:tiny@first"
    evidence = [one["stage"] for one in whole["predicate"]["runDetails"]["spark_evidence"]]
    assert len(evidence) == len(set(evidence))
    edges = {
        e["ref"]: e["dependsOn"]
        for e in json.loads((tmp_path / "x/bom.cdx.json").read_text())["dependencies"]
    }
    assert edges["model:next"] == ["model:tiny", behind.removesuffix("/train")]


def test_the_same_records_give_the_same_bytes_at_another_place_and_without_any_index(
    project: Attested, tmp_path: Path
) -> None:
    for index in (project.folder.path / ".spark").glob("state.db*"):
        if index.is_file():
            index.unlink()
    project.folder.spark("attest", "tiny", "--to", str(tmp_path / "again"))
    for name in ("provenance.intoto.jsonl", "bom.cdx.json", "model.pub"):
        assert (tmp_path / "again" / name).read_bytes() == (project.to / name).read_bytes()


def test_a_tagged_result_tells_its_own_story_when_the_sparkfile_has_moved_on(
    project: Attested, tmp_path: Path
) -> None:
    folder = project.folder
    folder.spark("tag", "model:tiny@first")
    folder.edit("lr: 0.1", "lr: 0.2")
    folder.write("data/more.md", "One more note that is long enough to stay.")
    folder.build()
    then, now = (project.statement(t, tmp_path / t[-5:]) for t in ("model:tiny@first", "model:tiny"))
    assert then["subject"][0]["name"] == "model:tiny@first"
    lr = [
        one["predicate"]["buildDefinition"]["externalParameters"]["stages"]["model:tiny/train"]["steps"][0][
            "params"
        ]["params"]["lr"]
        for one in (then, now)
    ]
    assert lr == [0.1, 0.2]
    folders = [
        one
        for told_then in (then, now)
        for one in told_then["predicate"]["buildDefinition"]["resolvedDependencies"]
        if one["name"] == "data"
    ]
    assert [one["annotations"].get("named") for one in folders] == ["as the Sparkfile stands now", None]
    assert "data/more.md" not in json.dumps(then)
    assert "data/more.md" in json.dumps(now)


def test_without_a_key_it_says_loudly_that_it_is_unsigned(attested: Attested, tmp_path: Path) -> None:
    bare = Folder(
        attested.folder.path, {"XDG_CONFIG_HOME": str(tmp_path), "SPEED": "7", "SPARK_SIGNING_KEY": ""}
    )
    to = tmp_path / "told"
    ran = bare.spark("attest", "model:tiny", "--to", str(to))
    assert ran.err.startswith("UNSIGNED: anybody could have written this")
    assert sorted(p.name for p in to.iterdir()) == ["bom.cdx.json", "provenance.unsigned.json"]
    file = tmp_path / "file"
    file.write_text("")
    assert "is no folder" in bare.spark("attest", "tiny", "--to", str(file), code=2).err
    assert "there is no key to sign with" in bare.spark("attest", "tiny", "--sign", code=2).err


def test_an_older_attestation_beside_it_goes(attested: Attested) -> None:
    attested.folder.spark("attest", "model:tiny", "--no-sign", "--to", str(attested.to))
    assert sorted(p.name for p in attested.to.iterdir()) == ["bom.cdx.json", "provenance.unsigned.json"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["model:tiny", "--set", "targets.tiny.recipe.with.params.lr=9"], 1, "is not built as the Sparkfile"),
        (["model:tiny/eval"], 2, "its figures are evidence for what it judges"),
        (["model:nobody"], 2, "nobody"),
    ],
)
def test_what_cant_be_attested_is_refused(
    attested: Attested, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    ran = attested.folder.spark("attest", *words, "--to", str(tmp_path / "x"), code=code)
    assert said in ran.err
    assert not (tmp_path / "x").exists()


def test_what_overrides_gave_is_called_as_it_is_addressed(project: Attested, tmp_path: Path) -> None:
    words = ["--set", "targets.tiny.recipe.with.params.lr=9"]
    project.folder.build(*words, "model:tiny")
    project.folder.spark("attest", "model:tiny", *words, "--no-sign", "--to", str(tmp_path / "x"))
    name = json.loads((tmp_path / "x" / UNSIGNED).read_text())["subject"][0]["name"]
    assert name.startswith("model:tiny@run-")
    assert project.statement(name, tmp_path / "y")["subject"][0]["name"] == name


def test_an_exporters_result_tells_of_training_and_evaluation_too(project: Attested, tmp_path: Path) -> None:
    run = 'package: [{use: command, with: {run: "cp {inputs.model}/weights.bin {output}/w"}}]'
    project.folder.edit("    eval: {", f"    {run}\n    eval: {{")
    project.folder.build("model:tiny")
    whole = project.statement("model:tiny/package.command", tmp_path / "x")
    evidence = [one["stage"] for one in whole["predicate"]["runDetails"]["spark_evidence"]]
    assert evidence == [*MADE, "model:tiny/eval", "model:tiny/package.command"]
    assert whole["subject"][0]["name"] == "model:tiny/package.command"
    card = json.loads((tmp_path / "x/bom.cdx.json").read_text())["metadata"]["component"]["modelCard"]
    assert "spark:train:lr" in {one["name"] for one in card["properties"]}
    assert card["quantitativeAnalysis"]["performanceMetrics"][0]["value"] == "0.5"


def test_an_accepted_result_says_so_with_its_reason(project: Attested, tmp_path: Path) -> None:
    project.folder.write("train.py", TRAIN + "# a comment\n")
    project.folder.spark("accept", "model:tiny/train", "--reason", "a comment alone")
    project.folder.build()
    evidence = project.statement("tiny", tmp_path / "x")["predicate"]["runDetails"]["spark_evidence"]
    (of_it,) = [one for one in evidence if one["stage"] == "model:tiny/train"]
    assert of_it["accepted"].endswith("a comment alone")


def test_what_a_stage_read_undeclared_is_told(project: Attested, tmp_path: Path) -> None:
    project.folder.write("hidden.csv", "1")
    project.folder.write("train.py", TRAIN + "open('hidden' + '.csv').read()\n")
    project.folder.build()
    evidence = project.statement("tiny", tmp_path / "x")["predicate"]["runDetails"]["spark_evidence"]
    (of_it,) = [one for one in evidence if one["stage"] == "model:tiny/train"]
    assert of_it["undeclared"]["files"] == ["hidden.csv"]


def test_evaluations_are_found_where_the_journal_is_gone(project: Attested, tmp_path: Path) -> None:
    before = project.statement("tiny", tmp_path / "x")
    shutil.rmtree(project.folder.path / ".spark/builds")
    assert project.statement("tiny", tmp_path / "y") == before


def test_a_result_that_is_not_in_the_store_is_refused(project: Attested, tmp_path: Path) -> None:
    (record,) = records(project.folder, "model:tiny/train")
    output = record["output"]
    listing = json.loads((project.folder.path / ".spark/objects" / output[:2] / output[2:]).read_text())
    gone = listing[0][2]
    (project.folder.path / ".spark/objects" / gone[:2] / gone[2:]).unlink()
    ran = project.folder.spark("attest", "tiny", "--no-sign", "--to", str(tmp_path / "x"), code=1)
    assert "fix: spark build" in ran.err


@pytest.mark.parametrize(
    ("lacking", "words", "said"),
    [
        ("cyclonedx", ["--no-sign"], "identifiers of licences come with cyclonedx-python-lib"),
        ("OpenSSL", [], "needs model_signing (OpenSSL is not installed)"),
    ],
)
def test_what_is_not_installed_is_named_and_nothing_is_written(
    attested: Attested, tmp_path: Path, lacking: str, words: list[str], said: str
) -> None:
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / f"{lacking}.py").write_text(f"raise ImportError(name={lacking!r})")
    folder = Folder(attested.folder.path, {**attested.folder.env, "PYTHONPATH": str(tmp_path / "lacking")})
    ran = folder.spark("attest", "tiny", *words, "--to", str(tmp_path / "x"), code=1)
    assert said in ran.err
    assert "pip install 'spark-build[attest]'" in ran.err
    assert not (tmp_path / "x").exists()


def test_json_says_what_was_written(attested: Attested, tmp_path: Path) -> None:
    ran = attested.folder.spark("attest", "tiny", "--json", "--to", str(tmp_path / "x"))
    (record,) = records(attested.folder, "model:tiny/train")
    assert json.loads(ran.out) == {
        "version": 1,
        "target": "model:tiny",
        "output": record["output"],
        "folder": str(tmp_path / "x"),
        "files": ["bom.cdx.json", "model.pub", "model.sig", "provenance.intoto.jsonl"],
        "signed_by": attested.key.public.id,
    }
