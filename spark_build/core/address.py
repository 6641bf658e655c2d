"""Addresses: `dataset:tickets`, `model:llama-lora/train`, `model:helper@v1`."""

import re
from dataclasses import dataclass

from spark_build.core.errors import UsageError

KINDS = ("dataset", "model", "deployment")
_ADDRESS = re.compile(
    r"(?:(?P<kind>dataset|model|deployment):)?(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)"
    r"(?:@(?P<tag>[A-Za-z0-9][A-Za-z0-9._-]*))?(?:/(?P<stage>[a-z]+(?:\.[A-Za-z0-9._-]+)?))?"
)


@dataclass(frozen=True)
class Address:
    kind: str | None  # None where the prefix was left out
    name: str
    tag: str | None = None
    stage: str | None = None  # 'train', 'eval.clean', 'package.onnx'

    @classmethod
    def parse(cls, text: str) -> "Address":
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise UsageError(f"'{text}' is no address", fix="dataset:NAME, model:NAME or deployment:NAME")
        return cls(match["kind"], match["name"], match["tag"], match["stage"])

    @property
    def target(self) -> str:
        return f"{self.kind}:{self.name}"

    def __str__(self) -> str:
        text = self.name if self.kind is None else self.target
        text += f"@{self.tag}" if self.tag else ""
        return text + (f"/{self.stage}" if self.stage else "")
