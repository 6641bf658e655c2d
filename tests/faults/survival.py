"""What has to hold after a kill or an error at any call; `python -m tests.faults.survival FOLDER 0 1` tries all.

FOLDER PART PARTS [KIND…]: every PARTS-th point from PART on, of these kinds: kills (with a bucket, at each call and
request that changes something), ENOSPC, EIO and EACCES (of calls that write), reads-EIO and reads-EACCES (of calls that
read; these five at each place in the code that makes such a call); without a KIND, kills.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from spark_build.storage.check import check
from spark_build.storage.local import LocalStore
from spark_build.storage.records import read_record
from tests.faults.bucket import Bucket
from tests.faults.reference import Reference
from tests.services.keeper import shared

BUILD = ("build", "--json", "-j", "1")
GC = ("store", "gc", "--keep-builds", "0", "--keep-days", "0")
PLAN = ("plan", "--json")
CHECK = ("store", "check")
STAGES = ("dataset:notes/ingest", "dataset:notes/filter", "dataset:notes/version", "model:tiny/train")


@dataclass(frozen=True)
class Step:
    """One stage of the reference build, or a command after it, in a project where all before it is done."""

    name: str
    made: Reference
    words: tuple[str, ...]
    outputs: dict[str, str]  # of all stages once it is done
    calls: list[list[str]]
    content: dict[str, bytes] = field(default_factory=dict)  # of the bucket before

    @property
    def unlike(self) -> tuple[int, ...]:
        """Calls before which files or bucket are others than before the call before them.

        Killed before any other one, or before a request that only reads, all is as it was before one of these.
        """
        names = [call[0] for call in self.calls]
        is_like = [False, *(name.startswith("(") for name in names[:-1])]
        return tuple(at for at, like in enumerate(is_like, 1) if not like)

    @property
    def requests(self) -> tuple[int, ...]:
        """Before each, and once it is answered."""
        return tuple(at for at, call in enumerate(self.calls, 1) if "s3:" in call[2])

    @property
    def of_the_disk(self) -> tuple[int, ...]:
        return tuple(at for at, call in enumerate(self.calls, 1) if "s3:" not in call[2])

    @property
    def collects(self) -> bool:
        return "gc" in self.words

    @property
    def stages(self) -> tuple[str, ...]:
        return () if self.name not in STAGES else (self.name,)


def steps(path: Path, bucket: Bucket | None = None) -> list[Step]:
    """The reference build, undisturbed, stage by stage, and what comes after it."""
    found, made = [], Reference.made(path / "before-0", path / "library", bucket)
    for number, stage in enumerate(STAGES):
        after = path / f"before-{number + 1}"
        found.append(_done(stage, made, (*BUILD, stage), after))
        made = Reference.of(after, made.library, bucket)
    found += [] if bucket is None else [_push(path, bucket), _restore(path, made)]
    return [*found, *_with_garbage(path, bucket)]


def reading(found: Sequence[Step], path: Path) -> list[Step]:
    """These steps with what they read, and commands in a project where all is done."""
    done = found[len(STAGES)].made  # what gc begins with
    outputs = found[-1].outputs
    more = [Step(" ".join(words), done, words, outputs, []) for words in (BUILD, PLAN, CHECK)]
    return [replace(step, calls=_reads(step, path / "reading")) for step in [*found, *more]]


def of_each_place(found: Iterable[Step]) -> list[tuple[Step, str]]:
    """Of each kind of call of the disk, and each place in the code that makes it, the first."""
    first: dict[str, Step] = {}
    for step in found:
        for at in step.of_the_disk:
            name, place, *_ = step.calls[at - 1]
            first.setdefault(f"{name}\t{place}\t", step)
    return [(step, at) for at, step in first.items()]


def _reads(step: Step, to: Path) -> list[list[str]]:
    copy = copied(step.made, to)
    done = copy.spark(*step.words, counts="reads")
    assert done.returncode == 0, done.stderr
    return copy.calls()


def _done(name: str, made: Reference, words: tuple[str, ...], to: Path, outputs: str = "") -> Step:
    """`outputs`: what a build before has said of them; else this command does."""
    content = {} if made.bucket is None else made.bucket.content()
    copy = copied(made, to)
    done = copy.spark(*words)
    assert done.returncode == 0, done.stderr
    return Step(name, made, words, copy.outputs(outputs or done.stdout), copy.calls(), content)


def _push(path: Path, bucket: Bucket) -> Step:
    """All at once, of a build that brought nothing there."""
    bucket.bring_back({})
    made = Reference.made(path / "unpushed", path / "library", bucket)
    built = made.plain(*BUILD, "--no-push")
    assert built.returncode == 0, built.stderr
    return _done("push", made, ("store", "push"), path / "pushed", built.stdout)


def _restore(path: Path, of: Reference) -> Step:
    return _done("restore", clone(of, path / "clone"), BUILD, path / "restored")


def _with_garbage(path: Path, bucket: Bucket | None) -> Iterator[Step]:
    """A project that was built twice, of which gc takes one."""
    if bucket is not None:
        bucket.bring_back({})
    made = Reference.made(path / "garbage", path / "library", bucket)
    assert made.plain(*BUILD).returncode == 0
    (made.folder.path / "data" / "doc0000.md").unlink()
    built = made.plain(*BUILD)
    assert built.returncode == 0, built.stderr
    yield _done("gc", made, GC, path / "collected", built.stdout)
    if bucket is not None:
        bucket.bring_back(bucket.content(), ages=True)
        yield _done("gc --remote", made, (*GC, "--remote"), path / "collected-there", built.stdout)


def copied(made: Reference, to: Path, *left_out: str) -> Reference:
    if to.exists():
        shutil.rmtree(to)
    ignored = shutil.ignore_patterns("__pycache__", *left_out)
    shutil.copytree(made.folder.path, to, ignore=ignored, copy_function=shutil.copy2)
    return Reference.of(to, made.library, made.bucket)


def clone(made: Reference, to: Path) -> Reference:
    """What git would bring: everything but the store."""
    return copied(made, to, ".spark")


class Said(NamedTuple):
    """By the command that was disturbed."""

    code: int
    text: str
    call: list[str]  # the one that failed


def survives(step: Step, to: Path, at: int | str, how: str = "kill", counts: str = "writes") -> Said:
    """Fails the `at`th call of a step, or the first of a place, and looks whether all is well."""
    project, bucket = copied(step.made, to), step.made.bucket
    if bucket is not None:
        bucket.bring_back(step.content, ages=step.collects)
    done = project.spark(*step.words, at=at, how=how, counts=counts)
    call = _call(project, at)
    left = project.orphans()
    assert not left, f"left over: {left}"
    _is_clean(project)
    if bucket is not None:
        _is_clean_there(project)
    (goes_on_with_gc if step.collects else goes_on)(step, project)
    _is_clean(project)
    if bucket is not None:
        _is_shared(step, project, bucket)
    return Said(done.returncode, done.stderr, call)


def _call(project: Reference, at: int | str) -> list[str]:
    """Which one it was; nothing where it came to none."""
    for number, call in enumerate(project.calls(), 1):
        if number == at or (isinstance(at, str) and "\t".join(call).startswith(at)):
            return call
    return ["", "", ""]


def goes_on(step: Step, project: Reference) -> None:
    kept = _records(project)
    again = _run(project, *step.words)
    _is_built(step, project, again if step.words[0] == "build" else _run(project, *BUILD))
    assert kept <= _records(project), "a record was lost"


def goes_on_with_gc(step: Step, project: Reference) -> None:
    built = _run(project, *BUILD)
    _is_built(step, project, built)
    assert _outcomes(built) == {"fresh"}, "gc made it stale"
    _run(project, *step.words)
    left = project.bucket.records() if "--remote" in step.words and project.bucket else _records(project)
    assert len(left) == len(step.outputs), f"the next gc left {left}"


def _run(project: Reference, *words: str) -> str:
    done = project.plain(*words)
    assert done.returncode == 0, f"the next {' '.join(words)} failed\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _is_built(step: Step, project: Reference, out: str) -> None:
    assert project.outputs(out) == step.outputs, "another result"


def _is_shared(step: Step, project: Reference, bucket: Bucket) -> None:
    """Nothing is lost in the bucket, and another clone gets the same of it."""
    if "--remote" not in step.words:
        lost = {key for key in step.content if "/records/" in key} - bucket.records()
        assert not lost, f"the bucket has no {lost} any more"
        _run(project, "store", "push", *step.stages)
    other = clone(project, project.folder.path.with_name("other"))
    built = _run(other, *BUILD, *step.stages)
    _is_built(step, other, built)
    assert _outcomes(built) <= {"restored", "fresh"}, f"the clone did it itself: {built}"


def _outcomes(out: str) -> set[str]:
    events = [json.loads(line) for line in out.splitlines()]
    return {event["outcome"] for event in events if event["event"] == "stage"}


def _records(project: Reference) -> set[str]:
    return {p.name for p in (project.store / "records").rglob("*.json") if read_record(str(p)) is not None}


def _is_clean(project: Reference) -> None:
    found = [finding for finding in check(LocalStore(project.store)) if finding.is_damage]
    assert not found, str(found)


def _is_clean_there(project: Reference) -> None:
    """For whoever never saw the bucket before."""
    _run(clone(project, project.folder.path.with_name("looking")), "store", "check", "--remote")


WORDS = {
    "ENOSPC": "no space left on the disk|No space left on device",
    "EIO": "the disk reports an error|Input/output error|is damaged",
    "EACCES": "permission denied|Permission denied|is damaged",
}


def assert_told(step: Step, said: Said, how: str) -> None:
    """In words; where the command failed by it, with what and where."""
    told = f"{step.name}, {said.call}, exit code {said.code}: {said.text}"
    assert "Traceback" not in said.text, told
    assert "BUG:" not in said.text, told
    if said.code:
        assert re.search(WORDS[how], said.text), told
        assert "fix: " in said.text, told
        paths = map(Path, said.call[2:])
        # of a descriptor the system knows no path: what lies around it is named then
        many = 4 if said.call[0].strip("(").startswith("fd.") else 1
        where = [part for path in paths for part in path.parts[-many:]]
        assert any(part[:10] in said.text for part in where), told


def main(folder: str, part: str, parts: str, *kinds: str) -> None:
    path = Path(folder, part)
    path.mkdir(parents=True)
    with shared("moto_server", Path(folder, "moto")) as service:
        for kind in kinds or ("kills",):
            bucket, mine = (Bucket(service) if kind == "kills" else None), slice(int(part), None, int(parts))
            counts, _, how = kind.rpartition("-")
            found = steps(path / kind, bucket)
            found = reading(found, path / kind) if counts else found
            points = _kills(found) if kind == "kills" else of_each_place(found)
            print(f"{kind}: {_counted(found)}; {len(points)} to try", flush=True)
            how = "kill" if kind == "kills" else how
            failed = _try_all(points[mine], how, counts or "writes", path / kind / "tried")
            print(f"{kind}: {len(points[mine])} tried, {failed} failed", flush=True)


def _kills(found: Iterable[Step]) -> Sequence[tuple[Step, int | str]]:
    return [(step, at) for step in found for at in step.unlike]


def _counted(found: Iterable[Step]) -> str:
    return ", ".join(f"{s.name} {len(s.calls)} calls ({len(s.requests) // 2} requests)" for s in found)


def _try_all(points: Sequence[tuple[Step, int | str]], how: str, counts: str, to: Path) -> int:
    """How many failed; said at once."""
    failed = 0
    for number, (step, at) in enumerate(points, 1):
        try:
            said = survives(step, to, at, how, counts)
            if how != "kill":
                assert_told(step, said, how)
        except AssertionError as error:
            failed += 1
            print(f"{how}: {step.name} {at!r} of {len(step.calls)}: {error}", flush=True)
        if number % 50 == 0:
            print(f"{how}: {number} of {len(points)} tried, {failed} failed", flush=True)
    return failed


if __name__ == "__main__":
    main(*sys.argv[1:])
