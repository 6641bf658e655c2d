"""Runs the golden cases of one file and prints what they give: `python -m tests.golden data [FAMILY/RULE …]`."""

import contextlib
import json
import sys
import tempfile
from pathlib import Path

from spark_build.core.digest import digest_json
from tests.golden import Case, cases


def main(file: str, *wanted: str) -> None:
    given = {}
    with contextlib.redirect_stdout(sys.stderr):  # of what libraries and commands say
        for (family, rule), case in cases(file).items():
            if not wanted or f"{family}/{rule}" in wanted:
                given[f"{family}/{rule}"] = _given(case)
    print(json.dumps(given))


def _given(case: Case) -> dict[str, dict[str, str] | dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        result = case(Path(folder))
    exact = {part: digest_json(value) for part, value in sorted(result.exact.items())}
    return {"golden": exact, "figures": dict(sorted(result.figures.items()))}


if __name__ == "__main__":
    main(*sys.argv[1:])
