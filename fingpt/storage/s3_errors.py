"""Errors of S3 and botocore as the project's own: one sentence with an exit code.

Pure: an exception in, an exception out. The codes are those of Amazon S3; Ceph, MinIO and versitygw use the same ones.
"""

from __future__ import annotations

import re

from boto3.exceptions import RetriesExceededError, S3UploadFailedError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    EndpointProviderError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from fingpt.errors import (
    ConfigError,
    FingptError,
    MissingInputError,
    NoSpaceError,
    PermissionDeniedError,
    SetupError,
    TransientError,
)
from fingpt.storage import proxies


class PageInsteadOfAnswer(BotoCoreError):
    """An HTML page came with a status of success."""

    fmt = "an HTML page came back ({status})"


# Everything that a call of an S3 client may raise for reasons outside of this program.
FAILURES = (BotoCoreError, ClientError, RetriesExceededError, S3UploadFailedError)

_AGAIN = "run the same command again, it resumes"
_WRONG_KEY = (
    "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), and that no AWS_SESSION_TOKEN of other keys "
    "is set beside them"
)
_NO_LOGIN = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
_UNREACHABLE = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)
_HEADER = re.compile(r"(Invalid header value).*")

_BY_CODE: dict[str, tuple[type[FingptError], str]] = {
    "NoSuchBucket": (MissingInputError, "the bucket does not exist; create it or name another"),
    "NoSuchKey": (
        MissingInputError,
        "there is no such object; check the key, or run the stage that makes it",
    ),
    "InvalidAccessKeyId": (
        PermissionDeniedError,
        f"the endpoint does not know the access key; {_WRONG_KEY}",
    ),
    "SignatureDoesNotMatch": (
        PermissionDeniedError,
        f"the secret key is not the one of this access key; {_WRONG_KEY}",
    ),
    "InvalidToken": (
        PermissionDeniedError,
        (
            "the session token is not valid, or belongs to other keys; unset AWS_SESSION_TOKEN (aws_session_token in "
            "the credentials file) if the keys are permanent ones, else renew keys and token together"
        ),
    ),
    "ExpiredToken": (PermissionDeniedError, "the credentials have expired; renew them"),
    "AccessDenied": (
        PermissionDeniedError,
        "these credentials lack the permission, or the object is not there and they may not list; ask for the right",
    ),
    "RequestTimeTooSkewed": (
        SetupError,
        "this machine's clock differs too much from the endpoint's; set the clock (NTP)",
    ),
    "AuthorizationHeaderMalformed": (
        SetupError,
        "the request was signed for another region; set AWS_REGION to the bucket's",
    ),
    "PermanentRedirect": (
        SetupError,
        "the bucket is in another region; set AWS_REGION and AWS_ENDPOINT_URL to match",
    ),
    "InvalidBucketName": (ConfigError, "the endpoint refuses this bucket name"),
    "NotImplemented": (
        SetupError,
        "the endpoint does not implement the request; choose a store with conditional writes",
    ),
    "BadDigest": (TransientError, f"the bytes were damaged on the way there; {_AGAIN}"),
    "InsufficientStorage": (NoSpaceError, "the store has no space left; free some"),
}
# A HEAD answer has no body, so botocore has nothing but the status to name the error by.
_ALIASES = {
    "404": "NoSuchKey",
    "403": "AccessDenied",
    "Forbidden": "AccessDenied",
    "AllAccessDisabled": "AccessDenied",
    "301": "PermanentRedirect",
    "501": "NotImplemented",
    "507": "InsufficientStorage",
    "XAdminUserNotFound": "InvalidAccessKeyId",  # versitygw, with status 404
    "QuotaExceeded": "InsufficientStorage",
    "XMinioStorageFull": "InsufficientStorage",
    "ExpiredTokenException": "ExpiredToken",
    "InvalidTokenId": "InvalidToken",  # MinIO
    "InvalidClientTokenId": "InvalidToken",
    "UnrecognizedClientException": "InvalidToken",
    "RequestExpired": "RequestTimeTooSkewed",
}
_BUSY = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequests"}


def status_of(error: ClientError) -> int:
    """HTTP status of the answer, 0 when there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: ClientError) -> str:
    """S3's code of the error, for example `NoSuchKey`; the bare status where a HEAD answer has no code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def unreachable(error: BaseException) -> bool:
    """Whether no connection came about at all, as with a wrong address."""
    return isinstance(_root(error), _UNREACHABLE)


