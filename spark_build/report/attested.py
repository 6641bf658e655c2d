"""What `spark attest` wrote, and what `spark verify --attestation` found."""

from collections.abc import Sequence
from typing import Any

from spark_build.core.values import Struct, asdict
from spark_build.report.paint import Paint
from spark_build.report.words import count, printable

_MOST_LINES = 20


class FileDifference(Struct, frozen=True):
    """One thing that is not as the attestation says."""

    kind: str  # changed missing additional mode byproduct signature lock result
    file: str  # or what else it is about: 'Sparkfile.lock', 'model:helper'
    expected: str | None = None  # 'sha256:…'
    got: str | None = None

    def __str__(self) -> str:
        told = f"{self.kind.ljust(10)} {printable(self.file)}"
        if self.expected and self.got:
            return f"{told}  expected {self.expected}, got {self.got}"
        if self.got:
            return f"{told}  {printable(self.got)}"
        return told + (f"  expected {self.expected}" if self.expected else "")


class Checked(Struct, frozen=True):
    attestation: str
    target: str | None  # as the attestation calls it
    compared: str | None  # 'store', or the folder
    signed_by: str | None  # the id of the key
    files: int = 0
    differences: tuple[FileDifference, ...] = ()
    refused: str | None = None  # why nobody need look at the files
    model_signature: str | None = (
        None  # verified, differs, not checked: why; None where there is none to look at
    )

    @property
    def verdict(self) -> str:
        return "refused" if self.refused is not None else "differs" if self.differences else "equal"

    @property
    def exit_code(self) -> int:
        return 0 if self.verdict == "equal" else 4

    def to_json(self) -> dict[str, Any]:
        return {
            "version": 1,
            "attestation": self.attestation,
            "target": self.target,
            "verdict": self.verdict,
            "signed_by": self.signed_by,
            "compared": self.compared,
            "files": self.files,
            "differences": [asdict(one) for one in self.differences],
            "refused": self.refused,
            "model_signature": self.model_signature,
        }


def checked_text(checked: Checked, paint: Paint) -> str:
    """A line per difference, and one that says what it comes to."""
    name = printable(checked.attestation)
    if checked.refused is not None:
        return f"{paint('refused', 'red')}  {name}: {checked.refused}"
    signer = (
        f"signed by {checked.signed_by}" if checked.signed_by else "UNSIGNED: anybody may have written it"
    )
    target, where = printable(checked.target or ""), printable(checked.compared or "")
    if not checked.differences:
        files = count(checked.files, "file")
        also = f"; model.sig {checked.model_signature}" if checked.model_signature else ""
        return f"{paint('verified', 'green')}  {target}: {files} of {where} as {name} says, {signer}{also}"
    lines = [str(one) for one in checked.differences[:_MOST_LINES]]
    more = len(checked.differences) - len(lines)
    found = count(len(checked.differences), "difference")
    last = f"{paint('differs', 'red')}  {target}: {found} between {where} and {name}, {signer}"
    return "\n".join([*lines, *([f"and {more} more"] if more else []), last])


def written_text(target: str, folder: str, files: Sequence[str], signed_by: str | None) -> str:
    who = f"signed by {signed_by}" if signed_by else "unsigned"
    return f"{printable(target)}: {', '.join(files)} in {printable(folder)}, {who}"
