"""The command line's grammar. Only the parser of the command that is asked for is filled in."""

from __future__ import annotations  # what they name need not be loaded

import argparse
import math
import os
import re
from importlib import import_module

from spark_build import __version__

TYPE_CHECKING = False  # typing alone takes as long as Python itself
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    Fill = Callable[[argparse.ArgumentParser], None]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Options with `run`, the function to call. Errors: SystemExit(2), as argparse says them."""
    parser = _Parser(
        prog="spark",
        allow_abbrev=False,  # `_command_in` knows no beginnings of options
        description="make for machine learning: builds what a Sparkfile declares, and only what is stale",
    )
    parser.add_argument("--version", "-V", action="version", version=f"spark build {__version__}")
    _common(parser, is_top=True)
    asked = _command_in(arguments)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in [asked] if asked in COMMANDS else COMMANDS:  # the others are there to be listed
        text, fill = COMMANDS[name]
        command = commands.add_parser(name, help=text, description=text)
        if name == asked:
            _common(command, is_top=False, short_file=name != "log")  # there -f means follow
            fill(command)
    options = parser.parse_args(list(arguments))
    options.run = _runner(options.command)
    return options


class _Formatter(argparse.HelpFormatter):
    """argparse's makes one for every option, and loads shutil with all its compressors for a terminal's width."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    try:
        return int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
    except (OSError, ValueError):
        return 80


class _Parser(argparse.ArgumentParser):
    """argparse's, whose errors say what is wrong in two lines, and how to mend it."""

    def __init__(self, **more: Any) -> None:
        super().__init__(formatter_class=_Formatter, **more)

    def error(self, message: str) -> NoReturn:
        match = _NO_SUCH.fullmatch(message)
        if match is None:
            self.exit(2, f"{self.prog}: {message}\n  fix: {self.prog} --help lists what there is\n")
        from difflib import get_close_matches

        wrong, known = match[1], match[2].replace("'", "").split(", ")
        close = get_close_matches(wrong, known, n=1)
        fix = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(known)}"
        self.exit(2, f"{self.prog}: '{wrong}' is not known here\n  fix: {fix}\n")


_NO_SUCH = re.compile(r"argument .*: invalid choice: '(.*)' \(choose from (.*)\)")


def _command_in(arguments: Sequence[str]) -> str | None:
    """The first word that is neither an option nor the value of one; None where help is asked for before it."""
    values = {"-C", "-f", "--file", "--profile", "--set"}
    skip = False
    for word in arguments:
        if skip:
            skip = False
        elif word in values:
            skip = True
        elif word in ("-h", "--help"):
            return None
        elif not word.startswith("-"):
            return word
    return None


def _runner(command: str) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        module = import_module(f"spark_build.cli.{MODULES[command]}")
        code: int = getattr(module, f"run_{command}")(options)
        return code

    return run


def _common(parser: argparse.ArgumentParser, *, is_top: bool, short_file: bool = True) -> None:
    """Options that hold everywhere, before the command or after it."""

    def default(value: Any) -> Any:
        return value if is_top else argparse.SUPPRESS

    group = parser.add_argument_group("options that hold everywhere")
    group.add_argument(
        "-C", dest="folder", metavar="DIR", default=default("."), help="the Sparkfile's folder"
    )
    file_flags = ["-f", "--file"] if short_file else ["--file"]
    group.add_argument(*file_flags, metavar="FILE", default=default("Sparkfile.yaml"), help="the Sparkfile")
    group.add_argument("--json", action="store_true", default=default(False), help="JSON on standard output")
    group.add_argument(
        "--profile", metavar="NAME", default=default(None), help="values of a profile over the file's"
    )
    group.add_argument(
        "--set",
        dest="sets",
        metavar="PATH=VALUE",
        action="append",
        default=default(None),
        help="a value over the file's",
    )
    group.add_argument(
        "--offline", action="store_true", default=default(False), help="no network, no remote store"
    )


def _targets(
    parser: argparse.ArgumentParser, text: str = "dataset:NAME, model:NAME[/STAGE], deployment:NAME"
) -> None:
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=text)


def _plan_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(out=None, planned=None)
    parser.add_argument(
        "-B", "--again", metavar="STAGE", action="append", default=[], help="run it, fresh or not"
    )
    parser.add_argument("--strict", action="store_true", help="drift of a library reruns a training too")
    parser.add_argument(
        "--limit", type=_from_one, metavar="N", help="only the first N records of each dataset"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="fresh stages as well")


