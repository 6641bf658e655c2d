"""Digests of files, whatever their size and however they are read."""

from pathlib import Path

import pytest

from spark_build.core import digest
from spark_build.core.digest import digest_bytes, digest_file


@pytest.mark.parametrize("size", [0, 1, 4095, 8192, 8193, 3 << 20])
@pytest.mark.parametrize("told", [True, False])
def test_a_file_in_windows_has_the_digest_of_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, told: bool
) -> None:
    monkeypatch.setattr(digest, "_WINDOW_BYTES", 8192)
    file = tmp_path / "file"
    file.write_bytes(bytes(n % 251 for n in range(size)))
    assert digest_file(file, size if told else None) == digest_bytes(file.read_bytes())
