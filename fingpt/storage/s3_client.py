"""A boto3 client for any S3 endpoint, with bounded retries and settings that stores other than Amazon's take.

Address, region and credentials are read by boto3 from its own variables and files; nothing of that passes through us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from fingpt.errors import SetupError

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
_DEFAULT_REGION = "us-east-1"


def make_client() -> S3Client:
    """A client (safe for threads) for the endpoint that the standard AWS settings name.

    Raises SetupError on an unknown profile, a malformed endpoint or settings file. It connects to nothing.
    """
    try:
        session = Session()
        client = session.client("s3", config=_EVERYWHERE)
        if not is_amazon(client.meta.endpoint_url):
            client = session.client(
                "s3",
                config=_EVERYWHERE.merge(_NOT_AMAZON),
                region_name=session.region_name or _DEFAULT_REGION,
            )
    except (BotoCoreError, ValueError) as error:
        raise SetupError(
            f"The AWS settings cannot be used: {error}; check AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL and "
            "the files that they name."
        ) from error
    return client


def is_amazon(endpoint: str) -> bool:
    """Whether `endpoint` (a URL) is Amazon's own."""
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