def _plan(parser: argparse.ArgumentParser) -> None:
    _targets(parser)
    _plan_options(parser)
    parser.add_argument("--check", action="store_true", help="exit code 3 where a stage is stale")
    parser.add_argument("--locked", action="store_true", help="whether Sparkfile.lock fits; needs no data")
    parser.add_argument(
        "--format",
        default="text",
        choices=["text", "github"],
        help="github: summary and annotations of a job",
    )
    parser.add_argument("--out", metavar="FILE", help="write the plan for build --plan")


def _build(parser: argparse.ArgumentParser) -> None:
    _targets(parser)
    _plan_options(parser)
    parser.add_argument(
        "-j", "--jobs", type=_from_one, default=0, metavar="N", help="stages at once (default: cores)"
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="only the plan")
    parser.add_argument(
        "-k", "--keep-going", action="store_true", help="the default: a failure stops what depends on it"
    )
    parser.add_argument("--fail-fast", action="store_true", help="start nothing after the first failure")
    parser.add_argument("--plan", metavar="FILE", help="do exactly this plan of plan --out, or refuse")
    parser.add_argument("--locked", action="store_true", help="fail rather than change Sparkfile.lock")
    parser.add_argument("--no-push", action="store_true", help="keep results on this machine")
    parser.add_argument(
        "--yes", action="store_true", help="run what is above limits.ask_above without asking"
    )


def _from_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 is meant, not '{text}'")
    return int(text)


def _why(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", metavar="STAGE", help="model:NAME/train, or a target")
    parser.add_argument("item", nargs="?", metavar="ITEM", help="of a dataset: an item's id or file")


def _diff(parser: argparse.ArgumentParser) -> None:
    text = "a build (@1 is the last), model:NAME, model:NAME@TAG, a commit, COMMIT:model:NAME"
    parser.add_argument("a", metavar="A", help=text)
    parser.add_argument("b", metavar="B", help="the same")
    parser.add_argument(
        "--limit",
        type=_from_one,
        default=5,
        metavar="N",
        help="items of each kind that are named (default 5)",
    )


def _accept(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "stage", nargs="?", metavar="STAGE", help="a stage that is to run: dataset:NAME/filter"
    )
    parser.add_argument("--reason", metavar="TEXT", help="why its earlier result is still good")
    parser.add_argument(
        "--from", dest="build", metavar="BUILD", help="the result of that build (default: the newest)"
    )
    parser.add_argument("--list", action="store_true", help="what was accepted, by whom, when and why")
    parser.add_argument("--revoke", action="store_true", help="no longer accept a stage's earlier result")


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET")
    parser.add_argument("--split", metavar="NAME")
    parser.add_argument("--rejected", action="store_true", help="what the gates rejected, and why")
    parser.add_argument("--limit", type=_from_one, default=10, metavar="N", help="rows (default 10)")


def _log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", metavar="STAGE")
    parser.add_argument("-f", "--follow", dest="follow", action="store_true", help="as it is written")
    parser.add_argument("--text", action="store_true", help="what the worker printed, not its events")


def _get(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="also model:NAME@TAG and model:NAME/package.onnx")
    parser.add_argument("--to", metavar="DIR", required=True)
    parser.add_argument(
        "--from", dest="source", metavar="URL", help="another project's result: its folder, s3://…, https://…"
    )
    parser.add_argument(
        "--key", action="append", default=[], metavar="KEY", help="who may have published it there: ed25519:…"
    )
    parser.add_argument("--link", action="store_true", help="read-only hardlinks instead of copies")
    parser.add_argument(
        "--locked", action="store_true", help="what Sparkfile.lock says, whatever today's keys are"
    )


def _tag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "tag", nargs="?", metavar="TARGET@TAG", help="model:NAME@TAG; without it: the tags there are"
    )
    parser.add_argument("--delete", action="store_true")


def _keep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("result", metavar="TARGET@RUN", help="model:NAME@run-3f2a, model:NAME@PROFILE")


def _forget(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="dataset:NAME")
    parser.add_argument(
        "items", nargs="*", metavar="ITEM", help="an id, the beginning of one, or a file; without one: what the"
        " lock says is forgotten goes from this store, too",
    )  # fmt: skip
    parser.add_argument("--reason", metavar="TEXT", help="why; it stands in the lock")
    parser.add_argument(
        "--by",
        choices=["content", "id", "both"],
        default="both",
        help="what it is known by when it comes back (default: both, but for ids that are row numbers)",
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--locked", action="store_true", help="refuse, because the lock would change")


def _update(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="hub ids; without one: all")


def _runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", metavar="TARGET")
    parser.add_argument("--limit", type=_from_one, default=20, metavar="N")


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="DATASET", help="dataset:NAME, dataset:NAME@TAG")
    parser.add_argument("--to", metavar="FILE", help="the page (default: NAME-report.html, here)")
    parser.add_argument(
        "--samples",
        type=_from_one,
        default=8,
        metavar="N",
        help="items of each kind, and of each gate (default 8, at most 200)",
    )
    parser.add_argument(
        "--unredacted",
        action="store_true",
        help="also what rejected items hold where a gate hides a part of the others",
    )


