"""A plan as GitHub Actions shows it."""

import re
import subprocess

import pytest

from spark_build.engine.explain import Reason
from spark_build.engine.plan import Plan, StagePlan
from spark_build.report.github import annotations, summary
from tests.spark import Folder

MIB = 1 << 20


def param(line: int, name: str = "threshold", old: object = 0.9, new: object = 0.8) -> Reason:
    return Reason("param", name, old, new, f"Sparkfile.yaml:{line}:5")


def stages(count: int, cause_length: int = 5) -> Plan:
    long = "x" * cause_length
    return Plan(
        tuple(
            StagePlan(
                f"model:m{n}/train", "run", reasons=(param(n + 1, new=f"{long}{n}"), Reason("env", long))
            )
            for n in range(count)
        )
    )


def test_an_annotation_stands_on_the_line_that_caused_it() -> None:
    plan = Plan((StagePlan("dataset:t/filter", "run", reasons=(param(22),)),))
    assert annotations(plan, {}) == [
        "::warning file=Sparkfile.yaml,line=22,col=5,title=spark plan::threshold 0.9 → 0.8: dataset:t/filter"
    ]
    assert annotations(plan, {}, prefix="a/b/", is_error=True)[0].startswith(
        "::error file=a/b/Sparkfile.yaml,line=22"
    )


def test_one_line_that_wakes_many_stages_is_one_annotation() -> None:
    plan = Plan(tuple(StagePlan(f"model:m{n}/train", "run", reasons=(param(7),)) for n in range(20)))
    assert len(annotations(plan, {})) == 1
    assert annotations(plan, {})[0].endswith("model:m2/train, model:m3/train and 16 more")


def test_what_has_no_line_is_told_where_its_stage_is_declared_or_at_its_code() -> None:
    reasons = (Reason("env", "LANG"), Reason("rule", "./own.py:Own", changed=("lib/own.py",)))
    plan = Plan((StagePlan("model:m/train", "run", reasons=reasons),))
    told = annotations(plan, {"model:m/train": "Sparkfile.yaml:9:3"})
    assert "file=Sparkfile.yaml,line=9,col=3" in told[0]
    assert "file=lib/own.py,line=1" in told[1]


def test_a_stage_that_only_waits_is_not_annotated() -> None:
    waiting = StagePlan("model:m/train", "maybe", reasons=(Reason("upstream", "dataset:t/filter"),))
    assert annotations(Plan((waiting, StagePlan("dataset:d/ingest", "fresh"))), {}) == []


@pytest.mark.parametrize("count", [9, 10, 11, 24])
def test_there_are_at_most_ten_and_the_last_counts_the_rest(count: int) -> None:
    told = annotations(
        stages(count), {f"model:m{n}/train": f"Sparkfile.yaml:{n + 1}:5" for n in range(count)}
    )
    assert len(told) == min(count, 10)
    if count > 10:
        assert told[-1].endswith(
            f"::and {count - 9} more places that make {count - 9} stages stale: see the job's summary"
        )
        assert "file=" not in told[-1]


def test_nothing_that_a_value_holds_ends_the_command_or_starts_another() -> None:
    hostile = "100%,a:b\r\n::error file=x::pwned"
    reason = Reason("param", "p", "old", hostile, "odd,na:me%.yaml:3:1")
    line = annotations(Plan((StagePlan("model:m/train", "run", reasons=(reason,)),)), {})[0]
    assert "\n" not in line
    assert "\r" not in line
    assert line.startswith("::warning file=odd%2Cna%3Ame%25.yaml,line=3,col=1,")
    assert "100%25,a:b" in line


def test_the_summary_names_state_stage_and_cause() -> None:
    text = summary(
        Plan((StagePlan("dataset:t/filter", "run", reasons=(param(22),), seconds=1.9),)), title="spark plan"
    )
    assert "| run | dataset:t/filter | threshold 0.9 → 0.8 at Sparkfile.yaml:22:5 | 1.9 s |" in text
    assert text.startswith("### spark plan\n\n1 to run; 1.9 s of work\n")


def test_a_value_is_no_markdown() -> None:
    reason = param(1, new="a|b `c` <img src=x> [l](u)\n# h")
    row = summary(Plan((StagePlan("m", "run", reasons=(reason,)),)), title="t").splitlines()[-1]
    assert row.count("|") - row.count("\\|") == 5
    assert "<img" not in row
    assert "\\[l\\]" in row


def test_the_summary_of_5000_stages_with_long_causes_stays_below_one_mebibyte_and_counts_the_rest() -> None:
    plan = stages(5000, cause_length=1000)
    text = summary(plan, title="spark plan", notes=["n" * 5000] * 300)
    assert len(text.encode()) < MIB
    shown = text.count("| run |")
    rest = re.search(r"and (\d+) more stages \((\d+) run\)", text)
    assert rest is not None
    assert shown + int(rest[1]) == 5000
    assert "5000 to run" in text
    assert "more characters)" in text
    assert len(summary(plan, title="t", most_bytes=3000).encode()) <= 3000
    assert summary(plan, title="t", most_bytes=-5) == ""


def test_the_command_writes_the_jobs_summary_and_names_files_from_the_repositorys_root(
    folder: Folder,
) -> None:
    subprocess.run(["git", "init", "-q"], cwd=folder.path, check=True)
    project = Folder(
        folder.path / "models" / "notes", {"GITHUB_STEP_SUMMARY": str(folder.path / "summary.md")}
    )
    project.path.mkdir(parents=True)
    project.sparkfile("targets:\n  a: {recipe: {use: command, with: {run: 'echo x > {output}/x'}}}\n")
    folder.write("summary.md", "before\n")
    told = project.spark("plan", "--check", "--format", "github", code=3).out
    assert told == (
        "::error file=models/notes/Sparkfile.yaml,line=4,col=6,title=spark plan::never built: model:a/train\n"
    )
    written = (folder.path / "summary.md").read_text()
    assert written.startswith("before\n### spark plan\n")
    assert "| run | model:a/train | never built" in written
    project.env = {"GITHUB_STEP_SUMMARY": ""}
    told = project.spark("plan", "--locked", "--format", "github", code=4).out
    assert "### Sparkfile.lock does not fit" in told
    assert "::error file=models/notes/Sparkfile.yaml,line=4,col=6" in told
    assert "--format" in project.spark("plan", "--json", "--format", "github", code=2).err
