"""Which files of a Hugging Face dataset hold its data, and of which split: as `datasets.load_dataset` sees it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from spark_build.core.errors import BadInput
from spark_build.core.values import Struct, field
from spark_build.sources._packed import without_compression
from spark_build.sources._reading import is_ignored, matches

CARD, SAVED = "README.md", "dataset_dict.json"
_NO_DATA = (CARD, SAVED, "config.json", "dataset_info.json", "dataset_infos.json", "state.json")
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_KINDS = {
    ".parquet": "parquet", ".arrow": "arrow", ".jsonl": "json", ".json": "json", ".ndjson": "json",
    ".csv": "csv", ".tsv": "tsv", ".txt": "text",
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"), "image"),
    **dict.fromkeys((".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac"), "audio"),
    **dict.fromkeys((".mp4", ".webm", ".mkv", ".avi", ".mov", ".mpeg", ".mpg"), "video"),
}  # fmt: skip
_MEDIA = ("image", "audio", "video")
# the library's documentation, "Structure your repository"
_KEYWORDS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
_BETWEEN = re.compile(r"[-._ 0-9]+")
_SHARD = re.compile(r"data/([\w.]+)-\d{5}-of-\d{5}[^/]*")
_CONVERTED = re.compile(
    r"(?:partial-)?([\w.]+)/\d{4,}\.parquet"
)  # as the hub's own refs/convert/parquet has them


class Config(Struct, frozen=True):
    """A part of a dataset that is read by itself, as the card names it."""

    name: str
    is_default: bool = False
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)  # split -> patterns
    folder: str = ""


class Card(Struct, frozen=True):
    configs: Sequence[Config] = ()
    labels: Mapping[str, Mapping[str, Sequence[str]]] = field(
        default_factory=dict
    )  # config -> column -> names

    def labels_of(self, config: str | None) -> Mapping[str, Sequence[str]]:
        only = next(iter(self.labels.values())) if len(self.labels) == 1 else {}
        return self.labels.get(config or "default", only if config is None else {})


def is_metadata(path: str) -> bool:
    """Whether its rows tell of media files beside it."""
    return PurePosixPath(path).name in _METADATA


def front_matter(text: str) -> str:
    """'' of a card that has none."""
    found = re.match(r"\s*---[ \t]*\n(.*?)\n---", text.replace("\r\n", "\n"), re.DOTALL)
    return found[1] if found else ""


def card_of(front: str) -> Card:
    """What the front matter says of files and labels. Errors: BadInput where it is no YAML."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        told = YAML(typ="safe", pure=True).load(front)
    except YAMLError as error:
        raise BadInput(f"{CARD}: its front matter is no YAML: {error}", fix="mend it") from None
    if not isinstance(told, Mapping):
        return Card()
    infos = told.get("dataset_info") or []
    infos = [infos] if isinstance(infos, Mapping) else infos
    labels = {str(i.get("config_name", "default")): _labels(i) for i in infos if isinstance(i, Mapping)}
    configs = [_config(one) for one in told.get("configs") or () if isinstance(one, Mapping)]
    return Card(configs, {name: columns for name, columns in labels.items() if columns})


def splits_of(
    paths: Iterable[str], card: Card, config: str | None, *, is_saved: bool = False
) -> dict[str, str | None]:
    """The files of data with their splits; None of a dataset that names none. Errors: BadInput."""
    files = sorted(path for path in paths if _may_be_data(path))
    chosen = _chosen(card, config, files)
    if chosen.files:
        return _named(files, chosen)
    base = f"{chosen.folder.strip('/')}/" if chosen.folder.strip("/.") else ""
    inside = {path.removeprefix(base): path for path in files if path.startswith(base)}
    data = _of_main_kind(list(inside))
    found = {path: _split(path, is_saved=is_saved) for path in data}
    has_some = any(split for path, split in found.items() if not is_metadata(path))
    # as the library has it: where some files name a split, the others are no data
    kept = {path: split for path, split in found.items() if split or not has_some or is_metadata(path)}
    return {inside[path]: split for path, split in kept.items()}


