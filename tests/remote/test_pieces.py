"""A piece of what lies in the bucket: all of it, or as much as there is."""

import pytest

from spark_build.remote.bucket import Bucket
from tests.services.service import Service


@pytest.mark.parametrize("content", [b"", b"abcdef"])
def test_a_piece_of_what_is_shorter_is_as_much_as_there_is_and_asked_for_once(
    server: Service, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    bucket = Bucket(f"s3://{server.new_bucket()}/p", sleep=lambda seconds: pytest.fail("asked again"))
    bucket.put("k", content)
    asked = [(start, length) for start in (0, 2, 5, 6, 100) for length in (0, 1, 3, 10)]
    assert [bucket.get_range("k", *one) for one in asked] == [content[a : a + n] for a, n in asked]
    assert bucket.get_range("none", 0, 1) is None
