"""Deliberate bugs, each put into the tool itself: the fuzzer has to catch every one of them."""

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from spark_build import graph_stamp
from spark_build.core.values import replace
from spark_build.engine import action, explain, jobs, moved, plan
from spark_build.pipeline import Uses
from spark_build.pipeline import project_view as view
from spark_build.storage import folder_walk, state, tools, world
from spark_build.storage.objects import LocalObjects
from tests.truth.sequences import Failure, run_sequence

MOST_SEQUENCES = 12
Patch = Callable[[pytest.MonkeyPatch], None]


def _step_without(*names: str) -> Patch:
    real = action.step_manifest

    def patched(*given: Any) -> dict[str, Any]:
        return {name: value for name, value in real(*given).items() if name not in names}

    return lambda patch: patch.setattr(action, "step_manifest", patched)


def _key_without_params(patch: pytest.MonkeyPatch) -> None:
    _step_without("params")(patch)


def _ctime_ignored(patch: pytest.MonkeyPatch) -> None:
    add = folder_walk._Walk._add

    def blind(self: Any, path: str, stat: Any) -> None:
        kept = {n: getattr(stat, n) for n in ("st_size", "st_mtime_ns", "st_ino", "st_mode")}
        add(self, path, SimpleNamespace(**kept, st_ctime_ns=0))  # type: ignore[arg-type]

    patch.setattr(folder_walk._Walk, "_add", blind)
    of = state.FileStat.of
    patch.setattr(state.FileStat, "of", classmethod(lambda cls, stat: of(stat)._replace(ctime_ns=0)))


def _cutoff_skipped(patch: pytest.MonkeyPatch) -> None:
    """What is behind hangs on how a result came about, not on what it is."""

    def parts(found: plan.StagePlan) -> Mapping[str, str]:
        return {n: f"{d} {found.key}" for n, d in found.record.parts.items()} if found.record else {}

    patch.setattr(plan, "_parts", parts)


def _imports_left_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(view.ProjectView, "_imported_by", lambda self, path: iter(()))


def _inputs_of_commands_left_out(patch: pytest.MonkeyPatch) -> None:
    real = Uses._inputs

    def patched(self: Any, needs: Any, use: Any, rule: Any) -> Any:
        kept = {n: p for n, p in needs.paths.items() if not p.startswith("scripts/")}
        return real(self, replace(needs, paths=kept), use, rule)

    patch.setattr(Uses, "_inputs", patched)


def _parts_ignored(patch: pytest.MonkeyPatch) -> None:
    """Whatever of a result changes wakes all that read something of it."""
    patch.setattr(action, "select_parts", lambda parts, wanted: dict(parts))


def _library_version_ignored(patch: pytest.MonkeyPatch) -> None:
    for module in (action, moved):
        patch.setattr(module, "counted_version", lambda version, policy: "any")


def _stat_trusted_too_young(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(world, "TRUSTED_AFTER_NS", -(10**12))


def _missing_called_fresh(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LocalObjects, "missing", lambda self, tree: [])


def _order_of_gates_ignored(patch: pytest.MonkeyPatch) -> None:
    real = action.manifest_of

    def patched(*given: Any) -> dict[str, Any]:
        manifest = real(*given)
        return {**manifest, "steps": sorted(manifest.get("steps", []), key=repr)}

    patch.setattr(plan, "manifest_of", patched)


def _guards_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Uses, "guards", lambda self, given: ())


def _cause_lost(patch: pytest.MonkeyPatch) -> None:
    real = explain._step_differences

    def patched(*given: Any) -> Any:
        return (reason for reason in real(*given) if reason.kind != "env")

    patch.setattr(explain, "_step_differences", patched)


def _cause_at_another_line(patch: pytest.MonkeyPatch) -> None:
    real = explain._named
    patch.setattr(explain, "_named", lambda *given: (real(*given)[0], "Sparkfile.yaml:1:1"))


def _edit_meanwhile_recorded(patch: pytest.MonkeyPatch) -> None:
    # on a slow machine a stage that starts late is looked at beforehand, which is not what is left out here
    patch.setattr(jobs, "_FRESH_SECONDS", math.inf)
    patch.setattr(moved.Watch, "check", lambda self, undeclared: None)


