"""A dataset's card, Croissant metadata and tag, all measured on the data itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import field_validator

from spark_build.contract import Context, RuleParams, Versioner
from spark_build.contract.params import Field
from spark_build.core.digest import digest_file
from spark_build.core.errors import BadInput
from spark_build.versioning._card import readme
from spark_build.versioning._card_keys import checked_card
from spark_build.versioning._croissant import croissant
from spark_build.versioning._measure import Measured, measure


class Params(RuleParams):
    tag: str | None = Field(None, description="What this version is called: '1.0'.")
    card: dict[str, Any] = Field(
        {},
        description="Over the dataset's own card: license, language, title, description, tags and the other "
        "keys of a Hugging Face dataset card.",
    )

    synonyms: ClassVar[Mapping[str, str]] = {
        "version": "tag",
        "name": "tag",
        "metadata": "card",
        "readme": "card",
    }

    @field_validator("tag", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        if isinstance(value, bool | int | float):
            raise ValueError(f'a number loses its zeros (1.10 is 1.1)\n  fix: quote it: tag: "{value}"')
        if isinstance(value, str) and not value.strip():
            raise ValueError("empty; leave it out for no tag")
        return value

    @field_validator("card")
    @classmethod
    def _known_keys(cls, value: dict[str, Any]) -> dict[str, Any]:
        return checked_card(value)


class Snapshot(Versioner):
    """Writes README.md, croissant.json and spark.json; `data/` and `rejected/` stay as they are.

    `datasets.load_dataset(FOLDER)` and `mlcroissant.Dataset(FOLDER/croissant.json)` read the result.
    """

    Params = Params
    revision = 2

    def write(self, context: Context) -> None:
        measured = measure(context.output)
        _check_split_names(measured)
        card = _card(context.facts.get("card") or {}, self.params.card)
        gates = tuple(context.facts.get("gates") or ())
        tag = self.params.tag
        (context.output / "README.md").write_text(
            readme(card, tag, measured, gates), encoding="utf-8", newline="\n"
        )
        _write_json(context.output / "croissant.json", croissant(card, tag, measured))
        _write_json(context.output / "spark.json", _papers(context, tag, measured))


def _card(of_dataset: Mapping[str, Any], of_version: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return checked_card({**of_dataset, **of_version})
    except ValueError as error:
        message, _, fix = str(error).partition("\n  fix: ")
        raise BadInput(f"card: {message}", fix=fix or None) from None


def _check_split_names(measured: Measured) -> None:
    for split in measured.splits:
        if not split.replace(".", "_").replace("_", "a").isalnum():
            raise BadInput(
                f"the split '{split}' can't be read by `datasets`", fix="letters, digits, _ and . alone"
            )


def _papers(context: Context, tag: str | None, measured: Measured) -> dict[str, Any]:
    """What the folder holds, by digest; nothing of where, when or from what it was built by name."""
    papers = {
        "format": 1,
        "tag": tag,
        "fields": dict(measured.fields),
        "splits": dict(measured.splits),
        "rejected": [
            {"gate": gate, "reason": reason, "rows": rows}
            for (gate, reason), rows in measured.rejected.items()
        ],
        "files": {path: _facts_of_file(context.output / path) for path in measured.files},
        "inputs": context.facts.get("inputs"),  # digests by part
    }
    return {name: value for name, value in papers.items() if value is not None}


def _facts_of_file(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    return {"blake3": digest_file(path, size), "bytes": size}


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")
