"""A picture in the store that rots, at the same size and time, is noticed by whatever looks at it, and healed."""

import os
from pathlib import Path

import pytest
from pictures import digit

from tests.spark import Folder

PLAIN = "datasets: {d: {source: data, splits: {train: 1}}}\n"
LOOKS = {
    "gate": """
datasets: {d: {source: data, splits: {train: 1}, gates: [near]}}
gates: {near: {use: near_duplicates, with: {method: phash}}}
""",
    "transform": """
datasets:
  d: {source: data, splits: {train: 1}, transforms: [{use: convert_image, with: {format: png, size: 16}}]}
""",
}


@pytest.fixture
def built(folder: Folder) -> Folder:
    for number in range(6):
        folder.write(f"data/{number}.png", digit(number))
    folder.sparkfile(PLAIN)
    folder.build()
    return folder


def rot(folder: Folder, content: bytes) -> Path:
    """The object with this content, one bit of it turned, and what is known of the file as before."""
    files = [f for f in (folder.path / ".spark/objects").rglob("*") if f.is_file()]
    (file,) = [f for f in files if f.read_bytes() == content]
    before = file.stat()
    file.chmod(0o644)
    data = bytearray(content)
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    file.chmod(before.st_mode)
    return file


@pytest.mark.parametrize("looks", LOOKS)
def test_what_looks_inside_fails_and_the_next_build_is_as_a_cold_one(
    built: Folder, tmp_path: Path, looks: str
) -> None:
    file = rot(built, digit(3))
    built.sparkfile(LOOKS[looks])
    failed = built.build(code=1)
    assert not file.exists(), failed.out
    told = next(e for e in failed.lines if e["event"] == "stage" and e["outcome"] == "failed")
    assert "3.png" in told["error"]
    assert "does not match its digest" in told["error"]
    healed = built.build()
    assert file.read_bytes() == digit(3)
    cold = Folder(tmp_path / "cold")
    for number in range(6):
        cold.write(f"data/{number}.png", digit(number))
    cold.sparkfile(LOOKS[looks])
    assert healed.outputs == cold.build().outputs
