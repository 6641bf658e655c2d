"""The profile of `~/.aws` that is in force, and the variables that go before it: region, endpoint, settings."""

import os
from collections.abc import Mapping
from configparser import ConfigParser, Error
from functools import cached_property

from spark_build.core.errors import Unavailable
from spark_build.core.values import Struct

Section = Mapping[str, str]

CREDENTIALS, CONFIG = "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_PROFILE_VARIABLES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")  # in botocore's order
_REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
_USUAL = {CREDENTIALS: "~/.aws/credentials", CONFIG: "~/.aws/config"}


class Profile(Struct, frozen=True, dict=True):
    """A profile as both files have it, beside the variables that go before it."""

    environment: Mapping[str, str]
    name: str
    credentials: Section  # of ~/.aws/credentials
    config: Section  # of ~/.aws/config
    services: Section  # what `services` of the latter names

    @classmethod
    def in_force(cls, environment: Mapping[str, str]) -> "Profile":
        """Errors: Unavailable where a variable names one that neither file has, or a file is none of profiles."""
        named = _first(environment, _PROFILE_VARIABLES)
        name = named or "default"
        credentials, config = (_sections(environment, variable) for variable in (CREDENTIALS, CONFIG))
        found = credentials.get(name), config.get(in_config(name), config.get(name) if not named else None)
        if named and found == (None, None):
            raise Unavailable(
                f"there is no profile '{name}' (AWS_PROFILE)", fix="aws configure --profile, or unset it"
            )
        services = config.get(f"services {(found[1] or {}).get('services', '')}", {})
        return cls(environment, name, found[0] or {}, found[1] or {}, services)

    @cached_property
    def settings(self) -> Section:
        """Of both files; where both have one, that of the credentials counts."""
        return {**self.config, **self.credentials}

    @property
    def where(self) -> str:
        return f"profile '{self.name}' in {place_of(self.environment, CONFIG)}"

    @property
    def region(self) -> str | None:
        return _first(self.environment, _REGION_VARIABLES) or self.settings.get("region")

    def endpoint(self, service: str) -> str | None:
        """Of `s3` or `sts`, in boto3's order: variables before the profile, the service's own before that of all."""
        if self.ignores_endpoints:
            return None
        own = f"AWS_ENDPOINT_URL_{service.upper()}"
        return (
            _first(self.environment, (own, "AWS_ENDPOINT_URL"))
            or _nested(self.services.get(service, "")).get("endpoint_url")
            or self.settings.get("endpoint_url")
        )

    @property
    def ca_bundle(self) -> str | None:
        """A file or folder with the certificates of those who may vouch for an endpoint, as boto3 finds it.

        Errors: Unavailable where nothing is there.
        """
        named = (
            _first(self.environment, ("AWS_CA_BUNDLE",))
            or self.settings.get("ca_bundle")
            or _first(self.environment, ("REQUESTS_CA_BUNDLE",))
        )
        if named is None:
            return None
        path = os.path.expanduser(named)
        if not os.path.exists(path):
            raise Unavailable(
                f"there is no bundle of certificates at {named} (AWS_CA_BUNDLE, ca_bundle)",
                fix="name the PEM file of your authority, or unset it",
            )
        return path

    @property
    def ignores_endpoints(self) -> bool:
        said = self.environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or self.settings.get(
            "ignore_configured_endpoint_urls", ""
        )
        return said.lower() == "true"


def in_config(name: str) -> str:
    """What the config file calls a profile's section."""
    return name if name == "default" else f"profile {name}"


def place_of(environment: Mapping[str, str], variable: str) -> str:
    return environment.get(variable) or _USUAL[variable]


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    """An empty variable is as good as none: CI sets those of secrets that a job may not see."""
    return next((environment[name] for name in names if environment.get(name)), None)


def _sections(environment: Mapping[str, str], variable: str) -> Mapping[str, Section]:
    parser, path = ConfigParser(interpolation=None), place_of(environment, variable)
    try:
        parser.read(os.path.expanduser(path), encoding="utf-8")
    except (Error, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None)  # the message may quote a line, and a secret with it
        raise Unavailable(
            f"{path}{f':{line}' if line else ''}: no file of profiles", fix="mend it: aws configure"
        ) from None
    return {name: dict(parser[name]) for name in parser.sections()}


def _nested(text: str) -> Section:
    """The indented lines below a name: `s3 =`, then `  endpoint_url = http://…`."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}