def _graph(parser: argparse.ArgumentParser) -> None:
    _targets(parser)
    parser.add_argument("--format", default="text", choices=["text", "dot", "mermaid"])


def _schema(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FILE", help="default: standard output")


def _store(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _store_check(actions.add_parser("check", help="read every object and say which are damaged"))
    _store_gc(actions.add_parser("gc", help="remove what no lock in git, tag or late build needs"))
    for name, about, options in (
        ("push", "bring results to the remote store; only what is not there travels", _push),
        ("pull", "fetch results from the remote store, and build nothing", _pull),
        ("publish", "give results of the lock to other projects, by name", _publish),
        ("policy", "an IAM policy for those who use store.remote", _policy),
    ):
        action = actions.add_parser(name, help=about)
        options(action)
        _common(action, is_top=False)


def _push(parser: argparse.ArgumentParser) -> None:
    _targets(parser, "whose results go to the remote store; without one all datasets and models")


def _pull(parser: argparse.ArgumentParser) -> None:
    _targets(parser, "whose results are fetched; without one all datasets and models")
    parser.add_argument(
        "--locked",
        action="store_true",
        help="what Sparkfile.lock names, whatever the Sparkfile and the data are",
    )


def _publish(parser: argparse.ArgumentParser) -> None:
    _targets(parser, "model:NAME@TAG, or a target as Sparkfile.lock has it; without one all tags")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--withdraw", action="store_true", help="nobody is to take them any more")
    what.add_argument(
        "--again", action="store_true", help="also what stands there already: where somebody put it back"
    )


def _policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "role", metavar="ROLE", choices=["reader", "writer", "gc"], help="reader, writer or gc"
    )
    parser.add_argument("--scope", metavar="NAME", help="what it is for (default: trusted; of gc: all)")


def _key(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="make one, and print its public line")
    _common(new, is_top=False)
    new.add_argument("--to", metavar="PATH", help="its file (default: signing.key in ~/.config/spark-build)")
    _common(actions.add_parser("show", help="the public line of the key in force"), is_top=False)


def _attest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="dataset:NAME, model:NAME[@TAG], model:NAME/STAGE")
    parser.add_argument(
        "--to", metavar="FOLDER", help="where it is written (default: NAME-attestation, here)"
    )
    parser.add_argument(
        "--sign",
        action=argparse.BooleanOptionalAction,
        help="refuse where there is no key; --no-sign: unsigned (default: signed where there is one)",
    )


def _store_check(parser: argparse.ArgumentParser) -> None:
    _common(parser, is_top=False)
    parser.add_argument(
        "--sample", type=_sample, metavar="N", help="read only N objects, or 5%% of them, drawn at random"
    )
    parser.add_argument("--seed", type=_from_zero, metavar="N", help="of --sample: draw the same again")
    parser.add_argument("--remote", action="store_true", help="read the remote store instead of the one here")
    parser.add_argument(
        "--repair", action="store_true", help="fetch what is damaged from the remote store, or build it again"
    )


def _sample(text: str) -> Callable[[int], int]:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text)
    if found is None or (not found[2] and "." in text) or (found[2] and float(found[1]) > 100):
        raise argparse.ArgumentTypeError(f"a number of objects or a share is meant, such as 5%, not '{text}'")
    given = float(found[1])
    return lambda count: math.ceil(count * given / 100) if found[2] else int(given)


def _store_gc(parser: argparse.ArgumentParser) -> None:
    _common(parser, is_top=False)
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would go")
    parser.add_argument(
        "--remote",
        action="store_true",
        help="of the remote store: what is older than --keep-days and not needed",
    )
    parser.add_argument(
        "--keep-builds",
        type=_from_zero,
        default=10,
        metavar="N",
        help="keep what the last N builds gave (default 10)",
    )
    parser.add_argument(
        "--keep-days",
        type=_from_zero,
        default=14,
        metavar="N",
        help="keep scratch, logs, memo and damaged files that belong to nothing for N days (default 14)",
    )
    parser.add_argument(
        "--max-size", type=_size, metavar="SIZE", help="remove the longest unused until it fits: 50GB"
    )
    parser.add_argument(
        "--history", action="store_true", help="keep what the locks of all commits need, not of refs alone"
    )


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)(i?)B?", text, re.IGNORECASE)
    if found is None:
        raise argparse.ArgumentTypeError(f"a size is meant, such as 50GB or 800MB, not '{text}'")
    power = " KMGT".index(found[2].upper() or " ")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** power)


