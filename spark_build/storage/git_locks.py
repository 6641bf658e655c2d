"""The locks that git knows: at the tip of every ref, in every stash, in the index and in each work tree."""

import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from spark_build.core.errors import Unavailable
from spark_build.core.places import SPARK_FOLDER, git_root
from spark_build.core.values import Struct, field

_FIX = "spark store gc has to know what every branch needs: run it where git can read all of them"
_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")  # of the hook that runs us
_OURS = {"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


class GitLocks(Struct):
    """Texts of locks called `name`, each once, and how many refs, commits and work trees they were looked for in."""

    texts: set[bytes] = field(default_factory=set)
    refs: int = 0
    commits: int = 0


def git_locks(root: Path, name: str, *, with_history: bool = False) -> GitLocks:
    """Of the repository that `root` lies in; none outside of one. `with_history`: those of every commit besides.

    Errors: Unavailable where git can't tell: what it does not tell must not be taken for not needed.
    """
    if git_root(str(root)) is None:
        return GitLocks()
    repository = _Repository(root, name)
    found = GitLocks()
    tips = repository.tips()
    found.refs = len(tips)
    commits = [*tips, *repository.heads(), *repository.stashed()]
    found.commits = len(dict.fromkeys(commits))
    blobs = set(repository.in_trees(commits))
    if with_history:
        blobs |= set(repository.in_history())
        found.commits = repository.count_commits()
    for tree in repository.work_trees():
        blobs |= set(_Repository(tree, name).in_index())
        found.texts |= set(_Repository(tree, name).lying_there())
    found.texts |= set(repository.contents(blobs))
    return found


class _Repository:
    def __init__(self, root: Path, name: str) -> None:
        self._root, self._name = root, name
        self._anywhere = f":(top,glob)**/{name}"

    def tips(self) -> list[str]:
        """Commits and trees that refs name."""
        asked = ["for-each-ref", "--format=%(objecttype) %(objectname) %(*objecttype) %(*objectname)"]
        found = []
        for line in self._lines(*asked):
            kinds = line.split()
            kind, digest = kinds[-2:]
            if kind in ("commit", "tree"):
                found.append(digest)
        return found

    def heads(self) -> list[str]:
        """The commit of each work tree."""
        told = (line.split() for line in self._lines("worktree", "list", "--porcelain"))
        found = [words[1] for words in told if words[0] == "HEAD"]
        return [digest for digest in found if set(digest) != {"0"}]  # a branch without a commit

    def stashed(self) -> Iterator[str]:
        """Each stash's work tree, its index, and what was untracked."""
        if not self._lines("for-each-ref", "refs/stash"):
            return
        for line in self._lines("log", "-g", "--format=%H %P", "refs/stash"):
            yield from line.split()

    def work_trees(self) -> list[Path]:
        told = self._lines("worktree", "list", "--porcelain")
        found = [Path(line.removeprefix("worktree ")) for line in told if line.startswith("worktree ")]
        return [tree for tree in found if (tree / ".git").exists()]

    def in_index(self) -> Iterator[str]:
        """Blobs, all sides of a conflict."""
        for line in self._lines("ls-files", "-s", "-z", "--", self._anywhere, end="\0"):
            yield line.split()[1]

    def lying_there(self) -> Iterator[bytes]:
        """Contents, also of those that git ignores."""
        listed = ["ls-files", "-z", "-c", "-o", f"--exclude={SPARK_FOLDER}/", "--", self._anywhere]
        for path in dict.fromkeys(self._lines(*listed, end="\0")):
            if (place := self._root / path).is_file():
                yield place.read_bytes()

    def in_history(self) -> Iterator[str]:
        """Blobs that any commit reachable from a ref has brought."""
        asked = ["log", "--all", "-m", "--root", "--raw", "--no-abbrev", "--no-renames", "--format="]
        for line in self._lines(*asked, "--", self._anywhere):
            digest = line.split()[3]
            if set(digest) != {"0"}:
                yield digest

    def count_commits(self) -> int:
        return int(self._lines("rev-list", "--all", "--count")[0])

    def in_trees(self, commits: Iterable[str]) -> list[str]:
        """Blobs; a tree that several commits share is read once."""
        found: list[str] = []
        seen: set[str] = set()
        waiting = [f"{commit}^{{tree}}" for commit in dict.fromkeys(commits)]
        while waiting:
            below: list[str] = []
            for _, content in self._objects(waiting):
                for mode, name, digest in _rows(content, len(waiting[0].partition("^")[0]) // 2):
                    if mode == b"40000" and digest not in seen:
                        seen.add(digest)
                        below.append(digest)
                    elif mode.startswith(b"10") and name == self._name.encode() and digest not in seen:
                        seen.add(digest)
                        found.append(digest)
            waiting = below
        return found

    def contents(self, blobs: Iterable[str]) -> Iterator[bytes]:
        for _, content in self._objects(sorted(blobs)):
            yield content

    def _objects(self, names: list[str]) -> Iterator[tuple[str, bytes]]:
        """All through one `git cat-file --batch`. Errors: Unavailable where one is not here."""
        if not names:
            return
        told = self._git("cat-file", "--batch", given="".join(f"{name}\n" for name in names).encode())
        place = 0
        for name in names:
            end = told.index(b"\n", place)
            head = told[place:end].split()
            if len(head) != 3:
                raise Unavailable(
                    f"git has not got {name.partition('^')[0]}, which a ref of this clone needs",
                    fix="git fetch --refetch brings what a partial or damaged clone lacks",
                )
            size = int(head[2])
            yield name, told[end + 1 : end + 1 + size]
            place = end + 1 + size + 1

    def _lines(self, *words: str, end: str = "\n") -> list[str]:
        text = self._git(*words).decode("utf-8", "surrogateescape")
        return [line for line in text.split(end) if line]

    def _git(self, *words: str, given: bytes | None = None) -> bytes:
        try:
            done = subprocess.run(
                ["git", *words],
                cwd=self._root,
                input=given,
                capture_output=True,
                env={**{n: v for n, v in os.environ.items() if n not in _PLACES}, **_OURS},
                check=False,
            )
        except OSError as error:
            raise Unavailable(f"git can't be run: {error.strerror}", fix=_FIX) from None
        if done.returncode:
            told = done.stderr.decode(errors="replace").strip().splitlines()
            raise Unavailable(f"git {words[0]}: {told[-1] if told else 'failed'}", fix=_FIX)
        return done.stdout


def _rows(tree: bytes, digest_bytes: int) -> Iterator[tuple[bytes, bytes, str]]:
    """Mode, name and digest of each entry of a tree object."""
    place = 0
    while place < len(tree):
        space = tree.index(b" ", place)
        end = tree.index(b"\0", space)
        yield tree[place:space], tree[space + 1 : end], tree[end + 1 : end + 1 + digest_bytes].hex()
        place = end + 1 + digest_bytes
