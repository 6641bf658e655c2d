"""A command as a source: what it writes is read as files are."""

import sys
from pathlib import Path

import pytest

from spark_build.contract import Bad, Context, Raw, SourceFile
from spark_build.core.digest import digest_file
from spark_build.core.errors import StageFailed
from spark_build.sources.command import Command, Params

SCRIPT = """
import json, sys
from pathlib import Path
out = Path(sys.argv[1])
(out / "train").mkdir()
(out / "train" / "rows.jsonl").write_text(json.dumps({"text": "hello"}) + "\\nnot json\\n")
(out / "page.md").write_text("# Title\\r\\n\\r\\n\\r\\nbody  ")
"""


class Silent:
    def progress(self, done: int, total: int | None, unit: str = "items") -> None: ...
    def metric(self, name: str, value: float, step: int | None = None) -> None: ...
    def log(self, text: str) -> None: ...
    def checkpoint(self, step: int) -> None: ...
    def note(self, name: str, value: object) -> None: ...


@pytest.fixture
def context(tmp_path: Path) -> Context:
    (tmp_path / "prep.py").write_text(SCRIPT)
    return Context({}, tmp_path / "attempt", tmp_path / "scratch", Silent(), base_dir=tmp_path)


def read(rule: Command, folder: Path) -> dict[str, list[Raw | Bad]]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    named = {f.relative_to(folder).as_posix(): f for f in files}
    return {
        path: list(rule.read(SourceFile(path, file, file.stat().st_size, digest_file(file))))
        for path, file in named.items()
    }


def test_what_the_command_writes_is_read_as_files_are(context: Context) -> None:
    rule = Command(Params(run=f"{sys.executable} prep.py {{output}}", text_field="body"))
    records = read(rule, rule.fetch(context))
    assert [r.fields for r in records["page.md"] if isinstance(r, Raw)] == [{"body": "# Title\n\nbody"}]
    first, second = records["train/rows.jsonl"]
    assert isinstance(first, Raw)
    assert (first.fields, first.split) == ({"text": "hello"}, "train")
    assert isinstance(second, Bad)
    assert second.reason == "not_json"


def test_what_a_killed_run_left_is_gone_and_scratch_stays(context: Context) -> None:
    rule = Command(
        Params(run="ls {output} > {scratch}/seen; touch {scratch}/kept; echo x > {output}/new.txt")
    )
    rule.fetch(context)
    (context.scratch / "output" / "half.txt").write_text("half")
    folder = rule.fetch(context)
    assert [f.name for f in folder.iterdir()] == ["new.txt"]
    assert (folder.parent / "scratch" / "kept").exists()
    assert (folder.parent / "scratch" / "seen").read_text() == ""


def test_a_command_that_writes_nothing_has_failed(context: Context) -> None:
    with pytest.raises(StageFailed, match=r"the command wrote no file to \{output\}\n  fix: write there"):
        Command(Params(run="true {output}")).fetch(context)
