"""`attest` and `verify`: what a result was made from; does the same come out again, is it what was attested?"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.app import Project
from spark_build.cli.build import project_of
from spark_build.core.errors import UsageError
from spark_build.report.paint import Paint, is_colored

if TYPE_CHECKING:
    from spark_build.core.signing import PrivateKey, PublicKey


def run_attest(options: argparse.Namespace) -> int:
    from spark_build.app.attesting import attest
    from spark_build.report.attested import written_text

    key = _signing_key(options)
    project = project_of(options)
    made = attest(project, options.target, Path(options.to) if options.to else None, key)
    for line in _warnings(project, key):
        print(line, file=sys.stderr)
    project.close()
    target, folder = made.attested.target, str(made.folder)
    if options.json:
        told = {"version": 1, "target": target, "output": made.attested.result.record.output}
        written = {"folder": folder, "files": list(made.files), "signed_by": made.signed_by}
        print(json.dumps({**told, **written}, ensure_ascii=False))
    else:
        print(written_text(target, folder, made.files, made.signed_by))
    return 0


def run_verify(options: argparse.Namespace) -> int:
    if options.attestation is not None:
        return _verify_attestation(options)
    if options.of_folder or options.key or options.unsigned:
        raise UsageError("--folder, --key and --unsigned go with --attestation", fix=_FORMS)
    if options.target is None:
        raise UsageError("verify what?", fix=_FORMS)
    return _verify_build(options)


def _verify_attestation(options: argparse.Namespace) -> int:
    from spark_build.app.attestations import check_attestation
    from spark_build.report.attested import checked_text

    if options.stage or options.keep or options.jobs:
        raise UsageError("--attestation builds nothing: --stage, --keep and -j don't go with it", fix=_FORMS)
    if options.target and options.of_folder:
        raise UsageError("a target is compared in the store, --folder outside of it", fix="name one of them")
    project = project_of(options)
    project.offline = True  # what is not here is not asked for
    found = check_attestation(
        Path(options.attestation),
        project,
        keys=[] if options.unsigned else _keys(options, project),
        target=options.target,
        folder=Path(options.of_folder) if options.of_folder else None,
        takes_unsigned=options.unsigned,
    )
    project.close()
    if options.json:
        print(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        print(checked_text(found, Paint(is_colored(sys.stdout))))
    return found.exit_code


def _signing_key(options: argparse.Namespace) -> "PrivateKey | None":
    """Errors: UsageError where --sign asks for one and there is none."""
    if options.sign is False:
        return None
    from spark_build.core.signing import PrivateKey

    key = PrivateKey.in_force()
    if key is None and options.sign:
        raise UsageError("there is no key to sign with", fix="spark key new")
    return key


def _warnings(project: Project, key: "PrivateKey | None") -> Iterator[str]:
    """Why others may not take what was written."""
    from spark_build.core.trust import TRUSTED

    if key is None:
        yield "UNSIGNED: anybody could have written this attestation, and anybody can change it unseen"
        yield "  fix: spark key new, then spark attest again"
    elif project.graph.trust.is_required and key.public not in project.graph.trust.keys_for(TRUSTED):
        yield f"signed by {key.public.id}, which this Sparkfile does not list for '{TRUSTED}'"
        yield f'  fix: store: {{keys: ["{key.public}"]}}, or who verifies says --key'


def _keys(options: argparse.Namespace, project: Project) -> "list[PublicKey]":
    """Those of --key, else those that the Sparkfile trusts. Errors: UsageError where there are none."""
    from spark_build.core.signing import PublicKey
    from spark_build.core.trust import TRUSTED

    if options.key:
        return [PublicKey.parse(text) for text in options.key]
    is_here = project.request.file.exists()
    keys = project.graph.trust.keys_for(TRUSTED) if is_here else []
    if not keys:
        raise UsageError(
            "no key says whose signature counts", fix="--key ed25519:…, or list it under store.keys"
        )
    return keys


def _verify_build(options: argparse.Namespace) -> int:
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


_FORMS = "spark verify TARGET, or spark verify --attestation FILE [TARGET | --folder DIR] [--key ed25519:…]"
