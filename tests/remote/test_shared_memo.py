"""What one has found of items, others need not find again."""

from tests.remote.conftest import Team
from tests.spark import documents

SPARKFILE = """\
store: {{remote: "s3://{bucket}/team"}}
datasets:
  notes:
    source: data
    push: all
    gates: [{{use: pii, with: {{action: flag}}}}, {{use: near_duplicates, with: {{threshold: 0.8}}}}]
"""


def test_a_colleague_who_changes_a_threshold_measures_nothing_again(quick_team: Team) -> None:
    first = quick_team.project()
    first.sparkfile(SPARKFILE.format(bucket=quick_team.bucket))
    documents(first, 40)
    first.build()
    second = quick_team.clone(first)
    second.edit("threshold: 0.8", "threshold: 0.7")
    built = second.build()
    assert built.ran
    assert built.items["dataset:notes/filter"] == {"handled": 0, "remembered": 40}


def test_a_segment_that_was_changed_there_is_not_taken_and_its_work_is_done(quick_team: Team) -> None:
    first = quick_team.project()
    first.sparkfile(SPARKFILE.format(bucket=quick_team.bucket))
    documents(first, 40)
    cold = first.build()
    for name in [name for name in quick_team.names("team/trusted/memo/") if name.endswith(".parquet")]:
        quick_team.change(name, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    second = quick_team.clone(first)
    second.edit("threshold: 0.8", "threshold: 0.7")
    built = second.build()
    assert built.items["dataset:notes/filter"]["handled"] == 40
    assert "is not what its signature says" in built.err
    assert cold.ran


def test_what_raw_stages_found_stays_here_as_they_do(quick_team: Team) -> None:
    first = quick_team.project()
    first.sparkfile(SPARKFILE.format(bucket=quick_team.bucket).replace("push: all", "push: last"))
    documents(first, 40)
    first.build()
    assert not quick_team.names("team/trusted/memo/")


def test_the_cause_on_a_checkout_that_never_built_is_told_from_the_lock(quick_team: Team) -> None:
    first = quick_team.project()
    first.sparkfile(SPARKFILE.format(bucket=quick_team.bucket))
    first.build()
    second = quick_team.clone(first)
    second.edit("threshold: 0.8", "threshold: 0.7")
    [reason] = second.reasons("dataset:notes/filter")
    assert (reason["kind"], reason["old"], reason["new"]) == ("param", 0.8, 0.7)
