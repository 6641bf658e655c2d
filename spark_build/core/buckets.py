"""S3 through obstore, with endpoint and credentials as the ecosystem has them: `AWS_*`, profiles, a machine's role."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from spark_build.core.errors import SparkError, TransientError, Unavailable

T = TypeVar("T")
_OPENING = threading.Lock()
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_TOKEN")
_OF_MACHINE = ("/latest/api/token", "/latest/meta-data/iam")  # where obstore asks last for a role
_FIX = "check the URL, AWS_ENDPOINT_URL, AWS_REGION, the credentials and the network"


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
    config, variables = _s3(endpoint) if url.startswith("s3://") else ({}, {})
    if not tries_again:
        config["retry_config"] = {"max_retries": 0}

    def opened() -> Any:
        with _told_by(variables):
            return from_url(url.rstrip("/"), client_options=options, **config)

    return told(url, opened)


def _s3(endpoint: str | None) -> tuple[dict[str, Any], dict[str, str | None]]:
    """What obstore is told so that it does what boto3 would, and the variables that it is to find, or not to.

    Errors: those of `credentials`.
    """
    from spark_build.core.credentials import credentials
    from spark_build.core.profiles import Profile

    profile = Profile.in_force(os.environ)
    provider, keys = credentials(os.environ)
    other = None if profile.ignores_endpoints else os.environ.get("AWS_ENDPOINT")
    config: dict[str, Any] = {
        **keys,
        "region": profile.region or "us-east-1",
        "disable_bulk_delete": True,  # one thing is deleted at a time, and not every service has the other
    }
    if named := endpoint or profile.endpoint("s3") or other:
        config["endpoint"] = named
    if provider is not None:
        config["credential_provider"] = provider
    variables: dict[str, str | None] = dict.fromkeys(_ENDPOINTS + (_KEYS if keys or provider else ()))
    if (bundle := profile.ca_bundle) is not None:
        is_folder = os.path.isdir(bundle)
        variables |= {"SSL_CERT_DIR": bundle, "SSL_CERT_FILE": None} if is_folder else {
            "SSL_CERT_FILE": bundle, "SSL_CERT_DIR": None,
        }  # fmt: skip
    return config, variables


@contextmanager
def _told_by(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Some of what obstore is told goes by variables alone, some it takes before what it is told; both only while a
    store is made.
    """
    with _OPENING:
        kept = {name: os.environ.pop(name) for name in variables if name in os.environ}
        os.environ.update({name: value for name, value in variables.items() if value is not None})
        try:
            yield
        finally:
            for name in variables:
                os.environ.pop(name, None)
            os.environ.update(kept)


def told(url: str, ask: Callable[[], T]) -> T:
    """What is asked, or the store's refusal in words. Errors: TransientError, FileNotFoundError."""
    try:
        return ask()
    except FileNotFoundError:
        raise
    except Exception as error:  # obstore's own errors share no class with a name of its own
        if (problem := of_credentials(error)) is not None:
            raise problem from None
        first = str(error).splitlines()[0][:300]
        raise TransientError(f"{url}: {first}", fix=_FIX) from error


def of_credentials(error: Exception) -> SparkError | None:
    """What is wrong with the credentials, where that is why a request failed; else None."""
    from spark_build.core.credentials import no_credentials

    text = str(error)
    if any(path in text for path in _OF_MACHINE):
        return no_credentials()
    _, found, said = text.partition("External AWS credential provider: ")
    if not found:
        return None
    message = said.partition("\n\nDebug source")[0].partition(": ")[2]
    what, _, fix = message.partition("\n  fix: ")
    kind = TransientError if said.startswith(TransientError.__name__) else Unavailable
    return kind(what, fix=fix or None)