def _from_zero(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number is meant, not '{text}'")
    return int(text)


def _verify(parser: argparse.ArgumentParser) -> None:
    text = "dataset:NAME, model:NAME, or a stage of them"
    parser.add_argument("target", nargs="?", metavar="TARGET", help=text)
    parser.add_argument(
        "--attestation", metavar="FILE", help="build nothing: compare files with what spark attest wrote"
    )
    parser.add_argument("--folder", dest="of_folder", metavar="DIR", help="… these, not those in the store")
    parser.add_argument(
        "--key", metavar="KEY", action="append", help="ed25519:…, a public key whose signature counts"
    )
    parser.add_argument("--unsigned", action="store_true", help="compare though nobody vouches for FILE")
    parser.add_argument(
        "--stage", action="store_true", help="this stage alone; its inputs are taken from the store"
    )
    parser.add_argument("--keep", metavar="DIR", help="build in this folder, and leave it there")
    parser.add_argument(
        "-j", "--jobs", type=_from_one, default=0, metavar="N", help="stages at once (default: cores)"
    )


def _lock(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    setup = actions.add_parser("setup", help="let git merge Sparkfile.lock block by block, in this clone")
    _common(setup, is_top=False)
    merge = actions.add_parser("merge", help="merge three locks (git calls this)")
    for name in ("base", "ours", "theirs"):
        merge.add_argument(name, metavar=name.upper())


def _worker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="?", metavar="JOB", help="a job file, as the build writes it")
    parser.add_argument("--link", type=int, help=argparse.SUPPRESS)  # of a build that sends jobs one by one
    parser.add_argument(
        "--loads", choices=("datasets", "models"), help=argparse.SUPPRESS
    )  # before the first job
    parser.add_argument(
        "--helper", type=int, nargs=2, help=argparse.SUPPRESS
    )  # of a worker that spreads its items


def _names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="deployments; without one: all")


def _nothing(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""


COMMANDS: dict[str, tuple[str, Fill]] = {
    "init": ("write a first Sparkfile into this folder", _nothing),
    "check": ("read the Sparkfile and list every problem in it", _nothing),
    "plan": ("what is stale, and why; runs nothing", _plan),
    "build": ("run what is stale", _build),
    "why": ("why a stage is stale, or what became of an item", _why),
    "diff": ("two results beside each other: params, files, items, gates, figures", _diff),
    "accept": ("take an earlier result as still good, without running its stage", _accept),
    "runs": ("the builds so far: what changed, figures, time", _runs),
    "show": ("a model with all that is known of it, or rows of a dataset", _show),
    "log": ("a stage's events and log", _log),
    "report": ("one HTML page about a dataset: figures, gates, items kept and rejected", _report),
    "get": ("copy a result out of the store", _get),
    "ls": ("the results that are there", _targets),
    "status": ("a summary of the plan, and what is served", _targets),
    "tag": ("name a result, so that it stays addressable", _tag),
    "keep": ("write a run's or a profile's values into the Sparkfile", _keep),
    "forget": ("remove an item from the store for good, and keep it out of later builds", _forget),
    "update": ("look outside again and pin what is there", _update),
    "up": ("bring deployments into the state that the file asks for", _names),
    "down": ("stop deployments", _names),
    "graph": ("the stages and what they read", _graph),
    "schema": ("the JSON Schema of a Sparkfile, for editors", _schema),
    "doctor": ("what this machine has, and what the Sparkfile lacks", _nothing),
    "store": ("look after the store", _store),
    "key": ("the key that signs results", _key),
    "verify": ("build again in a clean folder, and compare; or with an attestation", _verify),
    "attest": ("write what a result was made from: SLSA provenance and an ML-BOM, signed", _attest),
    "lock": ("merge locks block by block", _lock),
    "worker": ("run one job (used by the build)", _worker),
}
MODULES = {
    **dict.fromkeys(("plan", "build"), "quick"),
    **dict.fromkeys(("check", "up"), "build"),
    **dict.fromkeys(("why", "diff", "accept"), "explain"),
    "forget": "forget",
    "key": "trust",
    "lock": "locked",
    **dict.fromkeys(("verify", "attest"), "verify"),
    "store": "store",
    "worker": "worker",
    **dict.fromkeys(("runs", "show", "report", "log", "ls", "status", "graph", "doctor"), "look"),
    **dict.fromkeys(("init", "get", "tag", "keep", "update", "down", "schema"), "manage"),
}
