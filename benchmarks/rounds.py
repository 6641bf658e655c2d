"""Workloads and their rounds: contenders take turns, and after each round what came out is compared."""

import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import CommandFailed, Measured, measure

SLOW_SECONDS = 5.0  # of what is asked for, CPU or wall time: who takes longer has fewer rounds


@dataclass
class Contender:
    """One command line, and what belongs around it."""

    name: str
    command: Sequence[str]
    folder: Path
    prepare: Callable[[], None] = lambda: None  # once; may find it done
    before: Callable[[str], None] = lambda token: None  # each round, with a text that no round had before
    ran: Callable[[Measured], int] | None = None  # stages, by its own word
    must_run: int | None = None
    outputs: Callable[[], Mapping[str, Path | str]] | None = None  # files, or what stands for them
    facts: Callable[[Measured], dict[str, Any]] = lambda measured: {}  # `items`, `disk`
    must_be: Mapping[str, Callable[[Any], bool]] = field(
        default_factory=dict
    )  # fact -> is it as it has to be
    warms_up: bool = True  # its first run fills caches that the round doesn't mean to measure


@dataclass
class Workload:
    name: str
    title: str
    contenders: Sequence[Contender]
    asked: float | None = None  # seconds that spark may take
    asked_facts: Mapping[str, float] = field(default_factory=dict)  # and the most that a fact of it may be
    is_wall: bool = False  # wall time is asked for, else CPU
    note: str = ""


@dataclass
class Result:
    """One contender's rounds."""

    contender: str
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    ran: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    is_out: bool = False  # it failed

    def seconds(self, is_wall: bool) -> list[float]:
        return self.wall if is_wall else self.cpu

    def median(self, is_wall: bool) -> float:
        return statistics.median(self.seconds(is_wall))


@dataclass
class Outcome:
    workload: Workload
    results: list[Result]
    wrong: list[str]  # what must not be: other outputs, another count

    def of(self, name: str) -> Result | None:
        return next((r for r in self.results if r.contender == name), None)

    @property
    def verdict(self) -> str:
        spark = self.of("spark")
        if self.wrong:
            return "WRONG"
        if spark is None or self.workload.asked is None:
            return ""
        is_met = spark.median(self.workload.is_wall) <= self.workload.asked
        is_met &= all(spark.facts[name] <= most for name, most in self.workload.asked_facts.items())
        return "met" if is_met else "MISSED"


def run_rounds(
    workload: Workload, env: Mapping[str, str], session: str, rounds: int, rounds_slow: int
) -> Outcome:
    outcome = Outcome(workload, [Result(c.name) for c in workload.contenders], [])
    for contender, result in zip(workload.contenders, outcome.results, strict=True):
        _or_told(outcome, result, partial(_prepare, contender, env, f"{session}-warm"))
    for number in range(rounds):
        _one_round(outcome, env, f"{session}-{number}", number < rounds_slow)
    outcome.results = [result for result in outcome.results if result.cpu]
    return outcome


def _prepare(contender: Contender, env: Mapping[str, str], token: str) -> None:
    contender.folder.mkdir(parents=True, exist_ok=True)
    contender.prepare()
    if contender.warms_up:
        contender.before(token)
        measure(contender.command, contender.folder, env)


def _one_round(outcome: Outcome, env: Mapping[str, str], token: str, with_slow: bool) -> None:
    outputs: dict[str, dict[str, str]] = {}

    def turn(contender: Contender, result: Result) -> None:
        contender.before(token)
        measured = measure(contender.command, contender.folder, env)
        result.cpu.append(measured.cpu)
        result.wall.append(measured.wall)
        outcome.wrong += _look(contender, result, measured)
        if contender.outputs is not None:
            outputs[contender.name] = digests(contender.outputs())

    for contender, result in zip(outcome.workload.contenders, outcome.results, strict=True):
        is_slow = bool(result.cpu) and max(result.seconds(outcome.workload.is_wall)) > SLOW_SECONDS
        if not result.is_out and (with_slow or not is_slow):
            _or_told(outcome, result, partial(turn, contender, result))
    outcome.wrong += differences(outputs)


def _or_told(outcome: Outcome, result: Result, step: Callable[[], None]) -> None:
    """A command that fails takes its contender out of the workload, and nobody else."""
    try:
        step()
    except (CommandFailed, subprocess.CalledProcessError) as error:
        outcome.wrong.append(f"{result.contender}: {error}")
        result.is_out = True


def _look(contender: Contender, result: Result, measured: Measured) -> Iterable[str]:
    result.facts = contender.facts(measured)
    if measured.left:
        yield f"{contender.name} left {measured.left} processes behind"
    for name, is_right in contender.must_be.items():
        if not is_right(result.facts[name]):
            yield f"{contender.name}: {name} is {result.facts[name]}"
    if contender.ran is not None:
        result.ran = contender.ran(measured)
        if contender.must_run is not None and result.ran != contender.must_run:
            yield f"{contender.name} ran {result.ran} stages, not {contender.must_run}"


def digests(outputs: Mapping[str, Path | str]) -> dict[str, str]:
    from spark_build.core.digest import digest_bytes, digest_file

    return {
        name: digest_file(found, found.stat().st_size) if isinstance(found, Path) else digest_bytes(found.encode())
        for name, found in outputs.items()
    }  # fmt: skip


def differences(outputs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What two contenders don't have alike, told of each against the first."""
    told = []
    (first, expected), *others = outputs.items() or [("", {})]
    for name, found in others:
        names = sorted(n for n in {*expected, *found} if expected.get(n) != found.get(n))
        if names:
            told.append(f"{name} and {first} differ in {len(names)} outputs, the first {names[0]}")
    return told
