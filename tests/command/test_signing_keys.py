"""`spark key`: what a user sees who makes a key, and where the private one gets to."""

import json
import re
from pathlib import Path

import pytest

from spark_build.core.signing import KEY_VARIABLE, PrivateKey
from tests.spark import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    home = tmp_path / "home"
    return Folder(tmp_path, env={"HOME": str(home), "XDG_CONFIG_HOME": "", KEY_VARIABLE: ""})


def default_key(folder: Folder) -> Path:
    return folder.path / "home/.config/spark-build/signing.key"


def test_a_new_key_is_its_owners_alone_and_its_public_line_is_all_that_is_printed(folder: Folder) -> None:
    ran = folder.spark("key", "new")
    path = default_key(folder)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    public = PrivateKey.load(path).public
    assert ran.out == f"{public}  # key id {public.id}\n"
    assert f"wrote {path}" in ran.err
    assert f'store: {{keys: ["{public}"]}}' in ran.err
    assert "PRIVATE" not in ran.out + ran.err
    assert folder.spark("key", "show").out == ran.out
    assert json.loads(folder.spark("key", "show", "--json").out) == {
        "version": 1,
        "key": str(public),
        "id": public.id,
    }


def test_a_key_is_never_written_over_another_file(folder: Folder) -> None:
    folder.spark("key", "new")
    before = default_key(folder).read_bytes()
    refused = folder.spark("key", "new", code=2)
    assert re.match(r".*signing\.key is there already.*\n  fix: .*--to PATH", refused.err)
    other = folder.write("notes.txt", "mine")
    folder.spark("key", "new", "--to", "notes.txt", code=2)
    (folder.path / "link").symlink_to(folder.path / "nowhere")
    folder.spark("key", "new", "--to", "link", code=2)
    assert (default_key(folder).read_bytes(), other.read_text()) == (before, "mine")
    assert not (folder.path / "nowhere").exists()


def test_a_key_elsewhere_is_used_where_the_variable_names_it(folder: Folder) -> None:
    told = json.loads(folder.spark("key", "new", "--to", "keys/ci.key", "--json").out)
    assert told["path"] == "keys/ci.key"
    assert folder.spark("key", "show", code=2).err.startswith(f"no signing key: neither {KEY_VARIABLE} nor /")
    folder.env[KEY_VARIABLE] = "keys/ci.key"
    assert told["key"] in folder.spark("key", "show").out
    folder.env[KEY_VARIABLE] = (folder.path / "keys/ci.key").read_text()
    assert told["key"] in folder.spark("key", "show").out


def test_no_stage_sees_the_key_of_a_secret(folder: Folder) -> None:
    folder.env[KEY_VARIABLE] = PrivateKey.new().to_pem().decode()
    folder.sparkfile('targets: {m: {recipe: {use: command, with: {run: "env > {output}/env.txt"}}}}\n')
    folder.spark("build")
    folder.spark("get", "model:m", "--to", "out")
    seen = (folder.path / "out").rglob("env.txt")
    assert [KEY_VARIABLE in file.read_text() for file in seen] == [False]
