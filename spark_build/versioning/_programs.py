"""git and dvc, run as programs in a repository; what they say against it is a stage's error."""

import os
import re
import subprocess
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from spark_build.core.errors import BadInput, StageFailed, Unavailable

_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "DVC_NO_ANALYTICS": "1",
    "CI": "1",  # DVC asks for newer versions of itself elsewhere
}
_LINES_TOLD = 8


class Programs:
    """Both in one folder."""

    def __init__(self, folder: Path, dvc: str, author: str | None) -> None:
        self.folder, self._dvc, self._author = folder, dvc, author

    def git(self, *words: str) -> str:
        """What it says. Errors: StageFailed with the end of what it said against it."""
        return self._told(["git", *self._who, *words])

    def asks(self, *words: str) -> str | None:
        """What git answers; None where it has no answer."""
        done = self._run(["git", *words])
        return done.stdout.strip() if done.returncode == 0 else None

    def dvc(self, *words: str) -> str:
        return self._told([self._dvc, *words])

    @cached_property
    def git_folder(self) -> Path:
        return self.folder / self.git("rev-parse", "--git-common-dir")

    def check_author(self) -> None:
        """Errors: BadInput where git would not know who commits."""
        if (
            self._author is None
            and self.asks("config", "user.email") is None
            and "GIT_AUTHOR_EMAIL" not in os.environ
        ):
            raise BadInput(
                "git does not know who commits the version",
                fix="git config --global user.email MAIL (and user.name), or `author: Name <mail>` under `with:`",
            )

    @cached_property
    def _who(self) -> list[str]:
        if self._author is None:
            return []
        name, mail = re.fullmatch(r"(.*) <(.*)>", self._author).groups()  # type: ignore[union-attr]
        return ["-c", f"user.name={name}", "-c", f"user.email={mail}"]

    def _told(self, words: Sequence[str]) -> str:
        done = self._run(words)
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-_LINES_TOLD:]
            shown = " ".join(Path(w).name if i == 0 else w for i, w in enumerate(words) if "\n" not in w)
            raise StageFailed(
                f"`{shown}` failed in {self.folder.name}: " + "\n".join(said or ["without a word"])
            )
        return done.stdout.strip()

    def _run(self, words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        try:
            return subprocess.run(
                words, cwd=self.folder, env={**os.environ, **_QUIET}, stdin=subprocess.DEVNULL,
                capture_output=True, encoding="utf-8", errors="replace", check=False,
            )  # fmt: skip
        except (FileNotFoundError, PermissionError):
            if not self.folder.is_dir():
                raise
            name = words[0]
            raise Unavailable(
                f"the program {name} can't be run here",
                fix=f"install it (`pipx install dvc`), or say where it lies: `program: /path/to/{Path(name).name}`"
                if Path(name).name != "git"
                else "install git",
            ) from None
