"""What others say that they found of items is taken from those alone who may say so, and for what they said it of."""

from collections.abc import Callable
from pathlib import Path

import pytest

from spark_build.core.digest import digest_bytes
from spark_build.core.signing import PrivateKey
from spark_build.core.trust import Trust, TrustedKey, seal
from spark_build.remote.bucket import Bucket
from spark_build.remote.memo import MEMO_TYPE, pull_memo, push_memo
from tests.services.service import Service

MAIN, PULL_REQUEST, ATTACKER = PrivateKey.new(), PrivateKey.new(), PrivateKey.new()
TRUST = Trust(
    (TrustedKey(str(MAIN.public), ("trusted",)), TrustedKey(str(PULL_REQUEST.public), ("scopes/pr",)))
)
GATE, OTHER = digest_bytes(b"a gate"), digest_bytes(b"another")
FOUND = b"PAR1 what was found"
NAME = f"{digest_bytes(FOUND)}.parquet"
SEGMENT = f"trusted/memo/{GATE}/{NAME}"
Attack = Callable[[Bucket], None]


@pytest.fixture
def bucket(moto_server: Service, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    return Bucket(f"s3://{moto_server.new_bucket()}/team")


def pushed(
    bucket: Bucket, folder: Path, key: PrivateKey | None, scope: str = "trusted", of: str = GATE
) -> None:
    (folder / of).mkdir(parents=True, exist_ok=True)
    (folder / of / NAME).write_bytes(FOUND)
    push_memo(bucket, scope, [of], folder, key)


def pulled(bucket: Bucket, folder: Path, trust: Trust, *scopes: str) -> tuple[list[str], list[str]]:
    """What came, and what was told."""
    told: list[str] = []
    pull_memo(bucket, scopes or ("trusted",), [GATE], folder, trust, told.append)
    return sorted(file.name for file in folder.rglob("*") if file.is_file()), told


def test_what_a_trusted_key_vouches_for_is_taken_and_without_keys_all_is(
    bucket: Bucket, tmp_path: Path
) -> None:
    pushed(bucket, tmp_path / "main", MAIN)
    assert pulled(bucket, tmp_path / "reader", TRUST) == ([NAME], [])
    pushed(bucket, tmp_path / "bare", None)
    assert pulled(bucket, tmp_path / "anybody", Trust()) == ([NAME], [])


ATTACKS: dict[str, tuple[Attack, str]] = {
    "signed by the attacker": (lambda bucket: vouched(bucket, ATTACKER), "which is not listed for it"),
    "signed by nobody": (lambda bucket: vouched(bucket, None), "is not signed"),
    "signed by who may not sign for trusted": (lambda b: vouched(b, PULL_REQUEST), "which is not listed for it"),
    "signed for another operation": (lambda b: vouched(b, MAIN, of=OTHER), "is not what its signature says"),
    "signed for another scope": (lambda b: vouched(b, MAIN, scope="scopes/pr"), 'scope=\\"scopes/pr\\"'),
    "another segment under that name": (
        lambda bucket: (vouched(bucket, MAIN), bucket.put(SEGMENT, b"PAR1 poison"))[1],
        "is not what its signature says",
    ),
    "no signature": (lambda bucket: bucket.put(SEGMENT, FOUND), ""),
    "a signature of nothing": (lambda b: (b.put(SEGMENT, FOUND), b.put(f"{SEGMENT}.sig", b"{}"))[1], "no DSSE"),
    "another name": (
        lambda b: (b.put(f"trusted/memo/{GATE}/x.parquet", FOUND), b.put(f"trusted/memo/{GATE}/x.parquet.sig", b""))[1],
        "",
    ),
}  # fmt: skip


def vouched(bucket: Bucket, key: PrivateKey | None, of: str = GATE, scope: str = "trusted") -> None:
    """A segment for `GATE` in `trusted`, with what a key said of it elsewhere."""
    payload = b'{"operation":"%b","segment":"%b"}' % (of.encode(), NAME.encode())
    bucket.put(SEGMENT, FOUND)
    bucket.put(f"{SEGMENT}.sig", seal(payload, MEMO_TYPE, scope, key))


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_poisoned_segment_is_not_taken(bucket: Bucket, tmp_path: Path, attack: str) -> None:
    poison, said = ATTACKS[attack]
    poison(bucket)
    came, told = pulled(bucket, tmp_path, TRUST)
    assert came == []
    assert [said.replace("\\", "") in line.replace("\\", "") for line in told] == ([True] if said else [])


def test_who_reads_trusted_alone_takes_nothing_of_another_scope(bucket: Bucket, tmp_path: Path) -> None:
    pushed(bucket, tmp_path / "pr", PULL_REQUEST, "scopes/pr")
    assert pulled(bucket, tmp_path / "reader", TRUST)[0] == []
    assert pulled(bucket, tmp_path / "of-pr", TRUST, "trusted", "scopes/pr")[0] == [NAME]
