"""Jobs on this machine: what they find around them, and what is heard of them."""

import json
import os
import signal
from pathlib import Path

import pytest
from processes import KEY, ended, eventually, job_in, python, shell

from spark_build.core.errors import SparkError, Unavailable, UsageError
from spark_build.core.job import Job, JobResult
from spark_build.executors import environment
from spark_build.executors.environment import check_machine, environment_of


def test_the_result_is_what_the_worker_wrote(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from spark_build.core.job import Job, JobResult\n"
        "job = Job.load(Path(sys.argv[1])); Path(job.result).write_bytes(JobResult(True, {'loss': 1.5}).to_bytes())\n"
    )
    executor = python(tmp_path, code)
    handle = executor.start(job_in(tmp_path))
    assert ended(executor, handle) == (0, JobResult(True, {"loss": 1.5}))


@pytest.mark.parametrize(
    ("script", "status"), [("exit 3", 3), ("kill -9 $$", -signal.SIGKILL), ("kill -11 $$", -signal.SIGSEGV)]
)
def test_an_end_without_a_result_is_told_by_its_status(tmp_path: Path, script: str, status: int) -> None:
    executor = shell(tmp_path, script)
    assert ended(executor, executor.start(job_in(tmp_path))) == (status, None)


def test_a_result_of_an_earlier_attempt_does_not_count(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    Path(job.result).parent.mkdir(parents=True)
    Path(job.result).write_bytes(JobResult(True).to_bytes())
    executor = shell(tmp_path, "exit 0")
    assert ended(executor, executor.start(job)) == (0, None)


def test_half_a_result_does_not_count(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    executor = shell(tmp_path, f"printf '{{\"ok\": tr' > {job.result}; exit 1")
    assert ended(executor, executor.start(job)) == (1, None)


def test_a_result_that_the_disk_does_not_give_is_told_as_that(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    executor = shell(tmp_path, f"mkdir {job.result}; exit 0")
    _, result = ended(executor, executor.start(job))
    assert result is not None
    assert (result.ok, result.error) == (False, f"{job.result}: is a folder")


def test_output_and_errors_go_to_the_log(tmp_path: Path) -> None:
    executor = shell(tmp_path, "echo out; echo err >&2")
    handle = executor.start(job_in(tmp_path, "ab-1"))
    ended(executor, handle)
    assert handle.log == str(tmp_path / "logs" / "ab-1.log")
    assert executor.log_tail(handle) == "out\nerr"
    assert executor.log_tail(handle, lines=1) == "err"


def test_events_are_heard_once_and_while_it_runs(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    script = f'echo \'{{"event": "log", "text": "a"}}\' >> {job.events}; sleep 1000'
    executor = shell(tmp_path, script)
    handle = executor.start(job)
    heard: list[dict[str, object]] = []
    eventually(lambda: bool(heard.extend(executor.events(handle)) or heard))
    assert heard == [{"event": "log", "text": "a"}]
    assert executor.events(handle) == []
    executor.stop_all()


def test_workers_run_side_by_side(tmp_path: Path) -> None:
    executor = shell(
        tmp_path, f"touch {tmp_path}/$$; until [ $(ls {tmp_path} | grep -c '^[0-9]*$') = 3 ]; do :; done"
    )
    handles = [executor.start(job_in(tmp_path, str(n))) for n in "abc"]
    left = set(map(id, handles))
    eventually(lambda: not left.difference_update(id(h) for h, _, _ in executor.poll(0.1)) and not left)


def seen_environment(tmp_path: Path, job: Job) -> dict[str, str]:
    executor = python(tmp_path, "import json, os; print(json.dumps(dict(os.environ)))")
    handle = executor.start(job)
    ended(executor, handle)
    found: dict[str, str] = json.loads(executor.log_tail(handle))
    return found


def test_a_worker_sees_what_it_names_and_little_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "LANG_OF_MINE", "CUDA_VISIBLE_DEVICES", "https_proxy"):
        monkeypatch.setenv(name, "set")
    seen = seen_environment(tmp_path, job_in(tmp_path, env=("LANG_OF_MINE", "NOT_SET")))
    assert "AWS_PROFILE" not in seen
    assert "NOT_SET" not in seen
    assert seen["LANG_OF_MINE"] == seen["CUDA_VISIBLE_DEVICES"] == seen["https_proxy"] == "set"
    assert (seen["TZ"], seen["LC_ALL"], seen["PYTHONHASHSEED"]) == ("UTC", "C.UTF-8", "0")
    assert seen["HOME"] == os.environ["HOME"]


def test_the_hub_is_out_of_reach_unless_the_job_names_it(tmp_path: Path) -> None:
    assert environment_of(job_in(tmp_path))["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in environment_of(job_in(tmp_path, hub={"base": "org/name@main"}))


def test_numerics_are_pinned_only_where_they_count(tmp_path: Path) -> None:
    env = environment_of(job_in(tmp_path, numerics={"threads": 2, "isa": "avx2"}))
    assert (env["OMP_NUM_THREADS"], env["MKL_NUM_THREADS"], env["ATEN_CPU_CAPABILITY"]) == ("2", "2", "avx2")
    assert "OMP_NUM_THREADS" not in environment_of(job_in(tmp_path))


def test_a_processor_that_lacks_the_instructions_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "processor_flags", lambda: frozenset({"sse4_1", "sse4_2"}))
    check_machine(job_in(tmp_path, numerics={"isa": "sse4"}))
    check_machine(job_in(tmp_path, numerics={"isa": "default"}))
    with pytest.raises(
        Unavailable, match=r"numerics\.isa is avx2, and this processor has no avx2, fma"
    ) as raised:
        check_machine(job_in(tmp_path, numerics={"isa": "avx2"}))
    assert raised.value.fix


def test_a_machine_without_a_gpu_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(Unavailable, match=r"numerics\.device is cuda, and no NVIDIA GPU is here"):
        shell(tmp_path, "exit 0").start(job_in(tmp_path, numerics={"device": "cuda", "isa": "default"}))


def test_a_secret_that_is_not_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="secret API_KEY_OF_TEST is not set"):
        shell(tmp_path, "exit 0").start(job_in(tmp_path, secrets=("API_KEY_OF_TEST",)))


def test_secrets_reach_the_worker_and_never_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3t-value")
    monkeypatch.setenv("PEM", "-----BEGIN\nline-of-key\n-----END")
    script = (
        'printf "before s3cr3"; sleep 0.1; printf "t-value after\\n"; echo "$PEM" >&2; printf "%s" "$TOKEN"; '
        "[ $TOKEN = s3cr3t-value ] && exit 7"
    )
    executor = shell(tmp_path, script)
    handle = executor.start(job_in(tmp_path, secrets=("TOKEN", "PEM")))
    assert ended(executor, handle)[0] == 7
    log = Path(handle.log).read_text()
    assert log == "before *** after\n***\n***"
    assert "s3cr3t" not in (tmp_path / "work" / KEY / "job.json").read_text()


def test_a_long_log_with_secrets_is_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3t-value")
    executor = shell(tmp_path, "seq 1 200000; printf s3cr3t-value")
    handle = executor.start(job_in(tmp_path, secrets=("TOKEN",)))
    ended(executor, handle)
    lines = Path(handle.log).read_text().splitlines()
    assert lines == [*map(str, range(1, 200001)), "***"]


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SparkError) as raised:
        shell(Path("/proc/1/nowhere"), "exit 0").start(job_in(tmp_path))
    assert "/proc/1/nowhere" in str(raised.value)
