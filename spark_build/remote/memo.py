"""The item memo over the remote: what others found of items need not be found again."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from spark_build.core.digest import Digest, canonical_json, digest_bytes
from spark_build.core.errors import SparkError
from spark_build.core.signing import PrivateKey
from spark_build.core.trust import Trust, seal
from spark_build.remote.bucket import Bucket
from spark_build.remote.layout import memo_folder

MEMO_TYPE = "application/vnd.spark-build.memo+json"
_SEGMENT = re.compile(r"[0-9a-f]{64}\.parquet")
_SIGNED = ".sig"


def push_memo(
    bucket: Bucket, scope: str, operations: Iterable[Digest], folder: Path, signer: PrivateKey | None
) -> None:
    """Segments of these operations that are not there; the signature last, without which a segment is nothing."""
    for operation in operations:
        here = {name for name in _names(folder / operation) if _SEGMENT.fullmatch(name)}
        if not here:
            continue
        place = memo_folder(scope, operation)
        there = {found.path.rpartition("/")[2] for found in bucket.list(place)}
        for name in sorted(here - {n.removesuffix(_SIGNED) for n in there if n.endswith(_SIGNED)}):
            try:
                data = (folder / operation / name).read_bytes()
            except FileNotFoundError:  # merged meanwhile: the next push brings it
                continue
            if digest_bytes(data) == name.removesuffix(".parquet"):
                bucket.put(f"{place}/{name}", data)
                bucket.put(
                    f"{place}/{name}{_SIGNED}", seal(_vouched(operation, name), MEMO_TYPE, scope, signer)
                )


def pull_memo(
    bucket: Bucket,
    scopes: Iterable[str],
    operations: Iterable[Digest],
    folder: Path,
    trust: Trust,
    warn: Callable[[str], None],
) -> None:
    """Brings segments here that are not here, and that somebody vouches for who may."""
    for operation in operations:
        here = set(_names(folder / operation))
        for scope in scopes:
            place = memo_folder(scope, operation)
            there = {found.path.rpartition("/")[2] for found in bucket.list(place)}
            for name in sorted(n for n in there - here if _SEGMENT.fullmatch(n) and n + _SIGNED in there):
                data = trusted(bucket, scope, operation, name, trust, warn)
                if data is not None:
                    _keep(folder / operation, name, data)
                    here.add(name)


def trusted(
    bucket: Bucket,
    scope: str,
    operation: Digest,
    name: str,
    trust: Trust,
    warn: Callable[[str], None],
) -> bytes | None:
    path = f"{memo_folder(scope, operation)}/{name}"
    signed = bucket.get(path + _SIGNED)
    if signed is None:
        return None
    try:
        is_its_own = trust.open(signed, MEMO_TYPE, scope, path + _SIGNED) == _vouched(operation, name)
    except SparkError as error:
        warn(f"{bucket}: {error}; it is not taken")
        return None
    data = bucket.get(path) if is_its_own else None
    if data is None or digest_bytes(data) != name.removesuffix(".parquet"):
        warn(f"{bucket}: {path} is not what its signature says; what it remembers is found again")
        return None
    return data


def _vouched(operation: Digest, name: str) -> bytes:
    return canonical_json({"operation": operation, "segment": name})


def _keep(folder: Path, name: str, data: bytes) -> None:
    """Under its name once it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{os.getpid()}-{os.urandom(4).hex()}.tmp"
    beside.write_bytes(data)
    beside.replace(folder / name)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
