"""croissant.json: MLCommons Croissant 1.0, one record set per split, read from the shards beside it."""

import re
from collections.abc import Mapping
from typing import Any

from spark_build.versioning._measure import Measured

# as the specification lists it, https://docs.mlcommons.org/croissant/docs/croissant-spec.html
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases",
    "dataCollection": "cr:dataCollection",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "personalSensitiveInformation": "cr:personalSensitiveInformation",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


def croissant(card: Mapping[str, Any], tag: str | None, measured: Measured) -> dict[str, Any]:
    """JSON-LD that `mlcroissant.Dataset(jsonld=FILE)` accepts and reads records from."""
    title = str(card.get("title") or card.get("pretty_name") or "Dataset")
    described = {
        "name": _NOT_IN_NAME.sub("-", title).strip("-") or "Dataset",
        "alternateName": title,
        "description": card.get("description"),
        "license": card.get("license"),
        "inLanguage": card.get("language"),
        "keywords": card.get("tags"),
        "url": card.get("homepage"),
        "citeAs": card.get("citation"),
        "version": tag,
        "creator": _creators(card.get("authors")),
    }
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        **{name: value for name, value in described.items() if value},
        "distribution": [*(_file_set(split, measured) for split in measured.splits), *_videos(measured)],
        "recordSet": [_record_set(split, measured) for split in measured.splits],
    }


def _creators(authors: Any) -> list[dict[str, str]]:
    names = [authors] if isinstance(authors, str) else authors or []
    return [{"@type": "sc:Person", "name": name} for name in names]


def _file_set(split: str, measured: Measured) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{split}-shards",
        "name": f"{split}-shards",
        "encodingFormat": "application/x-parquet",
        "includes": list(measured.shards[split]),
    }


def _videos(measured: Measured) -> list[dict[str, Any]]:
    if "video" not in measured.fields.values():
        return []
    videos = {"@type": "cr:FileSet", "@id": "videos", "name": "videos"}
    return [{**videos, "encodingFormat": "video/*", "includes": "media/**"}]


def _record_set(split: str, measured: Measured) -> dict[str, Any]:
    columns = {"id": "text", "source": "text", **measured.fields, "meta": "json"}
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "description": f"{measured.splits[split]} rows.",
        "key": {"@id": f"{split}/id"},
        "field": [_field(split, name, kind) for name, kind in columns.items()],
    }


def _field(split: str, name: str, kind: str) -> dict[str, Any]:
    field = {"@type": "cr:Field", "@id": f"{split}/{name}", "name": name}
    source: dict[str, Any] = {"fileSet": {"@id": f"{split}-shards"}, "extract": {"column": name}}
    if kind == "messages":
        inner = [
            {
                "@type": "cr:Field",
                "@id": f"{split}/{name}/{part}",
                "name": part,
                "dataType": "sc:Text",
                "source": {**source, "transform": {"jsonPath": part}},
            }
            for part in ("role", "content")
        ]
        return {**field, "repeated": True, "subField": inner}
    if kind in ("image", "audio"):
        as_bytes = {**source, "transform": {"jsonPath": "bytes"}}
        return {**field, "dataType": f"sc:{kind.capitalize()}Object", "source": as_bytes}
    if kind == "video":
        field["description"] = "Where the video lies, from this folder."
        source["transform"] = {"jsonPath": "path"}
    if kind == "json":
        field["description"] = "JSON as text."
    return {**field, "dataType": "sc:Float" if kind == "number" else "sc:Text", "source": source}
