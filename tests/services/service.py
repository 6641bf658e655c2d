"""An S3 endpoint for tests: where it is, who may ask, empty buckets, clients."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

REGION = "us-east-1"
NAMES = ("admin", "reader", "writer")


@dataclass(frozen=True)
class User:
    name: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Service:
    url: str
    users: Mapping[str, User]  # admin owns the buckets; reader and writer may do what a policy allows
    folder: str = ""  # of the server's own files

    @property
    def environment(self) -> dict[str, str]:
        """The admin's, for spark and for all that reads AWS_* variables."""
        return self.environment_of("admin")

    def environment_of(self, user: str | User) -> dict[str, str]:
        keys = self._user(user)
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            # of boto3's clients: else a body gets a trailer that older servers keep as a part of the object
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }

    def client(self, user: str | User = "admin", api: str = "s3", read_timeout: float = 60.0) -> Any:
        """boto3's client, which tries everything once."""
        import boto3
        from botocore.config import Config

        keys = self._user(user)
        return boto3.client(
            api,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            config=Config(
                retries={"total_max_attempts": 1},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                max_pool_connections=32,
                read_timeout=read_timeout,
            ),
        )

    def new_bucket(self) -> str:
        """An empty bucket that nobody else has; it stays until the server goes."""
        name = f"t-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def at(self, url: str) -> "Service":
        """The same service asked through a proxy."""
        return replace(self, url=url)

    def _user(self, user: str | User) -> User:
        return user if isinstance(user, User) else self.users[user]


def new_user(name: str) -> User:
    return User(name, f"{name}-{uuid.uuid4().hex[:12]}", uuid.uuid4().hex)
