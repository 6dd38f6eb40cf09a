"""obstore as a second way to the bytes that a boto3 client reads: boto3 signs, obstore fetches.

A client in Python brings well under 1 GB/s however many threads it has; obstore's connections are Rust's. It gets a
signed URL and nothing else, so that address, region, style and credentials are known to boto3 alone.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.httpsession import where
from obstore.exceptions import BaseError
from obstore.store import HTTPStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from obstore.store import ClientConfig

_VALID_SECONDS = 900
# Long before the end, so that a part is asked for with credentials that are still good.
_RENEWED_SECONDS = 300
_SIGNATURE = "s3v4-query"
_NAMES_OF_IT = {"v4-query", _SIGNATURE}


def options_like(client: S3Client) -> ClientConfig | None:
    """How obstore is to connect as `client` does, None where it cannot.

    It knows no client's certificate, no folder of certificates and no `proxies_config`, and may fail to read a file
    that OpenSSL reads. The certificates given are trusted beside the system's: `client`, which trusts these alone, has
    been there before.
    """
    config, endpoint = client.meta.config, client.meta.endpoint_url
    # What the environment and the AWS settings said is kept nowhere else.
    session: Any = client._endpoint.http_session  # type: ignore[attr-defined]
    verify, proxies = session._verify, session._proxy_config
    if config.client_cert or proxies.settings or not verify:  # type: ignore[attr-defined]
        return None
    bundle = Path(where() if verify is True else verify)
    host = urlsplit(endpoint).hostname or ""
    proxy = proxies.proxy_url_for(endpoint)
    options: ClientConfig = {
        "allow_http": True,
        "connect_timeout": timedelta(seconds=config.connect_timeout),  # type: ignore[attr-defined]
        "read_timeout": timedelta(seconds=config.read_timeout),  # type: ignore[attr-defined]
        "timeout": timedelta(days=1),  # of a whole part: a slow line is none that stands still
        "user_agent": config.user_agent,  # type: ignore[attr-defined]
        # Without one it would look for a proxy in the environment, by other rules than boto3's.
        "proxy_url": proxy or "http://127.0.0.1:9",
    }
    if not proxy:
        options["proxy_excludes"] = host
    try:
        if endpoint.startswith("https:"):
            options["root_certificate"] = bundle.read_bytes()
        HTTPStore(endpoint, client_options=options)
    except (BaseError, OSError, ValueError):
        return None
    return options


class SignedObject:
    """One object of a client's bucket, whose signature is renewed while it is read; safe for threads."""

    def __init__(self, client: S3Client, bucket: str, key: str, options: ClientConfig) -> None:
        self._client, self._bucket, self._key, self._options = client, bucket, key, options
        self._lock = threading.Lock()
        self._made = 0.0
        self._store: HTTPStore | None = None

    def store(self) -> HTTPStore:
        """A store whose path "" is the object; raises what boto3 does where it has no credentials.

        It tries once: who asks decides about a second time. Its errors quote the signed URL: no message may hold them.
        """
        with self._lock:
            if self._store is None or time.monotonic() - self._made > _RENEWED_SECONDS:
                self._made = time.monotonic()
                url = self._client.generate_presigned_url(
                    "get_object",
                    Params={"Bucket": self._bucket, "Key": self._key},
                    ExpiresIn=_VALID_SECONDS,
                )
                self._store = HTTPStore(
                    url, client_options=self._options, retry_config={"max_retries": 0}
                )
            return self._store


def sign_urls_as_requests(client: S3Client) -> None:
    """Let URLs be signed as requests are: botocore's default for them is a version that many stores have dropped."""

    def choose(signature_version: object, **_: object) -> str | None:
        return _SIGNATURE if signature_version in _NAMES_OF_IT else None

    client.meta.events.register("choose-signer.s3.GetObject", choose)  # type: ignore[arg-type]