def from_s3_error(error: BaseException, action: str, where: str, endpoint: str) -> FingptError:
    """The project's error for one of FAILURES; `action` is a verb ("read"), `where` the object's uri."""
    error = _root(error)
    if isinstance(error, ClientError):
        return _from_answer(error, f"Cannot {action} {where} at {endpoint}")
    start = f"Cannot {action} {where}"
    if isinstance(error, _NO_LOGIN):
        return PermissionDeniedError(
            f"{start}: no usable credentials were found ({_brief(error)}); set AWS_PROFILE, or AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY."
        )
    if isinstance(error, PageInsteadOfAnswer):
        status = int(error.kwargs["status"])
        return proxies.from_answer(f"{start} at {endpoint}", status, "text/html") or SetupError(
            start
        )
    if isinstance(error, ProxyConnectionError):
        return _from_proxy(error, f"{start} at {endpoint}")
    if isinstance(error, _UNREACHABLE):
        return TransientError(
            f"{start}: the endpoint {endpoint} cannot be reached ({_brief(error)}); check AWS_ENDPOINT_URL and the "
            f"network, then {_AGAIN}."
        )
    if _is_no_address(error):  # not quoted: what cannot be parsed cannot be masked
        return SetupError(
            f"{start}: an address is none that can be asked; check AWS_ENDPOINT_URL (http:// or https://, a host, a "
            "port up to 65535), and HTTPS_PROXY and HTTP_PROXY."
        )
    if isinstance(error, SSLError):
        return SetupError(
            f"{start}: no trusted TLS connection to {endpoint} ({_brief(error)}); set AWS_CA_BUNDLE to its "
            "certificate authority."
        )
    if isinstance(error, ParamValidationError):
        return ConfigError(f"{start}: {_brief(error)}")
    return TransientError(
        f"{start}: the connection to {endpoint} failed ({_brief(error)}); {_AGAIN}."
    )


def _is_no_address(error: BaseException) -> bool:
    """Whether the endpoint's or the proxy's address cannot be parsed, so that no later try can succeed."""
    cause = error.kwargs.get("error") if isinstance(error, HTTPClientError) else None
    return isinstance(error, EndpointProviderError) or isinstance(cause, ValueError)


def _from_answer(error: ClientError, start: str) -> FingptError:
    code, status = code_of(error), status_of(error)
    metadata = error.response.get("ResponseMetadata", {})
    kind_of_answer = metadata.get("HTTPHeaders", {}).get("content-type", "")
    foreign = proxies.from_answer(start, status, kind_of_answer)
    if foreign and not metadata.get("RequestId"):
        return foreign
    known = _BY_CODE.get(_ALIASES.get(code, code))
    if known:
        kind, sentence = known
        return kind(f"{start}: {sentence} ({code}).")
    if code in _BUSY or status == 429 or status >= 500:
        return TransientError(
            f"{start}: the endpoint is busy or broken ({code} {status}); {_AGAIN}."
        )
    detail = _cleaned(error.response.get("Error", {}).get("Message") or "")
    if "token" in f"{code} {detail}".lower():
        kind, sentence = _BY_CODE["InvalidToken"]
        return kind(f"{start}: {sentence} ({code} {status}: {detail}).")
    if status in (401, 403):
        return PermissionDeniedError(
            f"{start}: the endpoint, or what stands before it, accepts no request with these credentials "
            f"({code} {status}: {detail}); {_WRONG_KEY}."
        )
    return SetupError(
        f"{start}: the endpoint refused ({code} {status}: {detail}); check AWS_ENDPOINT_URL, and that it is an S3 "
        "endpoint."
    )


def _from_proxy(error: ProxyConnectionError, start: str) -> FingptError:
    refused = proxies.from_tunnel(start, str(error.kwargs.get("error", "")))
    return refused or TransientError(
        f"{start}: the proxy cannot be reached ({_brief(error)}); check HTTPS_PROXY, HTTP_PROXY and NO_PROXY, then "
        f"{_AGAIN}."
    )


def _root(error: BaseException) -> BaseException:
    """The failure that boto3's transfer layer wrapped, where it did."""
    if isinstance(error, RetriesExceededError):
        return _root(error.last_exception)  # type: ignore[attr-defined]  # absent from the stubs
    if isinstance(error, S3UploadFailedError) and error.__context__ is not None:
        return _root(error.__context__)
    return error


def _brief(error: BaseException) -> str:
    return _cleaned(str(error))


def _cleaned(text: str) -> str:
    """One line without secrets: some libraries quote a header that they cannot send."""
    line = proxies.masked(" ".join(text.split()))
    return _HEADER.sub(r"\1 ***", line).rstrip(".")[:300]
