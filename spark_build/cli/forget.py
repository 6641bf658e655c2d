"""`forget`: an item goes from the store, and a tombstone stays in the lock."""

import argparse
import json

from spark_build.cli.build import project_of
from spark_build.core.address import typed
from spark_build.core.errors import RequirementNotMet
from spark_build.pinning import LOCK_NAME


def run_forget(options: argparse.Namespace) -> int:
    from spark_build.app.forgetting import forget
    from spark_build.report.forgotten import forgotten_text

    if options.locked:
        raise RequirementNotMet(
            f"{LOCK_NAME} would change: what is forgotten stands there",
            fix=f"spark forget {typed(options.dataset)} without --locked, and commit the lock",
        )
    project = project_of(options)
    told = forget(
        project,
        options.dataset,
        options.items,
        by=options.by,
        reason=options.reason or "",
        dry=options.dry_run,
    )
    project.close()
    print(json.dumps(told.to_json(), ensure_ascii=False) if options.json else forgotten_text(told))
    return 0
