"""Rules by name: a step's class, its checked params, and an instance that can't see what only decides."""

import errno
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from spark_build.contract.params import RuleParams
from spark_build.contract.rules import OutsideSource, Rule
from spark_build.core.bytecode import import_from_source, source_loader
from spark_build.core.digest import digest_bytes
from spark_build.core.disk import disk_problem
from spark_build.core.errors import SparkError, StageFailed, Unavailable, UsageError
from spark_build.core.job import Job, JobStep
from spark_build.stages.contexts import step_inputs

R = TypeVar("R", bound=Rule)
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EMFILE)
_SECRET = re.compile(r"\$\{secret\.([A-Za-z_][A-Za-z0-9_]*)\}")


def load(job: Job, step: JobStep, family: Callable[..., R]) -> R:
    """An instance of the step's rule with all of its params."""
    rule = rule_class(job, step, family)
    return rule(params_of(rule, step), step_inputs(job, step))


def load_blind(job: Job, step: JobStep, family: Callable[..., R]) -> tuple[R, Any]:
    """An instance whose params hide what only decides, and the full params for `decide`."""
    rule = rule_class(job, step, family)
    params = params_of(rule, step)
    return rule(without_deciding(params), step_inputs(job, step)), params


def rule_class(job: Job, step: JobStep, family: Callable[..., R]) -> type[R]:
    """Errors: UsageError where the class isn't there or is of another family."""
    place, _, name = step.impl.rpartition(":")
    module = load_rule_file(Path(place), Path(job.project)) if place.endswith(".py") else _module(place, step)
    found = getattr(module, name, None)
    shown = Path(place).name if place.endswith(".py") else place
    if not isinstance(found, type):
        raise UsageError(f"{called(step)}: {shown} has no class '{name}'", fix="use: ./FILE.py:CLASS")
    wanted = cast(type[R], family)  # a Callable to the type checker, which takes abstract classes then
    if not issubclass(found, wanted):
        raise UsageError(
            f"{called(step)}: '{name}' in {shown} is no {wanted.__name__}",
            fix=f"derive it from spark_build.contract.{wanted.__name__}",
        )
    return found


def params_of(rule: type[Rule], step: JobStep) -> Any:
    from pydantic import ValidationError

    is_pinned = issubclass(rule, OutsideSource)  # and read without its secrets
    try:
        return rule.Params(**(step.params if is_pinned else with_secrets(rule.Params, step.params)))
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UsageError(f"{called(step)}: {'; '.join(lines)}") from None


def without_deciding(params: RuleParams) -> RuleParams:
    """A copy whose `Decides` fields raise AttributeError: what `measure` finds can't hang on them."""
    hidden = params.marked("decides")
    if not hidden:
        return params
    shown = {name: getattr(params, name) for name in type(params).model_fields if name not in hidden}
    blind = _blind_class(type(params)).model_construct(**shown)
    for name in hidden:
        blind.__dict__.pop(name, None)  # model_construct fills defaults in
    return blind


@cache
def _blind_class(known: type[RuleParams]) -> type[RuleParams]:
    hidden = known.marked("decides")

    def missing(self: RuleParams, name: str) -> Any:
        if name in hidden:
            raise AttributeError(f"'{name}' only decides; measure can't read it")
        raise AttributeError(f"these params have no '{name}'")

    # it validates nothing, so that no validator has to be built
    parts = {"__getattr__": missing, "model_config": {"defer_build": True}}
    return cast(type[RuleParams], type(known.__name__, (known,), parts))


def failed(step: JobStep, doing: str, error: Exception) -> SparkError:
    """A rule's own exception as a result of the stage; its traceback goes to the log.

    Of what the disk refused the message says it all: there a line with the way is enough.
    """
    import traceback

    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        frames = traceback.extract_tb(error.__traceback__)
        way = " > ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames)
        with suppress(OSError):  # the log may be on that disk
            print(f"by way of {way}", file=sys.stderr)
        return disk_problem(error, f"{called(step)} {doing}")
    with suppress(OSError):
        traceback.print_exception(error)
    return StageFailed(
        f"{called(step)} failed {doing}: {type(error).__name__}: {error}",
        fix="the log has the traceback; a rule says ItemRejected where one item can't be handled",
    )


def shown_path(job: Job, path: Path) -> str:
    """As the user would write it: relative to the Sparkfile's folder where it lies inside."""
    if path.is_relative_to(job.project):
        return path.relative_to(job.project).as_posix()
    return path.name


def called(step: JobStep) -> str:
    return f"'{step.rule}'" if step.label in ("", step.rule) else f"'{step.label}' ({step.rule})"


def _module(name: str, step: JobStep) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"{called(step)} needs '{error.name}', which is not installed",
            fix="pip install it beside spark; `spark doctor` lists all that this Sparkfile lacks",
        ) from error


def load_rule_file(file: Path, project: Path) -> ModuleType:
    """A user's own rule as a module; the project's folder is importable from it.

    Errors: UsageError; Unavailable, or OSError, where the disk does not give it.
    A file that has changed is another module. All are compiled from what they are now, and no __pycache__ is left.
    """
    import importlib.util

    if not file.is_file():
        raise UsageError(f"{file.name}: there is no such file", fix="check the path after `use:`")
    if str(project) not in sys.path:
        sys.path.insert(0, str(project))
    import_from_source(str(project))
    name = f"spark_rule_{digest_bytes(str(file).encode() + file.read_bytes())[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    loader = source_loader(name, str(file))
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    assert spec is not None  # it has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks annotations up there
    try:
        with redirect_stdout(sys.stderr):  # what it prints is no part of a command's answer
            loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if isinstance(error, OSError) and error.filename == str(file):
            raise disk_problem(error, file.name) from error
        raise _broken(file, project, error) from error
    return module


def _broken(file: Path, project: Path, error: BaseException) -> UsageError:
    place, line = _place_of(file, project, error)
    with suppress(ValueError):  # a rule may lie outside
        place = place.relative_to(project)
    where = f"{place}:{line}" if line else str(place)
    if isinstance(error, SystemExit):
        return UsageError(
            f"{where}: calls sys.exit when it is imported", fix="take it out; a rule is no script"
        )
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return UsageError(f"{where}: {type(error).__name__}: {said}", fix="mend the file; it can't be imported")


def _place_of(file: Path, project: Path, error: BaseException) -> tuple[Path, int | None]:
    """Where it went wrong: the innermost line of the rule, or of what it imports of the project."""
    import traceback

    if isinstance(error, SyntaxError) and error.filename:
        return Path(error.filename), error.lineno
    frames = [(Path(f.filename), f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    own = [(path, line) for path, line in frames if path == file or _is_own(path, project)]
    return own[-1] if own else (file, None)


def _is_own(path: Path, project: Path) -> bool:
    """Whether it is the project's, not that of an environment which lies inside of it."""
    return path.is_relative_to(project) and "site-packages" not in path.parts


def with_secrets(model: type[RuleParams], values: Mapping[str, Any]) -> dict[str, Any]:
    """`${secret.X}` from the environment, in fields typed Secret alone."""
    filled = dict(values)
    for name in model.marked("secret"):
        if isinstance(filled.get(name), str):
            filled[name] = _SECRET.sub(_secret, filled[name])
    return filled


def _secret(match: re.Match[str]) -> str:
    if (value := os.environ.get(match[1])) is None:
        raise Unavailable(f"the secret '{match[1]}' is not set", fix=f"export {match[1]}=…")
    return value
