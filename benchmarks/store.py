"""What carrying results to S3 and back costs: spark beside DVC, s5cmd, rclone and boto3, in turns, against Ceph.

    python -m benchmarks.store [--clients spark,dvc] [--tool-path DIR] [--scale small]

2,000 files of 8 KB and one of 256 MB are pushed into an empty bucket, pushed again, and pulled on a second machine:
a clone with an empty store. CPU seconds are of the client's process tree alone; a proxy in this process counts its
requests. What the clients have pulled is compared byte by byte. Ceph's packages are needed (see CONTRIBUTING.md).
Each pull has a folder of its own, and none is removed before the end: for five minutes ext4 makes no new file where one
was removed, and looking for another place costs up to 0.5 ms of system time a file. TMPDIR on a file system of its own
keeps out what others have removed.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.measure import Measured
from benchmarks.rounds import Contender, Outcome, Workload, run_rounds
from benchmarks.store_clients import CLIENTS, Boto3, Client, Sizes, SparkStore
from benchmarks.tools import Spark, environment, plain_python
from tests.services.fault_proxy import FaultProxy
from tests.services.keeper import shared
from tests.services.service import Service

FULL, SMALL = Sizes(2000, 8192, 256 << 20), Sizes(50, 8192, 12 << 20)


def main(words: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(words)
    with (
        tempfile.TemporaryDirectory(prefix="spark-store-") as scratch,
        shared("ceph", Path(scratch) / "ceph") as ceph,
        FaultProxy(ceph) as proxy,
    ):
        where = Path(scratch)
        env = _environment(where / "home", proxy.service)
        clients = list(_found(options, where, env))
        versions = {client.name: client.version() for client in clients}
        print(*report.who(versions, options.clients.split(",")), sep="\n")
        outcomes = list(_outcomes([Carrier(client, where, proxy, ceph) for client in clients], env, options))
    report.save(outcomes, versions, options.json, options.markdown)
    return int(any(outcome.wrong for outcome in outcomes))


def _outcomes(
    carriers: list["Carrier"], env: Mapping[str, str], options: argparse.Namespace
) -> Iterator[Outcome]:
    for workload in workloads(carriers, is_full=options.scale == "full"):
        outcome = run_rounds(workload, env, f"{time.time_ns():x}", options.rounds, options.rounds)
        print("", *report.table(outcome), sep="\n", flush=True)
        yield outcome
        failed = {c.name for c in workload.contenders if outcome.of(c.name) is None}
        carriers[:] = [carrier for carrier in carriers if carrier.client.name not in failed]


class Carrier:
    """A client between two machines and a bucket."""

    def __init__(self, client: Client, where: Path, proxy: FaultProxy, ceph: Service) -> None:
        self.client = client
        self.where, self.first = where / client.name, where / client.name / "first"
        self.second = self.where
        self.bucket, self._machines = "", 1
        self._proxy, self._ceph = proxy, ceph

    def push(self) -> Contender:
        contender = self._contender(self.first, self._take_an_empty_bucket)
        contender.prepare = lambda: self.client.prepare(self.first)
        return contender

    def push_again(self) -> Contender:
        return self._contender(self.first, lambda: self.client.push(self.bucket))

    def pull(self) -> Contender:
        def move() -> list[str]:
            command = self._move_to_a_second_machine()
            contender.folder = self.second
            return command

        contender = self._contender(self.second, move)
        contender.outputs = lambda: self.client.pulled(self.second)
        if isinstance(self.client, SparkStore):
            contender.ran, contender.must_run = Spark(self.client.program).ran, 0
        return contender

    def _contender(self, folder: Path, command: Callable[[], list[str]]) -> Contender:
        def before(token: str) -> None:
            contender.command = command()
            os.sync()  # a flush of this one would write what the one before has left
            self._proxy.forget()

        contender = Contender(self.client.name, [], folder, before=before, facts=self._requests)
        return contender

    def _requests(self, measured: Measured) -> dict[str, Any]:
        return {"requests": self._proxy.counts().total()}

    def _take_an_empty_bucket(self) -> list[str]:
        if self.bucket:
            self._empty(self.bucket)  # it is all in memory
        self.bucket = self._ceph.new_bucket()
        self.client.aim(self.first, self.bucket)
        return self.client.push(self.bucket)

    def _move_to_a_second_machine(self) -> list[str]:
        self._machines += 1
        self.second = self.where / f"machine-{self._machines}"
        self.second.mkdir()
        self.client.clone(self.first, self.second)
        self.client.aim(self.second, self.bucket)
        return self.client.pull(self.bucket)

    def _empty(self, bucket: str) -> None:
        asked = self._ceph.client()
        for page in asked.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            objects = [{"Key": found["Key"]} for found in page.get("Contents", ())]
            if objects:
                asked.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})


def workloads(carriers: Sequence[Carrier], is_full: bool) -> Iterator[Workload]:
    """In this order: each finds what the one before it has left, and who failed is no longer among them."""
    push = Workload("push", f"push {carriers[0].client.sizes}", [carrier.push() for carrier in carriers])
    yield _asked(push, is_full, 1.5, 100)
    again = [carrier.push_again() for carrier in carriers if carrier.client.asks_first]
    yield _asked(Workload("push-again", "push again with nothing new", again), is_full, 0.15, 3)
    pull = Workload("pull", "pull on a second machine", [carrier.pull() for carrier in carriers])
    yield _asked(pull, is_full, 1.5, 120)


def _asked(workload: Workload, is_full: bool, seconds: float, requests: int) -> Workload:
    if is_full:
        workload.asked, workload.asked_facts = seconds, {"requests": requests}
    return workload


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.store", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", choices=["small", "full"], default="full")
    names = ",".join(kind.name for kind in CLIENTS)
    parser.add_argument("--clients", default=names, help="default: %(default)s")
    parser.add_argument(
        "--tool-path", type=Path, help="a folder of programs that is looked through before PATH"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    return parser


def _environment(home: Path, service: Service) -> dict[str, str]:
    home.mkdir()
    of_the_machine = environment(home).items()
    return {
        **{name: value for name, value in of_the_machine if not name.startswith("AWS_")},
        **service.environment,
    }


def _found(options: argparse.Namespace, where: Path, env: Mapping[str, str]) -> Iterator[Client]:
    python = plain_python(where / "python")
    sizes = FULL if options.scale == "full" else SMALL
    for kind in CLIENTS:
        if kind.name not in options.clients.split(","):
            continue
        program = python if kind in (SparkStore, Boto3) else None
        if options.tool_path is not None:
            program = program or shutil.which(kind.name, path=str(options.tool_path.resolve()))
        if program := program or shutil.which(kind.name):
            yield kind(program, sizes, env)


if __name__ == "__main__":
    raise SystemExit(main())
