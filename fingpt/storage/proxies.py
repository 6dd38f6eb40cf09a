"""Answers that did not come from the service that was asked, but from a proxy or web server in between.

A company's proxy answers in a service's place: with 407, or with an HTML page under any status. Neither says anything
of stored bytes, credentials or rights, so each is an error of its own. Pure; used for S3, the hub and the API server.
"""

from __future__ import annotations

import re

from fingpt.errors import FingptError, PermissionDeniedError, SetupError

_LOGIN_WANTED, _PORTAL = 407, 511
_REFUSALS = {401, 403, _PORTAL}
_SETTINGS = "HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
# "Tunnel connection failed: 407 Proxy Authentication Required" of urllib3, "407 Proxy …" of httpx.
_TUNNEL = re.compile(r"(?:^|failed: )([345]\d\d)\b")
_USER_INFO = re.compile(r"(://)[^\s'\"]*@")


def from_answer(start: str, status: int, content_type: str, body: str = "") -> FingptError | None:
    """The error for an HTTP answer that a proxy gave, None for any other; `start` says what could not be done.

    A busy gateway's page (429, 5xx) counts as the service's own answer: it passes.
    """
    if status == _LOGIN_WANTED:
        return _login_wanted(start)
    if not is_page(content_type, body) or status == 429 or (status >= 500 and status != _PORTAL):
        return None
    kind = PermissionDeniedError if status in _REFUSALS else SetupError
    return kind(
        f"{start}: an HTML page came back ({status}), so a proxy or a web server in between answered and not the "
        f"service itself; check the address, and {_SETTINGS}, or ask who runs the proxy to let it through."
    )


def from_tunnel(start: str, message: str) -> FingptError | None:
    """The error for a proxy that opens no tunnel, None where `message` (the library's) says nothing of its answer."""
    found = _TUNNEL.search(message)
    status = int(found[1]) if found else 0
    if status == _LOGIN_WANTED:
        return _login_wanted(start)
    if status in _REFUSALS:
        return PermissionDeniedError(
            f"{start}: the proxy forbids the connection ({status}); check {_SETTINGS}, or ask who runs the proxy to "
            "let it through."
        )
    return None


def is_page(content_type: str, body: str = "") -> bool:
    """Whether an answer is an HTML page, by its type or by its first characters."""
    first = body.lstrip("\ufeff \t\r\n")[:14].lower()
    return content_type.lower().startswith("text/html") or first.startswith(
        ("<!doctype html", "<html")
    )


def masked(text: str) -> str:
    """`text` with user names and passwords in its URLs replaced by `***`."""
    return _USER_INFO.sub(r"\1***@", text)


def _login_wanted(start: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"{start}: the proxy in between asks for a login (407 Proxy Authentication Required); put its user name and "
        "password into HTTPS_PROXY (http://user:password@host:port), or the service's host into NO_PROXY."
    )
