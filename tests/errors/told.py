"""What every message to a user keeps to: where, what, fix; the right exit code; never a traceback."""

from tests.spark import Folder, Ran


def refused(folder: Folder, *words: str, code: int = 2) -> str:
    """What a command that is turned down says: on standard error alone, with a fix."""
    ran = folder.spark(*words, code=code)
    assert ran.out == "", f"standard output is for answers:\n{ran.out}"
    assert_is_plain(ran)
    assert "\n  fix: " in ran.err, f"no fix:\n{ran.err}"
    return ran.err


def failed(folder: Folder, *words: str) -> Ran:
    """A `build --json` of which a stage failed."""
    ran = folder.build(*words, code=1)
    assert_is_plain(ran)
    assert "\n  fix: " in ran.err, f"no fix:\n{ran.err}"
    assert ran.lines[-1]["event"] == "done"
    return ran


def errors(ran: Ran) -> dict[str, str]:
    return {e["stage"]: e["error"] for e in ran.lines if e["event"] == "stage" and "error" in e}


def assert_is_plain(ran: Ran) -> None:
    assert "Traceback" not in ran.out + ran.err, f"{ran.out}{ran.err}"
    assert "BUG:" not in ran.err, ran.err


def left_in_work(folder: Folder) -> set[str]:
    """What lies in the folders of actions that have ended: only the scratch of a failed one may."""
    return {
        entry.name for action in (folder.path / ".spark" / "work").glob("*") for entry in action.iterdir()
    }
