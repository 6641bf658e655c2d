"""Whether built-in rules give what their revisions promise: `python -m tools.revisions`, a test runs the same.

A rule's key holds its `revision`, not its code (docs/design.md, section 4). So for each rule there stands in
`tests/golden/<family>.json` what its golden case gives, and the digest of all code that it imports. Where the
code moved, either the revision rose or a line says why the output is the same.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from spark_build.core.digest import Digest, digest_json
from spark_build.rulebook import FAMILIES, find, names
from spark_build.stages import KINDS
from tools.closure import Sources

ROOT = Path(__file__).resolve().parent.parent
STAGES = "stage"  # beside the families of rules: what the stages' own runners do
FOLDER = ROOT / "tests" / "golden"
MODULES = "modules.json"  # digests of single modules, which say what moved
_RUNNERS = {"eval": "evaluate"}
# other instruction sets and thread counts move these figures by 2e-6, a changed schedule by 1e-3 and more
_RELATIVE, _ABSOLUTE = 1e-4, 1e-5


@dataclass(frozen=True)
class Accepted:
    """What stands in `tests/golden`."""

    revision: int
    closure: Digest  # of the code for which the revision was accepted
    golden: Mapping[str, Digest]  # part of the output -> digest
    figures: Mapping[str, float] = field(default_factory=dict)
    same_output: Sequence[Mapping[str, str]] = ()  # later code: its closure, and why it gives the same

    @property
    def last_closure(self) -> Digest:
        return self.same_output[-1]["closure"] if self.same_output else self.closure


@dataclass(frozen=True)
class Found:
    """What the rule is now."""

    module: str
    place: str  # of its revision, in words
    revision: int
    modules: Mapping[str, Digest]
    golden: Mapping[str, Digest] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def closure(self) -> Digest:
        return digest_json(dict(self.modules))


@dataclass(frozen=True)
class Problem:
    rule: str  # 'gate/pii'
    what: str
    fix: str
    mended_by: str = ""  # 'accept' or 'same-output'; '' where the code has to change first

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}\n  fix: {self.fix}"


def check() -> list[Problem]:
    """All that is not accepted."""
    return list(problems(accepted(), found(code()), modules_accepted()))


def problems(
    accepted: Mapping[str, Accepted], found: Mapping[str, Found], modules: Mapping[str, Digest]
) -> Iterator[Problem]:
    for rule, now in found.items():
        if problem := _problem(rule, accepted.get(rule), now, modules):
            yield problem
    for rule in sorted(set(accepted) - set(found)):
        yield Problem(rule, "there is no such rule any more", _accept(rule), "accept")


def _problem(rule: str, then: Accepted | None, now: Found, modules: Mapping[str, Digest]) -> Problem | None:
    if then is None:
        return Problem(rule, "a new rule", _accept(rule), "accept")
    if now.revision > then.revision:
        what = f"revision {then.revision} → {now.revision}"
        return Problem(rule, f"{what}: its output is not taken yet", _accept(rule), "accept")
    if now.revision < then.revision:
        what = (
            f"revision fell from {then.revision} to {now.revision}: old results would be taken for new ones"
        )
        return Problem(rule, what, f"set it to {then.revision} or higher in {now.place}")
    different = _different(then, now)
    if now.closure == then.last_closure:
        different = different or _added(then, now)
        if not different:
            return None
        what = f"its code stands still, and it gives another result ({different})"
        return Problem(rule, what, f"where its golden case or a library changed: {_accept(rule)}", "accept")
    moved = _moved(now, modules)
    if different:
        fix = f"set revision to {now.revision + 1} in {now.place}, then {_accept(rule)}"
        return Problem(
            rule, f"gives another result ({different}) under the same revision; code moved: {moved}", fix
        )
    fix = (
        f"can its output differ for any input? Then set revision to {now.revision + 1} in {now.place}, and "
        f"{_accept(rule)}; else: python -m tools.revisions --same-output 'why' {rule}"
    )
    return Problem(rule, f"code moved: {moved}", fix, "same-output")


def _accept(rule: str) -> str:
    return f"python -m tools.revisions --accept {rule}"


def _added(then: Accepted, now: Found) -> str:
    """Parts that the golden case did not have: nothing that was built before can be one of them."""
    return ", ".join(sorted({*now.golden} - {*then.golden}))


def _different(then: Accepted, now: Found) -> str:
    """Parts of the output that moved, in words; '' for none."""
    parts = sorted(part for part, digest in then.golden.items() if now.golden.get(part) != digest)
    parts += [
        f"{name}: {then.figures.get(name)} → {now.figures.get(name)}"
        for name in sorted({*then.figures, *now.figures})
        if not _is_close(then.figures.get(name), now.figures.get(name))
    ]
    return ", ".join(parts)


def _is_close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return False
    return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)


def _moved(now: Found, modules: Mapping[str, Digest]) -> str:
    moved = [module for module, digest in now.modules.items() if modules.get(module) != digest]
    return ", ".join(moved) or "a module that is no longer imported, or was"


# what is


def code() -> dict[str, Found]:
    """Every built-in rule and runner: its revision and its code; not yet what it gives."""
    sources = Sources(ROOT)
    return {
        rule: Found(module, place, revision, sources.closure(module))
        for rule, (module, place, revision) in _places().items()
    }


def _places() -> dict[str, tuple[str, str, int]]:
    """Module, place of the revision, and revision; by rule."""
    from spark_build.pipeline import STAGE_REVISIONS

    places = {}
    for family, package in FAMILIES.items():
        for name in names(family):
            rule = find(family, name, ROOT).rule
            where = f"{rule.__name__} (spark_build/{package}/{name}.py)"
            places[f"{family}/{name}"] = (rule.__module__, where, rule.revision)
    for kind in KINDS:
        module = f"spark_build.stages.{_RUNNERS.get(kind, kind)}"
        where = f"STAGE_REVISIONS['{kind}'] (spark_build/pipeline/__init__.py)"
        places[f"{STAGES}/{kind}"] = (module, where, STAGE_REVISIONS[kind])
    return places


def found(code: Mapping[str, Found]) -> dict[str, Found]:
    """With what the golden cases give; each file of cases runs in an interpreter of its own, side by side."""
    started = {file: _start(file, rules) for file, rules in _by_file(list(code)).items()}
    given: dict[str, Any] = {}
    for file, process in started.items():
        out, err = process.communicate()
        if process.returncode != 0:
            raise SystemExit(f"tests/golden/{file}_cases.py ended with {process.returncode}:\n{err[-4000:]}")
        given |= json.loads(out)
    return {rule: replace(its, **given[rule]) for rule, its in code.items()}


def _by_file(rules: Sequence[str]) -> dict[str, list[str]]:
    from tests.golden import FILES, cases

    files = {file: [f"{family}/{name}" for family, name in cases(file)] for file in FILES}
    if without := sorted(set(rules) - {rule for named in files.values() for rule in named}):
        raise SystemExit(f"{without[0]}: no golden case\n  fix: write one into tests/golden/*_cases.py")
    wanted = {file: [rule for rule in named if rule in rules] for file, named in files.items()}
    return {file: named for file, named in wanted.items() if named}


def _start(file: str, rules: Sequence[str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.golden", file, *rules]
    return subprocess.Popen(
        command, cwd=ROOT, env=_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _environment() -> dict[str, str]:
    """The numerics that keys declare by default, as a worker has them."""
    return {
        **os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip


# what was accepted


def accepted() -> dict[str, Accepted]:
    return {
        f"{family}/{name}": Accepted(**entry)
        for family in (*FAMILIES, STAGES)
        for name, entry in _read(f"{family}.json").items()
    }


def modules_accepted() -> dict[str, Digest]:
    return _read(MODULES)


def _read(name: str) -> dict[str, Any]:
    file = FOLDER / name
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def write(accepted: Mapping[str, Accepted], modules: Mapping[str, Digest]) -> None:
    files: dict[str, dict[str, Any]] = {f"{family}.json": {} for family in (*FAMILIES, STAGES)}
    for rule, entry in sorted(accepted.items()):
        family, _, name = rule.partition("/")
        files[f"{family}.json"][name] = asdict(entry)
    for name, content in {**files, MODULES: modules}.items():
        (FOLDER / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# taking it


def take(
    accepted: Mapping[str, Accepted],
    found: Mapping[str, Found],
    open_problems: Iterable[Problem],
    reason: str | None,
) -> dict[str, Accepted]:
    """What is accepted then: with a `reason` what gives the same output, without one what `--accept` mends."""
    taken = dict(accepted)
    for problem in open_problems:
        rule = problem.rule
        if problem.mended_by == "accept" and reason is None:
            taken.pop(rule, None)
            if rule in found:
                taken[rule] = _newly_accepted(accepted.get(rule), found[rule])
        elif problem.mended_by == "same-output" and reason is not None:
            line = {"closure": found[rule].closure, "reason": reason}
            same = [*accepted[rule].same_output, line]
            # which may have more parts now
            taken[rule] = replace(accepted[rule], same_output=same, golden=found[rule].golden)
    return taken


def _newly_accepted(then: Accepted | None, now: Found) -> Accepted:
    if then is not None and then.revision == now.revision:  # its code stands still: a case or a library moved
        return replace(then, golden=now.golden, figures=now.figures)
    return Accepted(now.revision, now.closure, now.golden, now.figures)


def settled_modules(
    accepted: Mapping[str, Accepted], code: Mapping[str, Found], before: Mapping[str, Digest]
) -> dict[str, Digest]:
    """Digests of modules; those behind a rule that is not accepted yet stay, so that it is told what moved."""
    now = {module: digest for its in code.values() for module, digest in its.modules.items()}
    waiting = {
        module
        for rule, its in code.items()
        if rule not in accepted or accepted[rule].last_closure != its.closure
        for module in its.modules
    }
    return {m: before.get(m, digest) if m in waiting else digest for m, digest in sorted(now.items())}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    before, all_code, modules = accepted(), code(), modules_accepted()
    chosen = options.rules or [*before, *all_code]
    if unknown := [rule for rule in chosen if rule not in {*before, *all_code}]:
        print(f"{unknown[0]}: no such rule\n  fix: one of {', '.join(all_code)}", file=sys.stderr)
        return 2
    now = found({rule: its for rule, its in all_code.items() if rule in chosen})
    left = list(problems({rule: its for rule, its in before.items() if rule in chosen}, now, modules))
    if options.accept or options.same_output is not None:
        after = take(before, now, left, options.same_output)
        write(after, settled_modules(after, all_code, modules))
        taken = [p.rule for p in left if after.get(p.rule) != before.get(p.rule)]
        print(f"taken: {', '.join(taken) or 'nothing'}")
        left = [problem for problem in left if problem.rule not in taken]
    for problem in left:
        print(problem, file=sys.stderr)
    return 1 if left else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.revisions", description=__doc__)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--accept", action="store_true", help="take rules that are new or whose revision rose")
    how.add_argument("--same-output", metavar="WHY", help="moved code gives the same: one line that says why")
    parser.add_argument("rules", nargs="*", help="family/rule or stage/kind; by default all")
    options = parser.parse_args(arguments)
    if options.same_output is not None and not options.same_output.strip():
        parser.error("--same-output: say why in a few words")
    return options


if __name__ == "__main__":
    sys.exit(main())
