"""Two ways to be: user, home, time zone, locale, umask, seed of Python's hashes, and order of folders."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.spark import REPOSITORY, Ran, spark_command

# another user that may read where Python is installed, wherever that is
_AS_NOBODY = [
    "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search",
]  # fmt: skip


@dataclass(frozen=True)
class Circumstances:
    user: str
    zone: str
    locale: str
    umask: int
    hash_seed: str
    is_reversed: bool  # the order in which files are made
    as_user: list[str] = field(default_factory=list)


ONE = Circumstances("ada", "Asia/Kathmandu", "C", 0o077, "1", False)
OTHER = Circumstances("grace", "America/St_Johns", "C.UTF-8", 0o002, "4242", True)


def another_user() -> list[str]:
    """What runs a command as somebody else; [] where this machine can't."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        return []
    probe = [*_AS_NOBODY, *spark_command(), "--version"]
    done = subprocess.run(probe, cwd="/", env=_environment(ONE, "/"), capture_output=True, check=False)
    return _AS_NOBODY if done.returncode == 0 else []


@dataclass
class Place:
    """A project in a folder of its own, and how commands run in it."""

    path: Path
    how: Circumstances

    def write_all(self, files: Mapping[str, str]) -> None:
        before = os.umask(self.how.umask)
        try:
            for name in sorted(files, reverse=self.how.is_reversed):
                file = self.path / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(files[name], encoding="utf-8")
        finally:
            os.umask(before)
        if self.how.as_user:
            subprocess.run(["chown", "-R", "nobody:nogroup", str(self.path.parent)], check=True)

    def spark(self, *words: str, code: int = 0) -> Ran:
        done = subprocess.run(
            [*self.how.as_user, *spark_command(), *words],
            cwd=self.path,
            env=_environment(self.how, str(self.path.parent)),
            umask=self.how.umask,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Ran(done.returncode, done.stdout, done.stderr)

    def outputs(self, *targets: str) -> dict[str, str]:
        plan = json.loads(self.spark("plan", "--json", *targets).out)
        return {stage["stage"]: stage["output"] for stage in plan["stages"]}


@contextmanager
def place(how: Circumstances, name: str) -> Iterator[Place]:
    """Outside of pytest's own folders, which no other user may enter."""
    folder = Path(tempfile.mkdtemp(prefix=f"spark-{name}-"))
    try:
        folder.chmod(0o755)
        (folder / "project").mkdir()
        yield Place(folder / "project", how)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment(how: Circumstances, home: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")])),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": how.hash_seed,
        "HOME": home,
        "TMPDIR": home,
        "USER": how.user,
        "LOGNAME": how.user,
        "TZ": how.zone,
        "LANG": how.locale,
        "LC_ALL": how.locale,
    }
