"""A project as the fuzzer knows it, and the folder that it lies in: every edit changes both."""

import os
import shutil
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.truth.render import Layout, Rendered, render

Spec = dict[str, Any]


@dataclass(frozen=True)
class File:
    content: str
    executable: bool = False


@dataclass
class State:
    """All that a result may hang on, and some that it may not."""

    spec: Spec
    files: dict[str, File]
    env: dict[str, str]
    libraries: dict[str, str]
    packages: dict[str, str] = field(default_factory=dict)  # files beside the libraries
    profile: str | None = None
    sets: tuple[str, ...] = ()
    layout: Layout = field(default_factory=Layout)
    origin: dict[str, str] = field(default_factory=dict)  # a name's first name: 'gates.b' -> 'gates.a'

    def copy(self) -> "State":
        return deepcopy(self)

    def rendered(self) -> Rendered:
        return render(self.spec, self.layout)

    def identity(self, section: str, name: str) -> str:
        return self.origin.get(f"{section}.{name}", name)

    def fingerprint(self) -> str:
        """Of all that a cold build may see."""
        files = sorted((p, f.content, f.executable) for p, f in self.files.items())
        parts = [files, self.rendered().text, sorted(self.env.items()), sorted(self.libraries.items())]
        return repr([*parts, sorted(self.packages.items()), self.profile, self.sets])


class Site:
    """Where a project lies: `place/checkout-N`, and `place/site-packages` beside it."""

    def __init__(self, place: Path, state: State) -> None:
        self.place, self.state = place, state
        self.number = 0
        self.packages = place / "site-packages"
        self.packages.mkdir(parents=True)
        self.root.mkdir()
        for path, file in state.files.items():
            self._write(path, file)
        self._write_packages({}, {})
        self.write_sparkfile()

    @property
    def root(self) -> Path:
        return self.place / f"checkout-{self.number}"

    @property
    def store(self) -> Path:
        return self.root / ".spark"

    def env(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.place), **self.state.env}

    # files

    def write(self, path: str, content: str, executable: bool | None = None) -> None:
        known = self.state.files.get(path)
        if executable is None:
            executable = known.executable if known else False
        self.state.files[path] = File(content, executable)
        self._write(path, self.state.files[path])

    def write_unseen(self, path: str, content: str) -> None:
        """Another content of the same size, at the same mtime."""
        file = self.root / path
        stat = file.stat()
        assert len(content) == stat.st_size, f"{path}: another size"
        self.write(path, content)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def delete(self, path: str) -> None:
        del self.state.files[path]
        (self.root / path).unlink()

    def rename(self, path: str, to: str) -> None:
        self.state.files[to] = self.state.files.pop(path)
        (self.root / to).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).rename(self.root / to)

    def set_executable(self, path: str, executable: bool) -> None:
        self.state.files[path] = File(self.state.files[path].content, executable)
        (self.root / path).chmod(0o755 if executable else 0o644)

    def write_sparkfile(self) -> None:
        text = self.state.rendered().text
        file = self.root / "Sparkfile.yaml"
        if not file.exists() or file.read_text() != text:
            file.write_text(text)

    # what lies beside

    def set_library(self, name: str, version: str) -> None:
        before = dict(self.state.libraries)
        self.state.libraries[name] = version
        self._write_packages(before, self.state.packages)

    def write_package(self, path: str, content: str) -> None:
        before = dict(self.state.packages)
        self.state.packages[path] = content
        self._write_packages(self.state.libraries, before)

    # the whole

    def become(self, state: State) -> None:
        """Takes everything back to an earlier state; what is the same is not touched."""
        before, self.state = self.state, state.copy()
        for path in before.files.keys() - state.files.keys():
            (self.root / path).unlink()
        for path, file in state.files.items():
            if before.files.get(path) != file:
                self._write(path, file)
        self._write_packages(before.libraries, before.packages)
        self.write_sparkfile()

    def move(self, *, keeps_store: bool, copies: bool) -> None:
        old, store = self.root, self.store
        self.number += 1
        if copies:
            shutil.copytree(old, self.root, symlinks=True)
            shutil.rmtree(old)
        else:
            old.rename(self.root)
        if not keeps_store:
            shutil.rmtree(self.store, ignore_errors=True)
        assert store != self.store

    def copy_without_store(self, to: Path) -> None:
        shutil.copytree(
            self.root, to, ignore=shutil.ignore_patterns(".spark", "Sparkfile.lock", "__pycache__")
        )

    def _write(self, path: str, file: File) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(file.content)
        if bool(place.stat().st_mode & 0o100) != file.executable:
            place.chmod(0o755 if file.executable else 0o644)

    def _write_packages(self, libraries: dict[str, str], packages: dict[str, str]) -> None:
        for name, version in libraries.items():
            if self.state.libraries.get(name) != version:
                shutil.rmtree(self.packages / f"{name}-{version}.dist-info", ignore_errors=True)
        for name, version in self.state.libraries.items():
            (self.packages / f"{name}-{version}.dist-info").mkdir(exist_ok=True)
        for path, content in self.state.packages.items():
            if packages.get(path) != content or not (self.packages / path).exists():
                (self.packages / path).parent.mkdir(parents=True, exist_ok=True)
                (self.packages / path).write_text(content)
