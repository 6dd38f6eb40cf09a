"""A boto3 client for any S3 endpoint, with bounded retries and settings that stores other than Amazon's take.

Address, region and credentials are read by boto3 from its own variables and files. They are looked at for one thing:
what would show a secret in an error, or can never work, is refused before anything is sent.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import botocore.session
from boto3.session import Session
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.utils import parse_timestamp

from fingpt.errors import PermissionDeniedError, SetupError
from fingpt.storage.certificates import check_certificates, require_certificates
from fingpt.storage.proxies import is_page, masked
from fingpt.storage.s3_errors import PageInsteadOfAnswer
from fingpt.storage.s3_signed import sign_urls_as_requests

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Three attempts to connect of four seconds each: a wrong address is known within about 13 seconds.
_CONNECT_TIMEOUT_SECONDS = 4
_READ_TIMEOUT_SECONDS = 60
_ATTEMPTS = 3
_CONNECTIONS = 32

_EVERYWHERE = Config(
    connect_timeout=_CONNECT_TIMEOUT_SECONDS,
    read_timeout=_READ_TIMEOUT_SECONDS,
    # "standard" waits with exponential back-off and full jitter, longer when the endpoint asks to slow down.
    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    max_pool_connections=_CONNECTIONS,
)
# Other stores reject or mangle the checksum trailers of newer clients, and have no DNS name per bucket.
_NOT_AMAZON = Config(
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    s3={"addressing_style": "path"},
)
_NOTHING: Any = {}
_NO_BODY: Any = SimpleNamespace(stream=lambda: iter(()))
_DEFAULT_REGION = "us-east-1"
_VISIBLE = re.compile(r"[\x21-\x7e]+")
# Where keys are written down by people; what instance roles and login services give is made by programs.
_WRITTEN = {
    "env": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "shared-credentials-file": (
        "aws_access_key_id in the credentials file",
        "aws_secret_access_key in the credentials file",
        "aws_session_token in the credentials file",
    ),
    "config-file": (
        "aws_access_key_id in the AWS config file",
        "aws_secret_access_key in the AWS config file",
        "aws_session_token in the AWS config file",
    ),
}


def make_client() -> S3Client:
    """A client (safe for threads) for the endpoint that the standard AWS settings name.

    Raises SetupError on an unknown profile, a malformed endpoint, settings or certificate file, or an endpoint with a
    password in it; PermissionDeniedError on a key that no key can be. It connects to nothing.
    """
    require_certificates()
    try:
        settings = botocore.session.get_session()
        parsers = settings.get_component("response_parser_factory")
        parsers.set_parser_defaults(timestamp_parser=_time)
        bundle = settings.get_config_variable("ca_bundle")
        session = Session(botocore_session=settings)
        _check_keys(session)
        client = session.client("s3", config=_EVERYWHERE)
        if not is_amazon(client.meta.endpoint_url):
            client = session.client(
                "s3",
                config=_EVERYWHERE.merge(_NOT_AMAZON),
                region_name=session.region_name or _DEFAULT_REGION,
            )
    except (BotoCoreError, ValueError) as error:
        raise SetupError(
            f"The AWS settings cannot be used: {masked(str(error))}; check AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL "
            "and the files that they name."
        ) from None
    if bundle:
        check_certificates(Path(bundle), "ca_bundle of the AWS settings")
    _check_endpoint(client.meta.endpoint_url)
    _recognise_foreign_answers(client)
    sign_urls_as_requests(client)
    return client


def _time(given: Any) -> datetime:
    """A time of an answer. botocore guesses each one's format, which is three quarters of what a listing costs."""
    try:
        found = datetime.fromisoformat(given)
    except (TypeError, ValueError):
        found = parse_timestamp(given)
    return found if found.tzinfo else parse_timestamp(given)


def _check_keys(session: Session) -> None:
    credentials = session.get_credentials()
    names = _WRITTEN.get(getattr(credentials, "method", ""))
    if credentials is None or names is None:
        return
    values = (credentials.access_key, credentials.secret_key, credentials.token)
    for name, value in zip(names, values, strict=True):
        if value and not _VISIBLE.fullmatch(value):
            raise PermissionDeniedError(
                f"{name} holds a blank, a line break or another character that no key has; copy it again."
            )


def _check_endpoint(endpoint: str) -> None:
    if "@" in endpoint:
        raise SetupError(
            f"The S3 endpoint {masked(endpoint)} has a user name or password in its address, which S3 does not use and "
            "every message would show; take it out of AWS_ENDPOINT_URL (or endpoint_url of the profile) and give the "
            "keys as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )


def _recognise_foreign_answers(client: S3Client) -> None:
    """Let a web page that comes as a success be an error, and a redirect be an answer.

    A proxy's 302 would have the client ask for the bucket's region by a HEAD, whose 302 has it ask again, without end;
    only Amazon has regions that a redirect can name.
    """

    def no_page(http_response: Any, parsed: dict[str, Any], **_: object) -> None:
        # S3 servers number their answers or give an ETag; moto calls all of its answers HTML.
        own = "ETag" in parsed or parsed.get("ResponseMetadata", {}).get("RequestId")
        # The client says 500 of a success that is no XML, as most pages are; the connection knows what was sent.
        status = int(getattr(http_response.raw, "status", http_response.status_code))
        if status < 300 and not own and is_page(http_response.headers.get("content-type", "")):
            http_response.raw.close()  # nobody else will: a body that is to be streamed holds its connection
            raise PageInsteadOfAnswer(status=status)

    def no_region(request: Any, **_: object) -> AWSResponse:
        return AWSResponse(request.url, 404, _NOTHING, _NO_BODY)

    client.meta.events.register("after-call.s3", no_page)
    if not is_amazon(client.meta.endpoint_url):
        client.meta.events.register("before-send.s3.HeadBucket", no_region)  # type: ignore[arg-type]


def is_amazon(endpoint: str) -> bool:
    """Whether `endpoint` (a URL) is Amazon's own."""
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
