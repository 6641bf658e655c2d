"""`spark store gc`: what is needed stays, whatever says so; what went is said, and comes again with a build."""

import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from spark_build.app import Project
from spark_build.app.collecting import collect_garbage
from spark_build.core.record import Record
from spark_build.core.values import replace
from spark_build.storage import leftovers
from spark_build.storage.gc import Collected
from spark_build.storage.local import LocalStore
from spark_build.storage.runs import Run
from tests.collecting.stores import is_whole, objects_in, put_result, write_lock
from tests.seeds import seed
from tests.spark import Folder, documents

SEED = seed("SPARK_GC_SEED")
FILTERED = """\
datasets:
  notes: {source: data, gates: [q]}
gates:
  q: {use: quality, with: {rules: [word_count], min_words: 1}}
"""
SPARKFILE = "datasets:\n  notes: {source: data}\n"


@pytest.fixture
def project(folder: Folder) -> Project:
    """With a Sparkfile, and nothing built."""
    folder.sparkfile(SPARKFILE)
    documents(folder, 1)
    return Project(folder.path)


def gc(project: Project, *, builds: int = 0, days: float = 0, **more: object) -> Collected:
    project.look_again()
    return collect_garbage(project, builds=builds, days=days, **more)[0]  # type: ignore[arg-type]


