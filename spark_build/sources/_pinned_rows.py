"""Rows that a server gave, as files whose names and cuts hang on their content: a new row changes one of them."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from spark_build.core.digest import digest_bytes

ROWS = "rows"  # the folder; what records come from is called so as well
_PIECE_BYTES = 1 << 20  # of rows in one file, on average
_CREDENTIALS = re.compile(r"://[^/@]*@")


def write_rows(rows: Iterable[bytes], output: Path) -> None:
    """`rows`: each as canonical JSON, in an order that hangs on nothing but them."""
    (output / ROWS).mkdir()
    for piece in _pieces(rows):
        name = digest_bytes(piece[0])[:32]
        (output / ROWS / f"{name}.jsonl").write_bytes(b"\n".join(piece) + b"\n")


def without_credentials(url: str) -> str:
    return _CREDENTIALS.sub("://", url)


def _pieces(rows: Iterable[bytes]) -> Iterator[list[bytes]]:
    import xxhash

    piece: list[bytes] = []
    for row in rows:
        piece.append(row)
        if xxhash.xxh3_64_intdigest(row) * _PIECE_BYTES < len(row) << 64:
            yield piece
            piece = []
    if piece:
        yield piece