def _may_be_data(path: str) -> bool:
    name = PurePosixPath(path).name
    is_cache = name.startswith("cache-") and name.endswith(".arrow")  # of `map`, beside what was saved
    return name not in _NO_DATA and not is_ignored(path) and not is_cache


def _chosen(card: Card, config: str | None, files: Sequence[str]) -> Config:
    names = [one.name for one in card.configs]
    if config is not None and not names:
        if not any(path.startswith(f"{config}/") for path in files):
            raise BadInput(f"there is no config '{config}'", fix="leave `config` out: the card names none")
        return Config(config, folder=config)
    if config is None and len(names) > 1:
        by_default = [one for one in card.configs if one.is_default or one.name == "default"]
        if not by_default:
            raise BadInput(f"it has {len(names)} configs", fix=f"config: one of {', '.join(names)}")
        return by_default[0]
    found = [one for one in card.configs if config in (None, one.name)]
    if names and not found:
        raise BadInput(f"there is no config '{config}'", fix=f"config: one of {', '.join(names)}")
    return found[0] if found else Config("default")


def _named(files: Sequence[str], config: Config) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for split, patterns in config.files.items():
        under = [f"/{config.folder.strip('/')}/{p}" if config.folder else f"/{p}" for p in patterns]
        for path in files:
            if matches(path, under):
                found.setdefault(path, split)
    if not found:
        raise BadInput(f"config '{config.name}' names files, and none of them is there", fix="mend its card")
    return found


def _of_main_kind(files: Sequence[str]) -> list[str]:
    """Those of the kind that most of them are of, and what tells of media."""
    kinds = {path: _KINDS.get(PurePosixPath(without_compression(path)).suffix.lower(), "") for path in files}
    counted = Counter(kind for path, kind in kinds.items() if kind and not is_metadata(path))
    if not counted:
        return [path for path in files if kinds[path]]
    main = max(counted, key=lambda kind: (counted[kind], kind))
    is_media = main in _MEDIA
    return [path for path in files if (is_media if is_metadata(path) else kinds[path] == main)]


def _split(path: str, *, is_saved: bool) -> str | None:
    if is_saved and "/" in path:
        return path.partition("/")[0]
    if shard := _SHARD.fullmatch(path) or _CONVERTED.fullmatch(path):
        return shard[1]
    *folders, name = path.split("/")
    for part in (*folders, name.partition(".")[0]):
        for word in _BETWEEN.split(part.lower()):
            if word in _KEYWORDS:
                return _KEYWORDS[word]
    return None


def _config(told: Mapping[str, Any]) -> Config:
    name = str(told.get("config_name", "default"))
    is_default, folder = told.get("default") is True, str(told.get("data_dir") or "")
    return Config(name, is_default, _patterns(told.get("data_files")), folder)


def _patterns(told: Any) -> dict[str, list[str]]:
    """`data_files` in any of its forms: a pattern, a list of some, a list of splits, a mapping of splits."""
    if isinstance(told, Mapping):
        return {str(split): _list(paths) for split, paths in told.items()}
    entries = _list(told)
    if entries and all(isinstance(one, Mapping) for one in entries):
        return {str(one.get("split", "train")): _list(one.get("path")) for one in entries}
    return {"train": [str(one) for one in entries]} if entries else {}


def _list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _labels(info: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names of the labels, by column, as the front matter has them: {dtype: {class_label: {names: {'0': no}}}}."""
    found = {}
    for one in info.get("features") or ():
        told = one.get("dtype") if isinstance(one, Mapping) else None
        names = told.get("class_label", {}).get("names") if isinstance(told, Mapping) else None
        if isinstance(names, Mapping):
            names = [str(names[key]) for key in sorted(names, key=int)]
        if isinstance(names, list):
            found[str(one.get("name"))] = [str(name) for name in names]
    return found
