"""A build's links to its warm workers: which jobs may be forks, and of which worker.

What is read when libraries load, or an interpreter starts, must be the same for all forks of one worker: a job with
variables, secrets or a hub id of its own gets a fresh interpreter, and so does one on a GPU, whose driver knows no
forks. Rules of the user's own do so where numerics count, because they may want to say more before torch loads.
"""

from collections.abc import Mapping, Sequence

from spark_build.core.job import Job
from spark_build.executors.environment import import_path
from spark_build.executors.link import Link, start_process

_DATASETS, _MODELS = "datasets", "models"
_LOADED_BY_MODELS = {"torch", "transformers"}
_SURE_TO_LOAD = ("train", "eval")  # a filter whose items are all remembered loads neither


class WarmLinks:
    """One for each of what is loaded, with the variables of the first job that came for it."""

    def __init__(self, words: Sequence[str]) -> None:
        """`words` start a worker."""
        self._words = words
        self._begun: dict[str, tuple[Mapping[str, str], Link]] = {}

    @property
    def links(self) -> list[Link]:
        return [link for _, link in self._begun.values()]

    def link_for(self, job: Job, env: Mapping[str, str]) -> Link | None:
        """None where the job is to have a fresh interpreter."""
        loaded = _loaded_for(job)
        if loaded is None:
            return None
        if loaded == _MODELS and loaded not in self._begun and job.kind not in _SURE_TO_LOAD:
            return None
        around, link = self._begun.setdefault(loaded, (env, self._link(loaded, env)))
        return link if around == env else None

    def _link(self, loaded: str, env: Mapping[str, str]) -> Link:
        def start(descriptor: int) -> int:
            words = [*self._words, "--link", str(descriptor), "--loads", loaded]
            return start_process(words, {**env, **import_path()}, descriptor)

        return Link(start, tells_when_loaded=True)


def _loaded_for(job: Job) -> str | None:
    if job.hub or job.env or job.secrets:
        return None
    if not job.numerics:
        return _DATASETS
    libraries = {name for step in job.steps for name in step.manifest.get("libraries", ())}
    is_ours = all(step.impl.startswith("spark_build.") for step in job.steps)
    on_cpu = job.numerics.get("device", "cpu") == "cpu"
    return _MODELS if is_ours and on_cpu and libraries >= _LOADED_BY_MODELS else None
