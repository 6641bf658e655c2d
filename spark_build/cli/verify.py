"""`verify`: does the same come out again?"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from spark_build.cli.build import project_of
from spark_build.report.paint import Paint, is_colored


def run_verify(options: argparse.Namespace) -> int:
    from spark_build.app.verifying import verify
    from spark_build.report.verified import verification_text

    project = project_of(options)
    with _display(options) as listener:
        found = verify(
            project,
            options.target,
            listener=listener,
            is_stage_alone=options.stage,
            keep=Path(options.keep) if options.keep else None,
            jobs=options.jobs,
        )
    project.close()
    if options.json:
        print(json.dumps(found.to_json(), ensure_ascii=False, allow_nan=False))
    else:
        print(verification_text(found, Paint(is_colored(sys.stdout))))
    return found.exit_code


def _display(options: argparse.Namespace) -> Any:
    """What is built is told on standard error, so that standard output holds the verdict alone."""
    from spark_build.report.plain import PlainLines

    again = f"spark verify {options.target}"
    return PlainLines(
        str(Path(options.folder).resolve()), again, stream=sys.stderr, paint=Paint(is_colored(sys.stderr))
    )
