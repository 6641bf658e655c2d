"""`environment.libraries` as two manifests show it: the same versions at another precision are no other versions."""

from collections.abc import Mapping
from typing import Any

from spark_build.engine.action import Manifest, counted_version

NAME = "environment.libraries"


def precisions(old: Manifest, new: Manifest) -> tuple[str, str] | None:
    """What `environment.libraries` was and is; None where it is the same, as far as manifests tell."""
    before, now = _versions(old), _versions(new)
    if not before or not now:  # ignored on one side, where the rules are the very same
        differ = before != now and _rules(old) == _rules(new)
        return (_precision(before), _precision(now)) if differ else None
    was, became = _precision(before), _precision(now)
    is_same_version = any(is_alike(before.get(name), version) for name, version in now.items())
    return (was, became) if was != became and is_same_version else None


def is_alike(before: str | None, now: str | None) -> bool:
    """Whether the two may be one version at two precisions: 25.0 and 25.0.1, or ignored on one side."""
    if before is None or now is None:
        return True
    return counted_version(before, "compatible") == counted_version(now, "compatible")


def _versions(manifest: Manifest) -> dict[str, str]:
    found = dict(manifest.get("libraries", {}))
    for step in manifest.get("steps", []):
        found |= step.get("libraries", {})
    return found


def _precision(versions: Mapping[str, str]) -> str:
    if not versions:
        return "ignore"
    return "exact" if any(version.count(".") > 1 for version in versions.values()) else "compatible"


def _rules(manifest: Manifest) -> list[Any]:
    steps = manifest.get("steps", [])
    return [manifest.get("revision"), *([s.get("rule"), s.get("revision"), s.get("code")] for s in steps)]
