"""What a worker finds around it: a short list of variables, and numerics that are pinned, not detected."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from spark_build.core.errors import Unavailable, UsageError
from spark_build.core.job import Job

KEPT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
_FIXED = {
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",  # the log shows what was said before a kill
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
# of libraries, read when they load, in a process that shares the cores with others and may be forked
UNTHREADED = {
    # a fork has no thread but its own, and one that waits here costs time
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # one allocator of pyarrow
    "OPENBLAS_NUM_THREADS": "1",
    # the other one: pages of 2 MB are cleared whole and have to be made room for, 0.1 s of a short stage
    "MIMALLOC_ALLOW_THP": "0",
}

_ISA_FLAGS = {
    "sse4": {"sse4_1", "sse4_2"},
    "avx2": {"avx2", "fma"},
    "avx512": {"avx512f", "avx512bw", "avx512vl"},
}
# torch, oneDNN and MKL choose kernels by the processor unless they are told
_ISA_VARIABLES = {
    "default": ("default", "SSE41", "SSE4_2", "COMPATIBLE"),
    "sse4": ("default", "SSE41", "SSE4_2", "COMPATIBLE"),
    "avx2": ("avx2", "AVX2", "AVX2", "AVX2"),
    "avx512": ("avx512", "AVX512_CORE", "AVX512", "AVX512"),
}


def environment_of(job: Job, around: Mapping[str, str] | None = None) -> dict[str, str]:
    """All variables of the job's worker. Errors: UsageError for a secret that is not set."""
    around = os.environ if around is None else around
    env = {name: around[name] for name in KEPT if name in around}
    env |= {name: value for name, value in around.items() if _is_cuda_or_proxy(name)}
    env |= _FIXED
    if not job.hub:
        env["HF_HUB_OFFLINE"] = "1"
    env |= _pinned(job.numerics)
    env |= {name: around[name] for name in job.env if name in around}
    return env | secrets_of(job, around)


def import_path() -> dict[str, str]:
    """Where this package is imported from a folder that Python does not know by itself."""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return {} if os.path.basename(folder) in ("site-packages", "dist-packages") else {"PYTHONPATH": folder}


def secrets_of(job: Job, around: Mapping[str, str]) -> dict[str, str]:
    if unset := [name for name in job.secrets if name not in around]:
        raise UsageError(
            f"{job.stage}: secret {', '.join(unset)} is not set", fix=f"export {unset[0]}=… before you build"
        )
    return {name: around[name] for name in job.secrets}


def check_machine(job: Job) -> None:
    """Whether this machine can keep the job's numerics. Errors: Unavailable."""
    isa = job.numerics.get("isa")
    needed = _ISA_FLAGS.get(str(isa), set())
    if missing := sorted(needed - processor_flags()) if needed else []:
        raise Unavailable(
            f"{job.stage}: numerics.isa is {isa}, and this processor has no {', '.join(missing)}",
            fix="build it on another machine, or set `numerics: {isa: default}` (other weights come out)",
        )
    if job.numerics.get("device") == "cuda" and not cuda_devices():
        raise Unavailable(
            f"{job.stage}: numerics.device is cuda, and no NVIDIA GPU is here",
            fix="build it on a machine with one, or set `numerics: {device: cpu}` (other weights come out)",
        )


@cache
def processor_flags() -> frozenset[str]:
    """As /proc/cpuinfo names them; none on a processor that is no x86."""
    if os.uname().machine not in ("x86_64", "i686"):
        return frozenset()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def cuda_devices() -> list[str]:
    """GPUs that the driver shows and CUDA_VISIBLE_DEVICES does not hide; torch is not asked."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return []
    return sorted(str(path) for path in Path("/dev").glob("nvidia[0-9]*"))


def _pinned(numerics: Mapping[str, object]) -> dict[str, str]:
    if not numerics:
        return {}
    threads = str(numerics.get("threads", 1))
    aten, onednn, mkl, mkl_branch = _ISA_VARIABLES[str(numerics.get("isa", "default"))]
    return {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "OMP_DYNAMIC": "FALSE",
        # libgomp's threads spin while they wait: beside any other work two of them on two cores fall to a sixth of
        # their speed (docs/measurements.md); a short spin costs nothing on an idle machine, and no bit of the result
        "GOMP_SPINCOUNT": "2000",
        "MKL_DYNAMIC": "FALSE",
        "ATEN_CPU_CAPABILITY": aten,
        "ONEDNN_MAX_CPU_ISA": onednn,
        "MKL_ENABLE_INSTRUCTIONS": mkl,
        "MKL_CBWR": mkl_branch,  # the same sums for any alignment of the data
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }


def _is_cuda_or_proxy(name: str) -> bool:
    return name.startswith("CUDA_") or name.lower() in _PROXIES
