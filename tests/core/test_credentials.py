"""Credentials for S3 as boto3 finds them: moto's STS, real programs, real HTTP, profiles in files of their own."""

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from key_issuer import KeyIssuer, issuing_keys

from spark_build.core.buckets import open_bucket
from spark_build.core.credentials import Given, Provider, credentials
from spark_build.core.errors import SparkError, TransientError, Unavailable
from spark_build.core.profiles import Profile
from spark_build.remote.bucket import Bucket
from tests.services.fault_proxy import FaultProxy
from tests.services.service import Service
from tests.spark import Folder, documents

SECRET = "kept-to-itself"
ROLE = "arn:aws:iam::123456789012:role/builder"


class Home:
    """A user's home folder, with profiles; what asks S3 in it says whose keys it had."""

    def __init__(self, path: Path, proxy: FaultProxy, bucket: str) -> None:
        self.path, self.proxy, self.bucket = path, proxy, bucket

    @property
    def variables(self) -> dict[str, str]:
        return {
            "HOME": str(self.path),
            "AWS_CONFIG_FILE": str(self.path / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.path / "credentials"),
            "AWS_ENDPOINT_URL": self.proxy.url,
        }

    def config(self, text: str) -> None:
        (self.path / "config").write_text(textwrap.dedent(text))

    def keys(self, text: str) -> None:
        (self.path / "credentials").write_text(textwrap.dedent(text))

    def program(self, text: str) -> str:
        path = self.path / "print-keys"
        path.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}")
        path.chmod(0o755)
        return str(path)

    def signer(self) -> str:
        """Whose key a request has that is made now."""
        Bucket(f"s3://{self.bucket}/x", sleep=lambda seconds: None).put("a", b"1")
        return self.proxy.requests[-1].access_key


