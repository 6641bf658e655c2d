"""S3 through obstore, with endpoint and credentials as the ecosystem has them: `AWS_*`, profiles, a machine's role."""

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from spark_build.core.errors import TransientError, Unavailable

T = TypeVar("T")
_FIX = "check the URL, AWS_ENDPOINT_URL, AWS_REGION, the credentials and the network"
_KNOWN = {
    "aws_access_key_id": "access_key_id", "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token", "region": "region", "endpoint_url": "endpoint",
}  # fmt: skip


def open_bucket(
    url: str,
    endpoint: str | None = None,
    *,
    tries_again: bool = True,
    answer_seconds: float | None = None,
    body_seconds: float = 60.0,
) -> Any:
    """obstore's store for `s3://bucket/prefix`, or for a URL of an HTTP server; paths start at the prefix.

    `endpoint` goes before `AWS_ENDPOINT_URL` and the profile's. `answer_seconds`: until an answer begins, which is
    after all that is sent, and between two pieces of it. Errors: Unavailable without obstore; TransientError for what
    is no URL of a store.
    """
    try:
        from obstore.store import from_url
    except ImportError:
        raise Unavailable(f"{url}: reading it needs obstore", fix="pip install 'spark-build[s3]'") from None
    # an endpoint of one's own may have no certificate
    options: Any = {"allow_http": True, "connect_timeout": "10s", "timeout": f"{body_seconds:g}s"}
    if answer_seconds is not None:
        options["read_timeout"] = f"{answer_seconds:g}s"
    config: Any = profile(os.environ) if url.startswith("s3://") else {}
    if endpoint:
        config["endpoint"] = endpoint
    if url.startswith("s3://"):
        config["disable_bulk_delete"] = (
            True  # one thing is deleted at a time, and not every service has the other
        )
    if not tries_again:
        config["retry_config"] = {"max_retries": 0}
    return told(url, lambda: from_url(url.rstrip("/"), client_options=options, **config))


def told(url: str, ask: Callable[[], T]) -> T:
    """What is asked, or the store's refusal in words. Errors: TransientError, FileNotFoundError."""
    try:
        return ask()
    except FileNotFoundError:
        raise
    except Exception as error:  # obstore's own errors share no class with a name of its own
        first = str(error).splitlines()[0][:300]
        raise TransientError(f"{url}: {first}", fix=_FIX) from error


def profile(environment: Mapping[str, str]) -> dict[str, str]:
    """What `~/.aws` has under AWS_PROFILE, or under `default` where no variable holds a key; obstore reads variables.

    Errors: Unavailable where the profile is not there.
    """
    from configparser import ConfigParser, Error

    name = environment.get("AWS_PROFILE")
    if name is None and "AWS_ACCESS_KEY_ID" in environment:
        return {}
    files = ConfigParser(interpolation=None), ConfigParser(interpolation=None)
    homes = ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config")
    for parser, (variable, usual) in zip(files, homes, strict=True):
        try:
            parser.read(os.path.expanduser(environment.get(variable, usual)), encoding="utf-8")
        except (Error, UnicodeDecodeError):
            raise Unavailable(f"{variable}: no file of profiles", fix="mend it: aws configure") from None
    wanted = name or "default"
    sections = [
        parser[section]
        for parser, section in zip(files, (wanted, _in_config(wanted)), strict=True)
        if section in parser
    ]
    if name is not None and not sections:
        raise Unavailable(
            f"there is no profile '{name}' (AWS_PROFILE)", fix="aws configure --profile, or unset it"
        )
    found = {own: s[key] for s in reversed(sections) for key, own in _KNOWN.items() if key in s}
    # variables are nearer than a profile for all but keys, as in every other tool
    nearer = {
        "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
        "endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    }
    return {n: v for n, v in found.items() if not any(one in environment for one in nearer.get(n, ()))}


def _in_config(name: str) -> str:
    return name if name == "default" else f"profile {name}"
