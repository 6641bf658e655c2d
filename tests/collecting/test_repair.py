"""`spark store check --repair`: what is damaged is healed where that can be, and told where it can't."""

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from spark_build.core.digest import digest_file
from spark_build.storage.records import read_record
from tests.seeds import seed
from tests.spark import Folder, Ran, documents

SEED = seed("SPARK_FLIP_SEED")
SPARKFILE = """\
datasets:
  notes: {source: data, gates: [q]}
gates:
  q: {use: quality, with: {rules: [word_count], min_words: 1}}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, dict[str, str]]:
    folder = Folder(tmp_path_factory.mktemp("built") / "project")
    folder.path.mkdir()
    folder.sparkfile(SPARKFILE)
    documents(folder, 12)
    return folder, folder.build().outputs


@pytest.fixture
def project(built: tuple[Folder, dict[str, str]], tmp_path: Path) -> Folder:
    shutil.copytree(built[0].path, tmp_path / "project", copy_function=shutil.copy2)
    return Folder(tmp_path / "project")


def flip(file: Path, chance: random.Random) -> None:
    content, stat = bytearray(file.read_bytes()), file.stat()
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.chmod(0o644)
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def files(project: Folder, kind: str) -> list[Path]:
    return sorted(p for p in (project.path / ".spark" / kind).rglob("*") if p.is_file())


def findings(ran: Ran) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ran.out)["findings"]
    return found


@pytest.mark.parametrize("kind", ["objects", "records", "memo"])
def test_what_today_builds_is_healed_and_comes_out_the_same(
    project: Folder, built: tuple[Folder, dict[str, str]], kind: str
) -> None:
    print(f"SPARK_FLIP_SEED={SEED}")
    chance = random.Random(SEED)
    damaged = chance.sample(files(project, kind), 2)
    before = {file: digest_file(file) for file in files(project, "objects")}
    for file in damaged:
        flip(file, chance)
    told = findings(project.spark("store", "check", "--repair", "--json"))
    assert len([f for f in told if f["kind"] != "absent"]) == 2
    assert all(f["healed"] for f in told if f["kind"] != "absent"), told
    assert {file: digest_file(file) for file in files(project, "objects")} == before
    assert "nothing is damaged" in project.spark("store", "check").out
    again = project.build()
    assert again.outputs == built[1]
    assert again.ran == set()


def test_a_listing_of_what_was_read_is_made_anew_where_the_source_stands_as_it_was(project: Folder) -> None:
    (record,) = (r for r in map(read_record, map(str, files(project, "records"))) if r and r.sources)
    (digest,) = record.sources.values()
    (listing,) = (f for f in files(project, "objects") if digest_file(f) == digest)
    chance = random.Random(SEED)
    flip(listing, chance)
    ran = project.spark("store", "check", "--repair")
    assert "(of dataset:notes/ingest)" in ran.out
    assert "listed again" in ran.out
    assert digest_file(listing) == digest
    flip(listing, chance)
    documents(project, 1, start=12)
    ran = project.spark("store", "check", "--repair", code=4)
    assert "1 damaged, 0 healed" in ran.out
    assert "it lists what was read, for spark why" in ran.out
    assert "lists a source again that stands as it was read" in ran.out


def test_what_no_build_of_today_makes_is_told_with_what_can_be_done(project: Folder) -> None:
    old = set(files(project, "objects"))
    documents(project, 1, start=12)
    project.build()
    project.sparkfile("datasets:\n  other: {source: data}\n")
    chance = random.Random(SEED)
    for file in old:
        flip(file, chance)
    ran = project.spark("store", "check", "--repair", code=4)
    assert f"{len(old)} damaged, " in ran.out
    assert "spark build dataset:notes at the commit whose lock names it" in ran.out
    assert "(of dataset:notes/" in ran.out
    ran = project.spark("store", "check")
    assert "nothing is damaged" in ran.out


def test_a_sample_is_drawn_by_share_or_number_and_again_by_its_seed(project: Folder) -> None:
    chance = random.Random(SEED)
    for file in files(project, "objects"):
        flip(file, chance)
    keep = project.path / "whole"
    shutil.copytree(project.path / ".spark", keep)

    def drawn(*words: str) -> set[str]:
        shutil.rmtree(project.path / ".spark")
        shutil.copytree(keep, project.path / ".spark")
        told = findings(project.spark("store", "check", "--json", *words, code=4))
        return {f["name"] for f in told if f["what"].startswith("object") and f["kind"] == "object"}

    listings = drawn("--sample", "0%")  # which are read to know what results have
    share = drawn("--sample", "50%", "--seed", "7")
    assert len(listings) < len(share) < len(files(project, "objects")) + len(share)
    assert drawn("--sample", "50%", "--seed", "7") == share
    for wrong in ("101%", "1.5", "many"):
        assert "such as 5%" in project.spark("store", "check", "--sample", wrong, code=2).err
