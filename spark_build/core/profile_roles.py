"""Keys through a profile's role, SSO or program: botocore's work, which is imported for these alone."""

import os
from typing import Any

from spark_build.core.credentials import MARGIN, Ask, Given, no_credentials
from spark_build.core.errors import SparkError, TransientError, Unavailable
from spark_build.core.profiles import Profile

# where `aws` keeps the keys of roles: what a code of an MFA device has opened for one is open for the other
_CACHE = "~/.aws/cli/cache"
_KINDS = ("role_arn", "sso_session", "sso_start_url", "login_session", "credential_process")
_SIGNED_OUT = (
    "UnauthorizedSSOTokenError", "SSOTokenLoadError", "TokenRetrievalError", "LoginRefreshRequired",
    "LoginTokenLoadError", "UnauthorizedException",
)  # fmt: skip
_ALONE = ("EOFError", "RefreshWithMFAUnsupportedError")
_UNANSWERED = ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError")


def of_profile(profile: Profile) -> Ask:
    """Errors, then and later: Unavailable, TransientError; none says what a program printed: it may be a secret."""
    loaded: list[Any] = []

    def ask() -> Given:
        try:
            if not loaded:
                loaded.append(_loaded(profile))
            return _given_by(loaded[0])
        except SparkError:
            raise
        except Exception as error:  # botocore's share no class, and a program's answer has any
            raise _in_words(profile, error) from None

    return ask


def _loaded(profile: Profile) -> Any:
    try:
        import botocore.session
        from botocore.utils import JSONFileCache
    except ImportError:
        raise Unavailable(
            f"{profile.where}: {_kind(profile)} needs botocore", fix="pip install 'spark-build[aws]'"
        ) from None
    session = botocore.session.Session(profile=profile.name)
    session.set_config_variable("region", profile.region or "us-east-1")
    chain = session.get_component("credential_provider")
    for method in ("assume-role", "sso"):
        chain.get_provider(method).cache = JSONFileCache(os.path.expanduser(_CACHE))
    found = chain.load_credentials()
    if found is None:
        raise no_credentials()
    return found


def _given_by(found: Any) -> Given:
    """botocore renews them itself, a quarter of an hour before their time is up."""
    from datetime import UTC, datetime

    from botocore.credentials import RefreshableCredentials

    keys, until = found.get_frozen_credentials(), None
    if isinstance(found, RefreshableCredentials):
        until = getattr(found, "_expiry_time", None) or datetime.now(UTC) + 2 * MARGIN
    return Given(keys.access_key, keys.secret_key, keys.token, until)


def _in_words(profile: Profile, error: Exception) -> SparkError:
    name, where = type(error).__name__, f"{profile.where}: {_kind(profile)}"
    ask_aws = f"aws sts get-caller-identity --profile {profile.name}"
    if name in _SIGNED_OUT:
        return Unavailable(
            f"{where}: nobody is signed in, or no longer", fix=f"aws sso login --profile {profile.name}"
        )
    if name in _ALONE:
        return Unavailable(
            f"{where}: a code of an MFA device is wanted, and nobody can be asked",
            fix=f"{ask_aws}, which asks; then again",
        )
    if _kind(profile) == "credential_process":
        return Unavailable(f"{where} {_of_program(error)}", fix="run it by hand, and see what it prints")
    if name in _UNANSWERED:
        return TransientError(f"{where}: no answer ({name})", fix="check the network and AWS_ENDPOINT_URL")
    first = (str(error).splitlines() or [name])[0][:300]
    return Unavailable(f"{where}: {first}", fix=f"mend the profile; {ask_aws} tells more")


def _of_program(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError):
        return f"could not be started ({error.strerror})"
    if "Missing required key" in text or "Unsupported version" in text:
        return "printed JSON without Version 1, AccessKeyId and SecretAccessKey"
    if "still expired" in text:
        return "gave keys that have expired"
    return "failed" if "custom-process" in text else "printed no JSON with keys"


def _kind(profile: Profile) -> str:
    """What of the profile is at work."""
    return next((name for name in _KINDS if name in profile.settings), "its keys")
