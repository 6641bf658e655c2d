"""What a stage read of the outside and what has moved since: such a result is not recorded."""

from typing import NamedTuple

from spark_build.core.errors import StageFailed


class Seen(NamedTuple):
    """A file or folder of the project as it was when the stage was planned; plain, as a job holds it."""

    name: str  # from the Sparkfile's folder
    location: str
    is_folder: bool
    stats: str  # the line of a file, the fold over a folder's lines
    is_trusted: bool = True  # another content would have other stats
    digest: str | None = None  # of a file that may be written to, as long as its content stays


class InputMoved(StageFailed):
    """What the stage found so far is of no action that anybody can name: its scratch goes as well."""


def changed(name: str) -> InputMoved:
    return InputMoved(f"{name} changed while the stage ran; its result is not recorded", fix="build again")


def changed_before(name: str) -> InputMoved:
    return InputMoved(f"{name} changed while other stages ran; the stage was not started", fix="build again")


def written(name: str) -> InputMoved:
    return InputMoved(
        f"{name} was written to while the stage ran; its result is not recorded",
        fix="build again; where the stage itself writes it, let it write to {output} or {scratch}",
    )
