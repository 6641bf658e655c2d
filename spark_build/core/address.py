"""Addresses: `dataset:tickets`, `model:sweep@seed=1/train`, `model:helper@v1`; nobody else takes one apart."""

import re
from typing import TYPE_CHECKING

from spark_build.core.errors import UsageError
from spark_build.core.values import Struct

if TYPE_CHECKING:
    from sparkfile_schema.address import Selector

KINDS = ("dataset", "model", "deployment")
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9@%+=:,./_-]+")


class Address(Struct, frozen=True):
    """An address, taken apart."""

    kind: str | None  # None where the prefix was left out
    name: str
    tag: str | None = None  # or a profile, or a run
    stage: str | None = None  # 'train', 'eval.clean', 'package.onnx'
    folder: str = ""  # of a Sparkfile that is included: 'asr' in asr/model:whisper
    matrix: "Selector" = ()  # (parameter, value as canonical JSON), sorted; some of a matrix's, or all

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Errors: UsageError where the text is no address."""
        from sparkfile_schema.address import parse_address

        found = parse_address(text)
        if found is None:
            raise UsageError(
                f"'{text}' is no address",
                fix="dataset:NAME, model:NAME or deployment:NAME; a matrix's member is model:NAME@PARAM=VALUE",
            )
        return cls(found.kind, found.name, found.tag, found.stage, found.folder, found.selector)

    @property
    def full_name(self) -> str:
        """The name with what is selected of its matrix: `sweep@seed=1`."""
        if not self.matrix:
            return self.name
        from sparkfile_schema.address import selector_text

        return self.name + selector_text(self.matrix)

    @property
    def target(self) -> str:
        """`model:sweep@seed=1`, of an included Sparkfile `asr/model:whisper`."""
        if self.kind is None:
            return self.full_name
        folder = f"{self.folder}/" if self.folder else ""
        return f"{folder}{self.kind}:{self.full_name}"

    @property
    def main_stage(self) -> str:
        """The stage that the address stands for: its own, a dataset's version, or a model's training."""
        stage = self.stage or ("version" if self.kind == "dataset" else "train")
        return f"{self.target}/{stage}"

    def __str__(self) -> str:
        text = self.target + (f"@{self.tag}" if self.tag else "")
        return text + (f"/{self.stage}" if self.stage else "")


def target_of(stage: str) -> str:
    """The target of a stage's address. A stage's own name holds no slash, whatever a matrix's values hold."""
    return stage.rpartition("/")[0]


def stage_name(stage: str) -> str:
    """`train` of `model:helper/train`."""
    return stage.rpartition("/")[2]


def kind_of(address: str) -> str:
    """`model` of `asr/model:whisper`; of a target or a stage."""
    return address.partition(":")[0].rpartition("/")[2]


def folder_of(address: str) -> str:
    """`asr` of `asr/model:whisper`; '' of a target or a stage of the Sparkfile itself."""
    return address.partition(":")[0].rpartition("/")[0]


def name_of(target: str) -> str:
    """`sweep@seed=1` of `model:sweep@seed=1`: a target without folder and kind."""
    return target.partition(":")[2]


def declared(target: str) -> str:
    """`model:sweep` of `model:sweep@seed=1`: the target that the Sparkfile declares."""
    return target.partition("@")[0]


def without_tag(tagged: str) -> str:
    """`model:sweep@seed=1` of the tag `model:sweep@seed=1@v1`."""
    return tagged.rpartition("@")[0]


def tag_of(tagged: str) -> str:
    return tagged.rpartition("@")[2]


def typed(text: str) -> str:
    """An address, or any word, as one types it in a shell."""
    return text if _NEEDS_NO_QUOTES.fullmatch(text) else "'" + text.replace("'", "'\\''") + "'"
