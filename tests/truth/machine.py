"""The state machine: a random project, then edits, and after each of them all that has to hold."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.truth.edits import EDITS, Bench, NotHereError
from tests.truth.generate import Draw, project
from tests.truth.inline import wait_for_a_tick
from tests.truth.project import Site, State
from tests.truth.verify import Contradiction, Verifier

FAST = Path("/dev/shm")
# workers do not see the test's own package folder, and nobody can halt them for an edit
NOT_OUTSIDE = frozenset({"rule revision", "while a build runs"})


class Truth(RuleBasedStateMachine):
    """One sequence. Sub-classes name the edits that have to be among those that are drawn."""

    agenda: ClassVar[Sequence[str]] = ()
    is_outside: ClassVar[bool] = False  # through the real command line
    seen: ClassVar[list[str]]  # kinds of edits, in order, of the last sequence

    site: Site | None = None

    @initialize(data=st.data(), is_there=st.integers(0, 255))
    def begin(self, data: st.DataObject, is_there: int) -> None:
        self.left = list(type(self).agenda)
        self.story: list[str] = []
        self.kinds: list[str] = []
        type(self).seen = self.kinds
        if not is_there:
            return  # the smallest sequence has no project
        draw = Draw(data)
        wanted = frozenset(need for name in self.left for need in EDITS[name].needs)
        state = project(draw, wanted, may_have_plugin=not self.is_outside)
        self.place = Path(tempfile.mkdtemp(prefix="truth-", dir=FAST if FAST.is_dir() else None))
        self.site = Site(self.place, state)
        self.verifier = Verifier(self.site, is_outside=self.is_outside)
        self.past: list[State] = [state.copy()]
        self._told(self.verifier.first_round, draw)

    @rule(data=st.data())
    def edit(self, data: st.DataObject) -> None:
        if self.site is None:
            return
        draw = Draw(data)
        wait_for_a_tick()
        before = self.site.state.copy()
        name = self._apply(draw)
        self.kinds.append(name)
        self.past.append(before)
        self._told(self.verifier.round, draw)

    def _apply(self, draw: Draw) -> str:
        """The next of the agenda, else any; one that finds nothing to change is passed over."""
        assert self.site is not None
        bench = Bench(self.site, self.verifier, draw, self.past)
        names = sorted(EDITS.keys() - NOT_OUTSIDE if self.is_outside else EDITS)
        self.left = [name for name in self.left if name in names]
        for _ in range(30):
            name = self.left.pop(0) if self.left else draw.one(names)
            try:
                told = EDITS[name].apply(bench)
            except NotHereError:
                continue
            self.story.append(f"{name}: {told}")
            return name
        raise AssertionError("no edit fits")

    def _told(self, check: Callable[[int], None], draw: Draw) -> None:
        try:
            check(draw.number(0, 99))
        except Contradiction as error:
            raise Contradiction(error.claim, f"{error}\n{self.scenario()}") from None

    def scenario(self) -> str:
        """All that is needed to do it again."""
        assert self.site is not None
        first, last = self.past[0], self.site.state
        edits = "\n".join(f"  {n}. {told}" for n, told in enumerate(self.story, 1)) or "  none"
        changed = {p: f.content for p, f in last.files.items() if first.files.get(p) != f}
        files = "\n".join(f"  {p}: {t!r}" for p, t in sorted(changed.items()) if not p.startswith("rules/"))
        documents = "\n".join(
            f"  {p}: {f.content!r}" for p, f in sorted(first.files.items()) if p.startswith("data/")
        )
        return (
            f"edits:\n{edits}\nthe Sparkfile at first:\n{first.rendered().text}documents at first:\n{documents}\n"
            f"the Sparkfile now:\n{last.rendered().text}changed files:\n{files}\n"
        )

    def teardown(self) -> None:
        if self.site is not None:
            shutil.rmtree(self.place, ignore_errors=True)


def machine(agenda: Sequence[str] = (), *, is_outside: bool = False) -> type[Truth]:
    return type("Truth", (Truth,), {"agenda": tuple(agenda), "seen": [], "is_outside": is_outside})
