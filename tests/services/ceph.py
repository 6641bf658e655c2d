"""Ceph's S3 on loopback: a monitor, objects in memory and radosgw, from Debian's packages, without systemd.

It knows users and their policies, and a conditional PUT is won by one. No manager runs: S3 asks nothing of it.
"""

import ctypes
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.services.service import NAMES, Service, User, new_user

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
PACKAGES = "radosgw ceph-mon ceph-osd ceph-common"
READY_SECONDS = 60.0
TRIES = 3  # somebody else may take a port between our look at it and the server's
CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}  # `ceph` needs the system's own Python
CAPABILITIES = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
    "client.rgw": {"mon": "allow rw", "osd": "allow rwx"},
}
_PR_SET_PDEATHSIG = 1


class NotUp(Exception):
    """With the ends of the logs."""


def missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=CLEAN["PATH"]) is None]


@contextmanager
def running() -> Iterator[Service]:
    for last in (*[False] * (TRIES - 1), True):
        # not in the tests' own folder: the name of a unix socket may have 107 bytes
        with tempfile.TemporaryDirectory(prefix="ceph-", dir="/tmp") as folder:
            cluster = Cluster(Path(folder))
            try:
                service = cluster.started()
            except NotUp:
                cluster.end()
                if last:
                    raise
                continue
            try:
                yield service
            finally:
                cluster.end()
            return


def another_user(service: Service, name: str) -> User:
    """One more user of a Ceph that runs, with no rights yet; its name is made unique."""
    return _create_user(_radosgw_admin(Path(service.folder)), f"{name}-{uuid.uuid4().hex[:8]}")


class Cluster:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.processes: list[subprocess.Popen[bytes]] = []

    def started(self) -> Service:
        for name in ("mon", "osd", "log", "run"):
            (self.folder / name).mkdir()
        cluster_id = str(uuid.uuid4())
        address = f"[v2:127.0.0.1:{free_port()},v1:127.0.0.1:{free_port()}]"
        (self.folder / "ceph.conf").write_text(
            _rendered(_settings(self.folder, cluster_id, address, self.port))
        )
        self._make_keys()
        self._start_monitor(cluster_id, address)
        self._start_objects()
        self._daemon("radosgw", "-n", "client.rgw")
        self._wait(lambda: _answers(self.port))
        users = [_create_user(_radosgw_admin(self.folder), name) for name in NAMES]
        return Service(f"http://127.0.0.1:{self.port}", {user.name: user for user in users}, str(self.folder))

    def end(self) -> None:
        for process in reversed(self.processes):
            process.kill()  # what it has is in memory
            process.wait()

    def _make_keys(self) -> None:
        keyring = str(self.folder / "keyring")
        for n, (name, allowed) in enumerate(CAPABILITIES.items()):
            caps = [word for kind, what in allowed.items() for word in ("--cap", kind, what)]
            self._run(
                "ceph-authtool",
                *(["--create-keyring"] if not n else []),
                keyring,
                "--gen-key",
                "-n",
                name,
                *caps,
            )

    def _start_monitor(self, cluster_id: str, address: str) -> None:
        the_map = str(self.folder / "monmap")
        self._run("monmaptool", "--create", "--fsid", cluster_id, "--addv", "a", address, the_map)
        keyring = str(self.folder / "keyring")
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", the_map, "--keyring", keyring)
        self._daemon("ceph-mon", "-i", "a")

    def _start_objects(self) -> None:
        own = str(uuid.uuid4())
        self._run("ceph", "--connect-timeout", str(int(READY_SECONDS)), "osd", "create", own)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", own, "--no-mon-config")
        self._daemon("ceph-osd", "-i", "0")

    def _run(self, program: str, *words: str) -> None:
        _run([program, "-c", str(self.folder / "ceph.conf"), *words])

    def _daemon(self, program: str, *words: str) -> None:
        with (self.folder / "log" / f"{program}.out").open("wb") as out:
            command = [program, "-c", str(self.folder / "ceph.conf"), "-f", *words]
            self.processes.append(
                subprocess.Popen(
                    command,
                    env=CLEAN,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    preexec_fn=_die_with_parent,
                )
            )

    def _wait(self, is_up: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not is_up():
            ended = [process.args for process in self.processes if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise NotUp(f"ended: {ended}\n{self._logs()}")
            time.sleep(0.02)

    def _logs(self) -> str:
        logs = sorted((self.folder / "log").iterdir())
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in logs)


def _settings(folder: Path, cluster_id: str, address: str, port: int) -> dict[str, dict[str, Any]]:
    one_copy = {
        "osd_pool_default_size": 1,
        "osd_pool_default_min_size": 1,
        "osd_pool_default_pg_num": 4,
        "osd_pool_default_pgp_num": 4,
        "osd_pool_default_pg_autoscale_mode": "off",
        "osd_crush_chooseleaf_type": 0,
        "mon_allow_pool_size_one": "true",
        "mon_max_pg_per_osd": 2000,
    }
    places = {
        "keyring": folder / "keyring",
        "run_dir": folder / "run",
        "admin_socket": folder / "run/$name.asok",
        "pid_file": folder / "run/$name.pid",
        "log_file": folder / "log/$name.log",
        "crash_dir": folder / "log",
    }
    return {
        "global": {
            "fsid": cluster_id,
            "mon_initial_members": "a",
            "mon_host": address,
            "public_network": "127.0.0.0/8",
            "ms_bind_ipv6": "false",
            "auth_allow_insecure_global_id_reclaim": "false",
            **one_copy,
            **places,
        },
        "mon": {
            "mon_data": folder / "mon",
            "mon_data_avail_crit": 1,  # a machine whose disk is nearly full will do
            "mon_data_avail_warn": 2,
            "paxos_propose_interval": 0.02,  # by default a second passes at each new pool, and radosgw makes eight
            "paxos_min_wait": 0.01,
        },
        "osd": {"osd_data": folder / "osd", "osd_objectstore": "memstore", "memstore_device_bytes": 8 << 30},
        "client.rgw": {
            "rgw_frontends": f"beast endpoint=127.0.0.1:{port}",
            "rgw_data": folder / "run",
            "rgw_enable_apis": "s3, iam",
            "rgw_thread_pool_size": 64,
            "rgw_override_bucket_index_max_shards": 1,
            "rgw_gc_obj_min_wait": 1,  # what is deleted gives its memory back: by default after two hours
            "rgw_gc_processor_period": 5,
            "rgw_gc_processor_max_time": 5,
        },
    }


def _rendered(sections: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{name} = {value}" for name, value in values.items())]
    return "\n".join(lines) + "\n"


def _radosgw_admin(folder: Path) -> list[str]:
    return ["radosgw-admin", "-c", str(folder / "ceph.conf"), "-n", "client.rgw"]


def _create_user(admin: list[str], name: str) -> User:
    user = new_user(name)
    keys = ["--access-key", user.access_key, "--secret-key", user.secret_key]
    caps = ["--caps", "user-policy=*"] if name == "admin" else []
    _run(
        [*admin, "user", "create", "--uid", name, "--display-name", name, "--max-buckets", "0", *keys, *caps]
    )
    return user


def _run(command: list[str]) -> None:
    done = subprocess.run(command, env=CLEAN, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotUp(f"{' '.join(command)}: {done.stdout[-1000:]}{done.stderr[-2000:]}")


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
