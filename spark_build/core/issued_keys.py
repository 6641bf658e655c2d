"""Keys that somebody issues to a pod, a container or a CI job: for a web identity (STS), or at a URL of its own."""

import json
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spark_build.core.credentials import Ask, Given
from spark_build.core.errors import TransientError, Unavailable
from spark_build.core.profiles import Profile

if TYPE_CHECKING:
    from urllib.request import HTTPSHandler, Request

_ECS = "http://169.254.170.2"
_CONTAINER = "AWS_CONTAINER_CREDENTIALS"
_CONTAINER_HOSTS = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost")
_SECONDS = 10.0
_MOST_BYTES = 1 << 20


def web_identity(profile: Profile) -> tuple[str, str] | None:
    """Role and file of a token: of the variables, else of the profile."""
    environment, settings = profile.environment, profile.settings
    role = environment.get("AWS_ROLE_ARN") or settings.get("role_arn")
    file = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE") or settings.get("web_identity_token_file")
    return (role, file) if role and file else None


def of_web_identity(profile: Profile) -> Ask:
    """The token is read anew each time: who issues it puts a new one there."""
    from urllib.parse import urlencode
    from urllib.request import Request

    found = web_identity(profile)
    assert found is not None
    (role, file), endpoint = found, profile.endpoint("sts") or _sts(profile)
    name = profile.environment.get("AWS_ROLE_SESSION_NAME") or profile.settings.get("role_session_name")
    what = f"{role} by the token in {file}"

    def ask() -> Given:
        form = {
            "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": role,
            "RoleSessionName": name or "spark-build", "WebIdentityToken": _token(file),
        }  # fmt: skip
        answer = _answer(Request(endpoint, urlencode(form).encode()), what, profile.ca_bundle)
        return _given_by(_names_in(answer), "SessionToken", what)

    return ask


def _sts(profile: Profile) -> str:
    region = profile.region or "us-east-1"
    return f"https://sts.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")


def _names_in(answer: bytes) -> dict[str, str]:
    """The fields of STS's XML, of which none holds markup."""
    return dict(re.findall(r"<(\w+)>([^<>]+)</\1>", answer.decode(errors="replace")))


def container_url(profile: Profile) -> str | None:
    environment = profile.environment
    if relative := environment.get(f"{_CONTAINER}_RELATIVE_URI"):
        return _ECS + relative
    return environment.get(f"{_CONTAINER}_FULL_URI") or None


def of_container(profile: Profile) -> Ask:
    """ECS, EKS's pod identity, and what else serves as they do. Errors: Unavailable for a host far away."""
    from urllib.request import Request

    url, environment = container_url(profile) or "", profile.environment
    _check_host(url)

    def ask() -> Given:
        file = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        token = _token(file) if file else environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        answer = _answer(
            Request(url, headers={"Authorization": token} if token else {}),
            _CONTAINER,
            profile.ca_bundle,
            is_near=True,
        )
        return _given_by(_json_in(answer), "Token", _CONTAINER)

    return ask


def _check_host(url: str) -> None:
    """Errors: Unavailable where a token would go to another machine in the clear."""
    from ipaddress import ip_address
    from urllib.parse import urlsplit

    host = urlsplit(url).hostname or ""
    try:
        is_near = host in _CONTAINER_HOSTS or ip_address(host).is_loopback
    except ValueError:
        is_near = False
    if not is_near and not url.startswith("https://"):
        raise Unavailable(
            f"{_CONTAINER}_FULL_URI names '{host}', which is not this machine",
            fix="https://…, or an address of this machine",
        )


def _json_in(answer: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(answer)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _given_by(told: Mapping[str, Any], token: str, what: str) -> Given:
    from datetime import UTC, datetime

    try:
        said = told.get("Expiration")
        until = datetime.fromisoformat(said) if said else None
        until = until.replace(tzinfo=until.tzinfo or UTC) if until else None
        return Given(told["AccessKeyId"], told["SecretAccessKey"], told.get(token) or None, until)
    except (KeyError, ValueError, TypeError):
        raise Unavailable(
            f"{what}: the answer holds no keys", fix="check the role, and who answers"
        ) from None


def _token(file: str) -> str:
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise Unavailable(
            f"the token file {file}: {why}", fix="check the identity of the pod or job"
        ) from None


def _trusting(bundle: str) -> "HTTPSHandler":
    import ssl
    from urllib.request import HTTPSHandler

    is_folder = os.path.isdir(bundle)
    context = ssl.create_default_context(
        cafile=None if is_folder else bundle, capath=bundle if is_folder else None
    )
    return HTTPSHandler(context=context)


def _answer(request: "Request", what: str, bundle: str | None, *, is_near: bool = False) -> bytes:
    """`bundle`: as of `Profile.ca_bundle`.

    Errors: Unavailable where the answer is no; TransientError where there is none.
    """
    from urllib.error import HTTPError
    from urllib.request import BaseHandler, ProxyHandler, build_opener

    # no proxy reaches what is on this machine
    handlers: list[BaseHandler] = [ProxyHandler({})] if is_near else []
    if bundle is not None:
        handlers.append(_trusting(bundle))
    try:
        with build_opener(*handlers).open(request, timeout=_SECONDS) as response:
            data: bytes = response.read(_MOST_BYTES)
            return data
    except HTTPError as error:
        code = _names_in(error.read(_MOST_BYTES)).get("Code", "")[:60]
        said = f"HTTP {error.code}" + (f", {code}" if code else "")
        if error.code >= 500:
            raise TransientError(f"{what}: {said}", fix="try again in a moment") from None
        raise Unavailable(
            f"{what}: refused ({said})", fix="check the role, and whether the token is of today"
        ) from None
    except OSError as error:
        raise TransientError(
            f"{what}: no answer ({getattr(error, 'reason', error)})", fix="check the network and the endpoint"
        ) from None
