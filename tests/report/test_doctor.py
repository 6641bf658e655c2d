"""`spark doctor` on this very machine."""

import socket
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from spark_build.report.doctor import (
    Finding,
    PortNeed,
    RuleNeed,
    doctor,
    doctor_json,
    doctor_text,
    exit_code,
    extras_of,
)


def library(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def found(findings: list[Finding], subject: str) -> Finding:
    return next(f for f in findings if f.subject == subject)


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_library_that_a_rule_needs_and_lacks_is_a_problem_with_its_stage(tmp_path: Path) -> None:
    needs = [RuleNeed("model:x/train", "llama_lora", ("pydantic", "no-such-library"))]
    finding = found(doctor(tmp_path, library, needs=needs), "sparkfile")
    assert finding == Finding(
        "sparkfile", "problem", "no-such-library is not installed; needed by model:x/train (llama_lora)",
        "pip install no-such-library",
    )  # fmt: skip


def test_a_library_of_an_extra_is_mended_by_that_extra(tmp_path: Path) -> None:
    if not extras_of("spark-build"):
        pytest.skip("spark-build is not installed here, so its extras are not known")
    needs = [RuleNeed("dataset:x/filter", "near_duplicates", ("rensa",))]
    finding = found(doctor(tmp_path, lambda name: None, needs=needs), "sparkfile")
    assert finding.fix == 'pip install "spark-build[gates]"'


def test_a_machine_that_has_all_it_needs_has_exit_code_0(tmp_path: Path) -> None:
    findings = doctor(tmp_path, library, needs=[RuleNeed("dataset:x/filter", "pii", ("pydantic",))])
    assert exit_code(findings) == 0
    assert doctor_text(findings, False).endswith("no problems")


def test_a_port_in_use_is_a_problem_unless_our_own_deployment_has_it(tmp_path: Path, busy_port: int) -> None:
    theirs = found(doctor(tmp_path, library, ports=[PortNeed("chat", busy_port)]), f"port {busy_port}")
    ours = found(doctor(tmp_path, library, ports=[PortNeed("chat", busy_port, True)]), f"port {busy_port}")
    assert (theirs.level, ours.level) == ("problem", "ok")


def test_an_instruction_set_that_this_processor_lacks_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark_build.report.doctor._cpu_flags", lambda: {"sse4_2", "avx2"})
    needs = [RuleNeed("model:x/train", "causal_lm", (), {"isa": "avx512"})]
    finding = found(doctor(tmp_path, library, needs=needs), "processor")
    assert finding.level == "problem"
    assert finding.text == "avx512 is asked for by model:x/train; this processor has sse4, avx2"


def test_a_gpu_that_is_asked_for_and_absent_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi there
    needs = [RuleNeed("model:x/train", "causal_lm", (), {"device": "cuda"})]
    assert found(doctor(tmp_path, library, needs=needs), "gpu").level == "problem"
    assert found(doctor(tmp_path, library), "gpu").level == "ok"


def test_a_store_that_is_not_there_yet_is_judged_by_the_folder_above_it(tmp_path: Path) -> None:
    assert found(doctor(tmp_path / "new/.spark", library), "disk").text.endswith("free at the store")
    assert not (tmp_path / "new").exists()


def test_doctor_leaves_nothing_behind_in_the_store(tmp_path: Path) -> None:
    assert found(doctor(tmp_path, library), "clock").level == "ok"
    assert list(tmp_path.iterdir()) == []


def test_the_json_has_every_finding(tmp_path: Path) -> None:
    findings = doctor(tmp_path, library)
    data = doctor_json(findings)
    assert data["version"] == 1
    assert [f["subject"] for f in data["findings"]] == [f.subject for f in findings]
