"""A clone that has built nothing attests what others have built: by the Records of the remote store."""

import json
from pathlib import Path

from tests.remote.conftest import Team


def test_a_fresh_clone_tells_the_same_story_byte_for_byte(quick_team: Team, tmp_path: Path) -> None:
    first = quick_team.project()
    first.build("model:small")
    second = quick_team.clone(first)
    told = []
    for number, folder in enumerate((first, second)):
        folder.spark("attest", "model:small", "--no-sign", "--to", str(tmp_path / f"{number}"))
        told.append((tmp_path / f"{number}" / "provenance.unsigned.json").read_bytes())
    assert told[0] == told[1]
    names = [
        one["name"] for one in json.loads(told[0])["predicate"]["buildDefinition"]["resolvedDependencies"]
    ]
    assert any(name.startswith("data/") for name in names)


def test_checking_an_attestation_asks_no_remote_store(quick_team: Team, tmp_path: Path) -> None:
    first = quick_team.project()
    first.build("model:small")
    first.spark("attest", "model:small", "--no-sign", "--to", str(tmp_path / "told"))
    second = quick_team.clone(first)
    words = ["verify", "--unsigned", "--attestation", str(tmp_path / "told/provenance.unsigned.json")]
    assert "is not in the store" in second.spark(*words, code=1).err
    second.spark("store", "pull", "model:small")
    assert second.spark(*words).out.startswith("verified")
