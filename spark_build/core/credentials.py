"""Who gives credentials for S3, in boto3's order: variables, roles, profiles, containers, the machine itself."""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from spark_build.core.errors import SparkError, Unavailable
from spark_build.core.profiles import Profile, Section
from spark_build.core.values import Struct

Ask = Callable[[], "Given"]

MARGIN = timedelta(minutes=6)  # obstore asks again when five are left
_PAUSE = timedelta(seconds=10)  # after a renewal that failed, while the old keys are still good
_SSO, _LATE = ("sso_session", "sso_start_url"), ("login_session", "credential_process")


class Given(Struct, frozen=True):
    """Keys, and how long they are good for; None: for ever."""

    access_key: str
    secret_key: str
    token: str | None = None
    until: datetime | None = None

    def __repr__(self) -> str:
        return f"Given(until={self.until})"  # no secret is printed by accident

    __str__ = __repr__


class Provider:
    """What obstore asks for keys, from any thread: those at hand while they are good for some time, else new ones."""

    def __init__(self, ask: Ask) -> None:
        self._ask, self._lock = ask, threading.Lock()
        self._given: Given | None = None
        self._again_at: datetime | None = None  # None: they are good for ever

    def __call__(self) -> Any:
        with self._lock:
            given = self._good(datetime.now(UTC))
        return {
            "access_key_id": given.access_key,
            "secret_access_key": given.secret_key,
            "token": given.token,
            "expires_at": given.until and given.until.astimezone(UTC),  # it takes no other zone
        }

    def _good(self, now: datetime) -> Given:
        if self._given is not None and (self._again_at is None or now < self._again_at):
            return self._given
        try:
            self._given = given = self._ask()
        except SparkError:
            if self._given is None or self._given.until is None or self._given.until <= now:
                raise
            self._again_at = now + _PAUSE
            return self._given
        self._again_at = None if given.until is None else given.until - min(MARGIN, (given.until - now) / 4)
        return given


def credentials(environment: Mapping[str, str]) -> tuple[Provider | None, dict[str, str]]:
    """Who is asked for keys, or what obstore is told; neither where it finds them by itself.

    Errors: Unavailable, TransientError where there should be some, and none are to be had.
    """
    profile = Profile.in_force(environment)
    if environment.get("AWS_ACCESS_KEY_ID"):
        return None, {}
    asked = _asked(profile)
    if asked is None:
        return None, _own_keys(profile) or _of_machine(profile)
    names = tuple(sorted(one for one in environment.items() if one[0].startswith("AWS_") or one[0] == "HOME"))
    provider = _provider(asked, names)
    provider()  # what is wrong is said here, where it can be told as it is
    return provider, {}


@cache
def _provider(asked: Callable[[Profile], Ask], environment: tuple[tuple[str, str], ...]) -> Provider:
    """One for all stores of a process, so that a role is assumed once."""
    return Provider(asked(Profile.in_force(dict(environment))))


def _asked(profile: Profile) -> Callable[[Profile], Ask] | None:
    """None where the profile has keys of its own, or only the machine is left."""
    from spark_build.core.issued_keys import container_url, of_container, of_web_identity, web_identity
    from spark_build.core.profile_roles import of_profile

    settings = profile.settings
    if "role_arn" in settings and {"source_profile", "credential_source"} & settings.keys():
        return of_profile
    if web_identity(profile) is not None:
        return of_web_identity
    if any(name in settings for name in _SSO):
        return of_profile
    if _own_keys(profile) is not None:
        return None
    if any(name in settings for name in _LATE):
        return of_profile
    return of_container if container_url(profile) is not None else None


def _own_keys(profile: Profile) -> dict[str, str] | None:
    """Those of the credentials' file go before a program that prints some, those of the config file don't."""
    if "aws_access_key_id" in profile.credentials:
        return _keys_of(profile.credentials, profile)
    is_late = any(name in profile.settings for name in _LATE)
    return (
        _keys_of(profile.config, profile) if "aws_access_key_id" in profile.config and not is_late else None
    )


def _keys_of(section: Section, profile: Profile) -> dict[str, str]:
    secret, token = section.get("aws_secret_access_key"), section.get("aws_session_token")
    if not secret:
        raise Unavailable(
            f"{profile.where} has an aws_access_key_id and no aws_secret_access_key",
            fix=f"aws configure --profile {profile.name}",
        )
    keys = {"access_key_id": section["aws_access_key_id"], "secret_access_key": secret}
    return {**keys, "session_token": token} if token else keys


def _of_machine(profile: Profile) -> dict[str, str]:
    """What obstore has to know to ask the machine for its role. Errors: Unavailable where that is switched off."""
    environment, name = profile.environment, "ec2_metadata_service_endpoint"
    if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise no_credentials()
    endpoint = environment.get(f"AWS_{name.upper()}") or profile.settings.get(name)
    return {"metadata_endpoint": endpoint.rstrip("/")} if endpoint else {}


def no_credentials() -> Unavailable:
    return Unavailable(
        "there are no credentials for S3: none in variables, none in a profile, and this machine has no role",
        fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; aws configure makes one",
    )