def _graph_kept_for_ever(patch: pytest.MonkeyPatch) -> None:
    """The cached graph is taken while the text is the same, whatever else it was made of."""
    patch.setattr(graph_stamp, "_globs_hold", lambda globs, root: True)
    patch.setattr(graph_stamp, "stat_line_at", lambda path: path)
    real = view.ProjectView.note_installed
    patch.setattr(view.ProjectView, "note_installed", lambda self, file: (real(self, file), self.installed.update({file: file})))  # type: ignore[func-returns-value] # fmt: skip # noqa: E501


def _tool_remembered_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tools, "_is_script", lambda file: False)
    patch.setattr(tools, "stats", SimpleNamespace(stat_line=lambda stat: ""))


def _threads_in_no_key(patch: pytest.MonkeyPatch) -> None:
    real = action.manifest_of

    def patched(*given: Any) -> dict[str, Any]:
        return {name: value for name, value in real(*given).items() if name != "numerics"}

    patch.setattr(plan, "manifest_of", patched)


def _layout_in_the_key(patch: pytest.MonkeyPatch) -> None:
    """Where a rule stands in the file wakes it: comments are no longer free."""
    real = action.step_manifest

    def patched(step: Any, *given: Any) -> dict[str, Any]:
        return {**real(step, *given), "options": {"at": step.where.get("", ("", ""))[1]}}

    patch.setattr(action, "step_manifest", patched)


MUTANTS: dict[str, tuple[Patch, tuple[str, ...], set[str]]] = {
    "a key without params": (_key_without_params, ("param",), {"outcome"}),
    "ctime ignored": (_ctime_ignored, ("same size and mtime",), {"outcome", "output"}),
    "cutoff skipped": (_cutoff_skipped, ("space that the reader strips",), {"outcome", "plan"}),
    "helpers of a rule left out": (_imports_left_out, ("helper of a rule",), {"outcome"}),
    "a needed input left out": (_inputs_of_commands_left_out, ("script",), {"outcome"}),
    "env digests dropped": (_step_without("env"), ("variable that is named",), {"outcome", "output"}),
    "code dropped": (_step_without("code"), ("rule's own file",), {"outcome"}),
    "the parts that are read ignored": (_parts_ignored, ("card",), {"outcome", "plan", "cause"}),
    "library versions ignored": (_library_version_ignored, ("library",), {"outcome"}),
    "a stat trusted too young": (_stat_trusted_too_young, ("at once after a look",), {"outcome", "output"}),
    "a missing object called fresh": (_missing_called_fresh, ("object deleted",), {"outcome", "output"}),
    "the order of gates ignored": (_order_of_gates_ignored, ("gate order",), {"outcome", "output"}),
    "guards ignored": (_guards_ignored, ("require not met", "content"), {"outcome", "plan"}),
    "a cause lost": (_cause_lost, ("variable that is named",), {"cause"}),
    "a cause at another line": (_cause_at_another_line, ("param",), {"cause"}),
    "an edit beside a build recorded": (_edit_meanwhile_recorded, ("while a build runs",), {"outcome", "output"}),
    "a cached graph kept for ever": (_graph_kept_for_ever, ("rule revision",), {"outcome"}),
    "a tool remembered for ever": (_tool_remembered_for_ever, ("tool",), {"outcome"}),
    "numerics dropped": (_threads_in_no_key, ("numerics",), {"outcome"}),
    "layout in the key": (_layout_in_the_key, ("comments, white space, order of keys",), {"outcome", "cause"}),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_deliberate_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, agenda, claims = MUTANTS[name]
    patch(monkeypatch)
    caught = _first_failure(agenda)
    assert caught is not None, f"{MOST_SEQUENCES} sequences of {agenda} saw nothing"
    assert caught.error.startswith("Contradiction"), caught.error
    assert caught.error.removeprefix("Contradiction: ").partition(":")[0] in claims, caught.error


def test_without_a_deliberate_bug_the_same_sequences_hold() -> None:
    for agenda in sorted({agenda for _, agenda, _ in MUTANTS.values()}):
        _, failure = run_sequence(0, agenda, edits=len(agenda), shrinks=False)
        assert failure is None, failure


def _first_failure(agenda: tuple[str, ...]) -> Failure | None:
    for number in range(MOST_SEQUENCES):
        _, failure = run_sequence(number, agenda, edits=len(agenda), shrinks=False)
        if failure is not None:
            return failure
    return None