@pytest.fixture
def home(tmp_path: Path, moto_server: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with FaultProxy(moto_server) as proxy:
        found = Home(tmp_path, proxy, moto_server.new_bucket())
        for name, value in found.variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield found


@pytest.fixture
def issuer() -> Iterator[KeyIssuer]:
    with issuing_keys() as found:
        yield found


def refused(home: Home) -> SparkError:
    with pytest.raises(SparkError) as found:
        home.signer()
    assert SECRET not in str(found.value)
    return found.value


# which keys count


BOTH = f"""
    [default]
    aws_access_key_id = of-default
    aws_secret_access_key = {SECRET}
    [team]
    aws_access_key_id = of-team
    aws_secret_access_key = {SECRET}
"""
VARIABLES = {"AWS_ACCESS_KEY_ID": "of-variables", "AWS_SECRET_ACCESS_KEY": SECRET}


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        ({}, "of-default"),
        ({"AWS_PROFILE": "team"}, "of-team"),
        ({"AWS_DEFAULT_PROFILE": "team"}, "of-team"),
        (VARIABLES, "of-variables"),
        ({**VARIABLES, "AWS_PROFILE": "team"}, "of-variables"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "team"}, "of-team"),
    ],
)
def test_the_keys_that_count_are_those_that_count_for_boto3(
    home: Home, variables: Mapping[str, str], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    home.keys(BOTH)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = boto3.Session().get_credentials()
    assert found is not None
    assert home.signer() == found.access_key == key


def test_a_token_in_a_variable_is_not_taken_for_that_of_a_profile(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.keys(BOTH)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-somebody-else")
    store = open_bucket(f"s3://{home.bucket}")
    assert "session_token" not in store.config
    assert os.environ["AWS_SESSION_TOKEN"] == "of-somebody-else"


def test_keys_in_the_credentials_file_go_before_a_program(home: Home) -> None:
    home.keys(BOTH)
    home.config("[default]\ncredential_process = false\n")
    assert home.signer() == "of-default"
    assert "botocore" not in modules_of_a_request(home)


def modules_of_a_request(home: Home) -> list[str]:
    code = (
        "import json, sys; from spark_build.remote.bucket import Bucket; "
        f"Bucket('s3://{home.bucket}').put('a', b'1'); print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    modules: list[str] = json.loads(done.stdout)
    return modules


# region and endpoint


def test_region_and_endpoint_are_those_of_boto3(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[team]\naws_access_key_id = k\n")
    (tmp_path / "config").write_text(
        textwrap.dedent("""\
        [profile team]
        region = eu-west-1
        endpoint_url = http://of-profile
        [profile served]
        services = on-prem
        endpoint_url = http://of-profile
        [services on-prem]
        s3 =
          endpoint_url = http://of-service
          addressing_style = path
        sts =
          endpoint_url = http://of-sts
    """)
    )
    files = {
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
    }

    def told(**variables: str) -> tuple[str | None, str | None]:
        profile = Profile.in_force({**files, **variables})
        return profile.region, profile.endpoint("s3")

    assert told() == (None, None)
    assert told(AWS_PROFILE="team") == ("eu-west-1", "http://of-profile")
    assert told(AWS_PROFILE="team", AWS_REGION="x", AWS_ENDPOINT_URL="y") == ("x", "y")
    assert told(AWS_PROFILE="team", AWS_ENDPOINT_URL="y", AWS_ENDPOINT_URL_S3="z")[1] == "z"
    assert told(AWS_PROFILE="served") == (None, "http://of-service")
    assert told(AWS_PROFILE="served", AWS_ENDPOINT_URL="y")[1] == "y"
    assert told(AWS_PROFILE="served", AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true")[1] is None
    assert Profile.in_force({**files, "AWS_PROFILE": "served"}).endpoint("sts") == "http://of-sts"
    with pytest.raises(Unavailable, match="no profile 'none'"):
        told(AWS_PROFILE="none")
    with pytest.raises(Unavailable, match="no aws_secret_access_key"):
        credentials({**files, "AWS_PROFILE": "team"})


def test_an_endpoint_of_the_sparkfile_goes_before_every_variable(
    home: Home, moto_server: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.keys(BOTH)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    Bucket(f"s3://{home.bucket}/x", home.proxy.url).put("a", b"1")
    assert home.proxy.requests[-1].access_key == "of-default"


def test_a_services_section_leads_to_the_endpoint(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    home.keys(BOTH)
    home.config(f"[default]\nservices = here\n[services here]\ns3 =\n  endpoint_url = {home.proxy.url}\n")
    assert home.signer() == "of-default"


# roles


def roles(home: Home, source: str = "source_profile = default") -> None:
    home.keys(BOTH)
    home.config(f"[profile builder]\nrole_arn = {ROLE}\nregion = us-east-1\n{source}\n")


def test_a_role_is_assumed_once_and_its_keys_sign(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    roles(home)
    monkeypatch.setenv("AWS_PROFILE", "builder")
    assert home.signer().startswith("ASIA")
    assert home.signer().startswith("ASIA")
    assert [r.access_key for r in home.proxy.requests if r.operation == "POST"] == ["of-default"]
    # a process that comes later takes what `aws` would take
    assert "botocore" in modules_of_a_request(home)
    assert [r.access_key for r in home.proxy.requests if r.operation == "POST"] == ["of-default"]
    (cached,) = (home.path / ".aws/cli/cache").iterdir()
    assert cached.stat().st_mode & 0o077 == 0


def test_a_role_rests_on_variables_where_its_profile_says_so(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With keys in variables nothing else is asked, as by boto3; a container's keys are another source."""
    with issuing_keys() as issuer:
        roles(home, "credential_source = EcsContainer")
        monkeypatch.setenv("AWS_PROFILE", "builder")
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{issuer.url}/role")
        assert home.signer().startswith("ASIA")
        assert [r.access_key for r in home.proxy.requests if r.operation == "POST"] == ["issued-1"]


def test_an_absent_source_profile_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    roles(home, "source_profile = nobody")
    monkeypatch.setenv("AWS_PROFILE", "builder")
    error = refused(home)
    assert f"profile 'builder' in {home.path}/config: role_arn: " in error.message
    assert '"nobody"' in error.message
    assert error.fix is not None
    assert "--profile builder" in error.fix


def test_a_role_that_wants_a_code_asks_nobody_where_nobody_is(home: Home) -> None:
    roles(home, "source_profile = default\nmfa_serial = arn:aws:iam::123456789012:mfa/me")
    done = subprocess.run(
        [sys.executable, "-c", f"from spark_build.remote.bucket import Bucket; Bucket('s3://{home.bucket}').get('a')"],
        env={**os.environ, "AWS_PROFILE": "builder"},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    assert "a code of an MFA device is wanted, and nobody can be asked" in done.stderr


def test_a_web_identity_needs_no_botocore_and_its_token_is_read_anew(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = home.path / "token"
    token.write_text(SECRET)
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    assert home.signer().startswith("ASIA")
    assert "botocore" not in modules_of_a_request(home)
    for name in ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name)
    home.config(f"[profile pod]\nrole_arn = {ROLE}\nweb_identity_token_file = {token}\n")
    monkeypatch.setenv("AWS_PROFILE", "pod")
    assert home.signer().startswith("ASIA")
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "another")  # so that it is asked again
    token.unlink()
    assert f"the token file {token}: No such file" in refused(home).message


# programs


PRINTS = """\
import datetime, json, pathlib
asked = pathlib.Path(__file__).with_name("asked")
asked.open("a").write("x")
until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds={seconds})
print(json.dumps({{"Version": 1, "AccessKeyId": f"printed-{{asked.stat().st_size}}",
    "SecretAccessKey": "kept-to-itself", "SessionToken": "t", "Expiration": until.isoformat()}}))
"""


def test_a_programs_keys_are_renewed_before_their_time_is_up(home: Home) -> None:
    home.config(f"[default]\ncredential_process = {home.program(PRINTS.format(seconds=4))}\n")
    bucket, keys = Bucket(f"s3://{home.bucket}/x"), []
    began = time.monotonic()
    while time.monotonic() - began < 9:
        bucket.put("a", b"1")
        keys.append(home.proxy.requests[-1].access_key)
        time.sleep(0.2)
    assert len(set(keys)) >= 3
    assert len(set(keys)) < len(keys) / 2  # and not for each request
    assert keys == sorted(keys, key=lambda key: int(key.partition("-")[2]))


def test_a_program_that_fails_for_a_moment_does_no_harm_while_its_keys_are_good() -> None:
    now, asked = datetime.now(UTC), []

    def ask() -> Given:
        asked.append(1)
        if len(asked) == 2:
            raise TransientError("no answer")
        return Given(f"k{len(asked)}", "s", None, now + timedelta(minutes=10))

    provider = Provider(ask)
    assert provider._good(now).access_key == "k1"
    assert provider._good(now + timedelta(minutes=7)).access_key == "k1"  # 7.5 would be early enough
    assert provider._good(now + timedelta(minutes=8)).access_key == "k1"
    assert provider._good(now + timedelta(minutes=8, seconds=1)).access_key == "k1"
    assert len(asked) == 2
    assert provider._good(now + timedelta(minutes=8, seconds=11)).access_key == "k3"


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (f"import sys; print('{SECRET}', file=sys.stderr); sys.exit(3)", "credential_process failed"),
        (f"print('{SECRET}')", "credential_process printed no JSON with keys"),
        (f'print(\'["{SECRET}"]\')', "credential_process printed no JSON with keys"),
        (f'print(\'{{"Version": 1, "AccessKeyId": "{SECRET}"}}\')', "printed JSON without Version 1, AccessKeyId"),
        (f'print(\'{{"Version": 2, "SecretAccessKey": "{SECRET}"}}\')', "printed JSON without Version 1"),
        (PRINTS.format(seconds=-9), "gave keys that have expired"),
    ],
)  # fmt: skip
def test_what_a_program_does_wrong_is_told_without_what_it_printed(
    home: Home, program: str, told: str
) -> None:
    home.config(f"[default]\ncredential_process = {home.program(program)}\n")
    error = refused(home)
    assert f"profile 'default' in {home.path}/config: " in error.message
    assert told in error.message
    assert error.fix == "run it by hand, and see what it prints"


def test_a_program_that_is_not_there_is_told(home: Home) -> None:
    home.config("[default]\ncredential_process = /no/such/program --token kept-to-itself\n")
    assert "credential_process could not be started (No such file or directory)" in refused(home).message


def test_without_botocore_it_is_said_what_to_install(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "botocore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    home.config("[default]\ncredential_process = anything\n")
    error = refused(home)
    assert error.message.endswith("credential_process needs botocore")
    assert error.fix == "pip install 'spark-build[aws]'"


# containers


def test_a_containers_keys_are_asked_for_with_its_token(
    home: Home, issuer: KeyIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{issuer.url}/role")
    assert home.signer() == "issued-1"
    assert home.signer() == "issued-1"
    assert "authorization" not in issuer.asked[-1][1]
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", SECRET)
    home.signer()
    assert issuer.asked[-1][1]["authorization"] == SECRET
    # EKS's pod identity puts a new one into a file
    (home.path / "token").write_text("of-the-file\n")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(home.path / "token"))
    assert home.signer() == "issued-3"
    assert issuer.asked[-1][1]["authorization"] == "of-the-file"
    assert "botocore" not in modules_of_a_request(home)


def test_a_containers_keys_are_renewed(
    home: Home, issuer: KeyIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer.seconds = 2
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{issuer.url}/renewed")
    bucket = Bucket(f"s3://{home.bucket}/x")
    bucket.put("a", b"1")
    time.sleep(2.1)
    bucket.put("a", b"1")
    first, last = home.proxy.requests[0].access_key, home.proxy.requests[-1].access_key
    assert first == "issued-1"
    assert int(last.partition("-")[2]) >= 2
    issuer.status = 403
    time.sleep(2.1)
    with pytest.raises(SparkError, match=r"AWS_CONTAINER_CREDENTIALS: refused \(HTTP 403\)"):
        Bucket(f"s3://{home.bucket}/x").put("a", b"1")


def test_a_token_goes_to_no_other_machine_in_the_clear(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/role")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", SECRET)
    assert "names '192.0.2.1', which is not this machine" in refused(home).message


# SSO: the portal is played


def signed_in(home: Home, *, minutes: float) -> None:
    home.config("""\
        [default]
        sso_session = team
        sso_account_id = 123456789012
        sso_role_name = builder
        region = us-east-1
        [sso-session team]
        sso_start_url = https://team.awsapps.com/start
        sso_region = us-east-1
    """)
    cache = home.path / ".aws/sso/cache"
    cache.mkdir(parents=True)
    token = {
        "accessToken": SECRET,
        "expiresAt": (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "us-east-1",
        "startUrl": "https://team.awsapps.com/start",
    }
    (cache / f"{sha1(b'team').hexdigest()}.json").write_text(json.dumps(token))


def asked_at_home(home: Home, variables: Mapping[str, str]) -> Any:
    """In a process of its own: botocore reads `~/.aws/sso` where it is imported."""
    code = f"from spark_build.remote.bucket import Bucket; Bucket('s3://{home.bucket}').put('a', b'1')"
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )  # fmt: skip


def test_who_has_signed_in_by_sso_is_known_by_the_token_that_aws_left(home: Home, issuer: KeyIssuer) -> None:
    signed_in(home, minutes=60)
    done = asked_at_home(home, {"AWS_ENDPOINT_URL_SSO": issuer.url})
    assert not done.returncode, done.stderr
    ((path, headers),) = issuer.asked
    assert path.startswith("/federation/credentials?")
    assert "role_name=builder" in path
    assert headers["x-amz-sso_bearer_token"] == SECRET
    assert home.proxy.requests[-1].access_key == "issued-1"


def test_who_is_signed_in_no_longer_is_told_how_to_sign_in(home: Home, issuer: KeyIssuer) -> None:
    signed_in(home, minutes=-60)
    done = asked_at_home(home, {"AWS_ENDPOINT_URL_SSO": issuer.url})
    assert (
        "sso_session: nobody is signed in, or no longer\n  fix: aws sso login --profile default"
        in done.stderr
    )
    assert SECRET not in done.stderr


# commands


def test_a_build_uploads_as_a_role_and_says_no_secret(home: Home, folder: Folder) -> None:
    roles(home)
    folder.env = {**home.variables, "AWS_PROFILE": "builder"}
    folder.sparkfile(f"store: {{remote: 's3://{home.bucket}/team'}}\ndatasets: {{notes: {{source: data}}}}\n")
    documents(folder, 3)
    ran = folder.spark("build")
    signers = {r.access_key for r in home.proxy.requests if r.operation == "PutObject"}
    assert signers
    assert all(signer.startswith("ASIA") for signer in signers)
    assert SECRET not in ran.out + ran.err
    held = [file.read_bytes() for file in folder.path.rglob("*") if file.is_file()]
    assert held
    assert not any(SECRET.encode() in data or b"ASIA" in data for data in held)


def test_without_any_credentials_a_command_says_so_at_once(home: Home, folder: Folder) -> None:
    nowhere = {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1/",
        "AWS_EC2_METADATA_DISABLED": "",
    }
    folder.env = {**home.variables, **nowhere}
    folder.sparkfile(f"store: {{remote: 's3://{home.bucket}/team'}}\ndatasets: {{notes: {{source: data}}}}\n")
    documents(folder, 1)
    began = time.monotonic()
    ran = folder.spark("plan", code=1)
    assert "there are no credentials for S3" in ran.err
    assert "fix: set AWS_ACCESS_KEY_ID" in ran.err
    assert time.monotonic() - began < 30
