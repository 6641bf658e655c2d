"""Names of files for what lies behind URLs: host and path, as people know it."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from spark_build.core.digest import digest_bytes
from spark_build.modalities.text.kinds import BY_SUFFIX

_LONGEST = 100  # characters of a part
_UNSAFE = re.compile(r"[^A-Za-z0-9._%=+,@-]")
_SUFFIXES = {
    "text/html": ".html", "application/xhtml+xml": ".html", "text/plain": ".txt", "text/markdown": ".md",
    "application/json": ".json", "application/x-ndjson": ".jsonl", "application/jsonl": ".jsonl",
    "text/csv": ".csv", "text/tab-separated-values": ".tsv",
}  # fmt: skip


def names_of(urls: Sequence[str]) -> dict[str, str]:
    """A name for each, no two alike, and none of them a folder of another."""
    names = {url: _name(url) for url in urls}
    folders = {str(above) for name in names.values() for above in PurePosixPath(name).parents}
    counts = Counter(name.lower() for name in names.values())
    return {
        url: _marked(name, url) if counts[name.lower()] > 1 or name in folders else name
        for url, name in names.items()
    }


def with_suffix(name: str, content_type: str, url: str, names: Collection[str]) -> str:
    """With the suffix of what the server says it is, where the name has none that is known; no other is called so."""
    suffix = PurePosixPath(name).suffix.lower()
    own = name if suffix and suffix in BY_SUFFIX else f"{name}{_SUFFIXES.get(content_type, '')}"
    return _marked(own, url) if own != name and own in names else own


def _name(url: str) -> str:
    parts = urlsplit(url)
    path = [part for part in parts.path.split("/") if part] or ["index"]
    if parts.path.endswith("/") and parts.path != "/":
        path.append("index")
    host = parts.netloc.replace(":", "+")
    name = "/".join(_part(part) for part in (host, *path))
    return _marked(name, parts.query) if parts.query else name


def _part(part: str) -> str:
    """A part that no reader passes over, as it does dot files and back-ups."""
    safe = _UNSAFE.sub("_", part)
    safe = f"_{safe}" if safe.startswith(".") or safe == "__pycache__" else safe
    return safe if len(safe) <= _LONGEST else f"{safe[:40]}-{digest_bytes(safe.encode())[:8]}{safe[-40:]}"


def _marked(name: str, by: str) -> str:
    whole = PurePosixPath(name)
    return str(whole.with_name(f"{whole.stem}-{digest_bytes(by.encode())[:8]}{whole.suffix}"))