def git(folder: Path, *words: str) -> str:
    own = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "init.defaultBranch=main",
    ]
    done = subprocess.run(["git", *own, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def result(project: Project, name: str, **files: bytes) -> Record:
    return put_result(project.local_store, f"model:{name}/train", files or {"weights": name.encode()})


def commit(project: Project, *records: Record) -> None:
    write_lock(project.root, *records)
    git(project.root, "add", "-f", "Sparkfile.lock", "Sparkfile.yaml")
    git(project.root, "commit", "-qm", "lock")


def stays(project: Project, record: Record) -> bool:
    store = project.local_store
    return is_whole(store, record.output) and store.records.get(record.key) is not None


def test_what_nobody_needs_goes_and_what_the_lock_here_needs_stays(project: Project) -> None:
    needed, other = result(project, "needed"), result(project, "other")
    write_lock(project.root, needed)
    told = gc(project)
    assert stays(project, needed)
    assert not stays(project, other)
    assert told.removed["records"].count == 1
    assert told.targets["model:other"].count == told.removed["objects"].count == 2
    assert objects_in(project.local_store) == {needed.output, *_digests(project, needed)}


def test_a_dry_run_says_exactly_what_the_next_run_takes_and_takes_nothing(project: Project) -> None:
    needed, _ = result(project, "needed"), result(project, "other", a=b"1", b=b"22")
    write_lock(project.root, needed)
    before = objects_in(project.local_store)
    told = gc(project, is_dry=True)
    assert objects_in(project.local_store) == before
    done = gc(project)
    assert (told.removed, told.targets) == (done.removed, done.targets)


def test_every_ref_counts_and_so_do_stashes_the_index_and_the_work_tree(project: Project) -> None:
    root = project.root
    git(root, "init", "-q")
    names = ["branch", "tag", "remote", "stash", "older-stash", "index", "tree", "nobody", "past"]
    made = {name: result(project, name) for name in names}
    commit(project, made["past"])
    commit(project, made["tag"])
    git(root, "tag", "-a", "v1", "-m", "v1")
    git(root, "checkout", "-qb", "feature")
    commit(project, made["remote"])
    git(root, "update-ref", "refs/remotes/origin/feature", "HEAD")
    commit(project, made["branch"])
    for name in ("older-stash", "stash"):
        write_lock(root, made[name])
        git(root, "stash", "-q")
    write_lock(root, made["index"])
    git(root, "add", "-f", "Sparkfile.lock")
    write_lock(root, made["tree"])
    kept = {name for name in names if name not in ("nobody", "past")}
    told = gc(project, with_history=True, is_dry=True)
    assert told.targets.keys() == {"model:nobody"}
    gc(project)
    assert {name for name in names if stays(project, made[name])} == kept


def test_a_lock_in_a_conflict_keeps_what_both_sides_name(project: Project) -> None:
    one, two = result(project, "one"), result(project, "two")
    write_lock(project.root, one)
    ours = (project.root / "Sparkfile.lock").read_text()
    write_lock(project.root, two)
    theirs = (project.root / "Sparkfile.lock").read_text()
    git(project.root, "init", "-q")
    (project.root / "sub").mkdir()
    text = f"<<<<<<< ours\n{ours}=======\n{theirs}>>>>>>> theirs\n"
    (project.root / "sub" / "Sparkfile.lock").write_text(text)
    (project.root / "Sparkfile.lock").unlink()
    gc(project)
    assert stays(project, one)
    assert stays(project, two)


def test_tags_builds_runs_and_acceptances_keep_what_they_name(project: Project, folder: Folder) -> None:
    from spark_build.app.overrides import runs_of
    from spark_build.core.acceptance import Acceptance
    from spark_build.storage.journal import BuildEntry

    tagged, built, older, ran, accepted = (result(project, n) for n in ("tagged", "b", "old", "ran", "acc"))
    write_lock(project.root, tags={"model:tagged@v1": tagged})
    for number, record in enumerate((older, built)):
        told = {record.stage: {"key": record.key, "outcome": "ran", "seconds": 1.0}}
        project.journal.write(BuildEntry(f"2026010{number}", "", 1.0, "spark build", 0, stages=told))
    runs_of(project).put(Run("ab" * 32, None, ("a=1",), None, "", {ran.stage: ran.key}))
    project.acceptances.put(
        Acceptance("cd" * 32, accepted.key, accepted.stage, "why", "2026-01-01T00:00:00Z")
    )
    gc(project, builds=1)
    assert all(stays(project, record) for record in (tagged, built, ran, accepted))
    assert not stays(project, older)


def test_under_a_limit_the_longest_unused_goes_first_and_nothing_that_is_needed(project: Project) -> None:
    needed = result(project, "needed", weights=bytes(50_000))
    write_lock(project.root, needed)
    others = []
    for number in range(4):
        others.append(result(project, f"o{number}", weights=os.urandom(100_000)))
        time.sleep(0.02)
    LocalStore(project.local_store.folder).hold([others[0]])  # a build took it then
    told = gc(project, most_bytes=290_000)
    assert [stays(project, record) for record in others] == [True, False, False, True]
    assert told.fits
    assert told.bytes_after <= 290_000
    told = gc(project, most_bytes=10_000)
    assert not told.fits
    assert stays(project, needed)
    assert not any(stays(project, record) for record in others)


def test_a_damaged_listing_of_what_is_needed_stops_it(project: Project) -> None:
    from spark_build.core.errors import StoreDamaged

    needed, other = result(project, "needed"), result(project, "other")
    write_lock(project.root, needed)
    path = project.objects.path(needed.output)
    os.chmod(path, 0o644)
    Path(path).write_bytes(Path(path).read_bytes() + b" ")
    with pytest.raises(StoreDamaged, match="nothing was removed"):
        gc(project)
    assert stays(project, other)


def test_a_repository_that_git_cant_read_stops_it(project: Project) -> None:
    from spark_build.core.errors import Unavailable

    other = result(project, "other")
    git(project.root, "init", "-q")
    commit(project, result(project, "needed"))
    tree = git(project.root, "rev-parse", "HEAD^{tree}")
    (project.root / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(Unavailable):
        gc(project)
    assert stays(project, other)


def test_scratch_logs_and_memo_go_once_they_are_old_and_belong_to_nothing(project: Project) -> None:
    needed = result(project, "needed")
    write_lock(project.root, needed)
    store = Path(project.local_store.folder)
    old = time.time() - 40 * 86_400
    for name in ("memo/op/a.parquet", "memo/kept/a.parquet", "work/k1/scratch/step", "logs/x.log"):
        place = store / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"12345")
        for path in (place, *list(place.parents)[:2]):
            os.utime(path, (old, old))
    project.records.rewrite(replace(needed, notes={"memo": ["kept"]}))
    (store / "logs/young.log").write_bytes(b"1")
    assert not gc(project, days=60, is_dry=True).removed
    told = gc(project, days=30)
    assert {kind: heap.count for kind, heap in told.removed.items()} == {"memo": 1, "scratch": 1, "logs": 1}
    assert not list((store / "memo/op").iterdir())
    assert (store / "memo/kept/a.parquet").exists()
    assert (store / "logs/young.log").exists()
    assert not (store / "work/k1").exists()


def test_damaged_and_unfinished_files_go_once_they_are_old_by_the_clock_of_the_file_system(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "LEFT_OVER_SECONDS", 0.0)
    store = Path(project.local_store.folder)
    for name in ("damaged", "tmp"):
        (store / name).mkdir(parents=True, exist_ok=True)
        (store / name / "sealed").write_bytes(b"1")
        os.utime(store / name / "sealed", (0, 0))  # as every object is
    time.sleep(0.02)
    assert gc(project, days=1, is_dry=True).removed.keys() == {"tmp"}
    assert gc(project).removed.keys() == {"tmp", "damaged"}


def test_an_action_that_runs_keeps_its_scratch(project: Project) -> None:
    from spark_build.storage.leases import LocalLeases

    lease = LocalLeases(project.local_store.folder).acquire("ab" * 32)
    assert lease is not None
    assert "scratch" not in gc(project).removed
    assert Path(lease.path).exists()


@pytest.mark.parametrize("round_", range(3))
def test_every_lock_of_every_ref_can_still_be_restored(project: Project, round_: int, tmp_path: Path) -> None:
    """Projects, branches and tags drawn at random; what no lock names is gone."""
    print(f"SPARK_GC_SEED={SEED}")
    chance = random.Random(SEED + round_)
    root, store = project.root, project.local_store
    git(root, "init", "-q")
    contents = [chance.randbytes(chance.randrange(1, 400)) for _ in range(8)]  # which results share
    made = []
    for number in range(12):
        files = {f"f{i}": chance.choice(contents) for i in range(chance.randrange(1, 5))}
        made.append(put_result(store, f"model:m{number}/train", files, key=str(number)))
    refs: dict[str, list[Record]] = {}
    for number in range(chance.randrange(2, 6)):
        if refs and chance.random() < 0.5:
            git(root, "checkout", "-qf", "--detach", chance.choice([*refs]))
        named = chance.sample(made, chance.randrange(1, 4))
        commit(project, *named)
        ref = f"{chance.choice(['branch', 'tag'])}-{number}"
        git(root, *(("branch", ref) if ref.startswith("branch") else ("tag", ref)))
        refs[ref] = named
    git(root, "checkout", "-qf", "--detach", [*refs][-1])
    for branch in git(root, "for-each-ref", "--format=%(refname:short)", "refs/heads/ma*").split():
        git(root, "branch", "-qD", branch)
    gc(project)
    for ref, named in refs.items():
        git(root, "checkout", "-qf", ref)
        for record in named:
            to = Project(root).get(
                f"model:{record.stage[6:-6]}", tmp_path / f"{ref}-{record.key}", is_locked=True
            )
            assert sorted(p.name for p in to.iterdir()) == [e.path for e in store.objects.tree(record.output)]
    needed = {record.key for named in refs.values() for record in named}
    outputs = {record.output for record in made if record.key in needed}
    assert {r.key for r in store.records.all()} == {r.key for r in made if r.output in outputs}
    assert objects_in(store) == outputs.union(*(_digests(project, r) for r in made if r.output in outputs))


def test_after_a_build_it_makes_nothing_stale_and_what_it_took_is_built_again(folder: Folder) -> None:
    folder.sparkfile(FILTERED)
    documents(folder, 20)
    first = folder.build().outputs
    assert "nothing is there that nobody needs" in folder.spark("store", "gc").out
    documents(folder, 5, start=20)
    folder.build()
    told = json.loads(folder.spark("store", "gc", "--keep-builds", "0", "--keep-days", "0", "--json").out)
    assert told["targets"].keys() == {"dataset:notes"}
    assert set(folder.build().outcomes.values()) == {"fresh"}
    for number in range(20, 25):
        (folder.path / f"data/doc{number:04}.md").unlink()
    again = folder.build()
    assert again.outputs == first
    assert set(again.outcomes.values()) == {"ran"}
    assert "nothing is damaged" in folder.spark("store", "check").out
    told = folder.spark("store", "gc", "--max-size", "1kB", code=4).out
    assert "more than --max-size 1 kB" in told


def test_a_deleted_store_and_an_empty_one_have_nothing_to_go(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE)
    documents(folder, 1)
    assert "nothing is there" in folder.spark("store", "gc").out
    shutil.rmtree(folder.path / ".spark")
    assert "nothing is there" in folder.spark("store", "gc", "-n").out


def _digests(project: Project, record: Record) -> set[str]:
    return {record.output, *(entry.digest for entry in project.objects.tree(record.output))}
