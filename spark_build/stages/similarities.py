"""Similarities of pairs, remembered by the digests of both: a join asks for them one by one."""

import struct
from collections.abc import Callable, Iterable

from spark_build.core.digest import Digest, digest_bytes
from spark_build.core.ports import Memo
from spark_build.stages.items_memo import Chunk

_FLOAT = struct.Struct("<d")


Pair = tuple[bytes, bytes]


class Similarities:
    """Looks pairs up singly, and writes new ones in chunks."""

    def __init__(self, memo: Memo, operation: Digest) -> None:
        self._memo, self._operation = memo, operation
        self._chunk = Chunk(memo, operation)
        self._expected: dict[bytes, bytes] = {}
        self.computed = self.remembered = 0

    def expect(self, pairs: Iterable[Pair]) -> None:
        """Looks them up all at once: they are likely to be asked for."""
        keys = [*map(_key, pairs)]
        found = zip(keys, self._memo.get(self._operation, keys), strict=True)
        self._expected = {key: value for key, value in found if value is not None}

    def of(self, pair: Pair, compute: Callable[[], float]) -> float:
        key = _key(pair)
        found = self._expected.get(key) or self._memo.get(self._operation, [key])[0]
        if found is not None:
            self.remembered += 1
            return float(_FLOAT.unpack(found)[0])
        self.computed += 1
        score = compute()
        self._chunk.add(key, _FLOAT.pack(score))
        return score

    def keep(self) -> None:
        self._chunk.keep()


def _key(pair: Pair) -> bytes:
    return bytes.fromhex(digest_bytes(b"".join(sorted(pair))))
