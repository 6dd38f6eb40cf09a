"""What went wrong between us and a source, by name: refused, busy, gone, cut short, no answer at all.

Pure. Texts of servers come here without keys (client.py cleans them), and leave printable and short.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import httpx2

from fingpt import log
from fingpt.errors import (
    DataError,
    FingptError,
    MissingInputError,
    PermissionDeniedError,
    SetupError,
    TransientError,
)
from fingpt.sources.live.keys import Key
from fingpt.storage.proxies import from_answer, from_tunnel, is_page, masked

_BUSY = {408, 425, 429, 500, 502, 503, 504}
_SECONDS = re.compile(r"\d{1,11}")


class Kinds(NamedTuple):
    """The content types in which an answer may come: `name` for people, `parts` of which the type has one."""

    name: str
    parts: tuple[str, ...]


JSON = Kinds("JSON", ("json",))
XML = Kinds("XML", ("xml",))
CSV = Kinds("CSV", ("csv", "text/plain", "octet-stream"))
LOOSE_JSON = Kinds("JSON", ("json", "text/plain", "octet-stream"))
"""For services of any make: files on a web server often come as text."""


class Passing(Exception):
    """A failure that may pass: worth another attempt after `pause_seconds` (None: the client's own). Stays in here."""

    def __init__(
        self,
        reason: str,
        pause_seconds: float | None = None,
        kind: type[FingptError] = TransientError,
    ) -> None:
        super().__init__(reason)
        self.reason, self.pause_seconds, self._kind = reason, pause_seconds, kind

    def final(self, start: str, attempts: int, pause_seconds: float) -> FingptError:
        """The error when nothing is tried any more; `start` says what could not be done."""
        wait = f" in {round(pause_seconds / 60)} minutes" if pause_seconds >= 120 else " later"
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        return self._kind(
            f"{start}{tried}: {self.reason}; the same command{wait} goes on from here."
        )


def excerpt(text: str) -> str:
    """The first words of what a server said, as one printable line."""
    return log.printable(" ".join(text.split()))[:200]


def from_status(
    start: str, answer: httpx2.Response, text: str, key: Key | None, now: datetime
) -> Exception:
    """The error for an answer that is no success: Passing, or what ends the request."""
    status, kind = answer.status_code, answer.headers.get("content-type", "")
    foreign = from_answer(start, status, kind, text)
    if foreign is not None:
        return foreign
    said = "" if is_page(kind, text) or not text.strip() else f" and says '{excerpt(text)}'"
    if status in (401, 403):
        return _refused(start, status, said, key)
    if status in (404, 410):
        return MissingInputError(f"{start}: there is nothing there ({status}){said}.")
    if status in _BUSY:
        what = "it asks for fewer requests" if status == 429 else "it is busy or broken"
        return Passing(f"{what} ({status}){said}", retry_after(answer.headers, now))
    return DataError(
        f"{start}: it does not take the request ({status}){said}; check the source's settings."
    )


def retry_after(headers: httpx2.Headers, now: datetime) -> float | None:
    """Seconds to wait, from Retry-After (RFC 9110: seconds, or a date) or Finnhub's X-Ratelimit-Reset (Unix time).

    A date is taken against the server's own Date where it sends one, so that a wrong clock here does not matter.
    """
    there = _date(headers.get("date", "")) or now
    after = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(after):
        return float(after)
    until = _date(after)
    reset = headers.get("x-ratelimit-reset", "").strip()
    if until is None and _SECONDS.fullmatch(reset) and float(reset) > 0:
        until = datetime.fromtimestamp(float(reset), UTC)
    return None if until is None else max(0.0, (until - there).total_seconds())


def check_body(start: str, kind: str, data: bytes, kinds: Kinds) -> None:
    """Passing for an empty body; DataError for an HTML page or another content type than `kinds`."""
    if not data.strip():
        raise Passing("a success without a body came back (200, empty)", kind=DataError)
    text = data[:200].decode("utf-8", "replace")
    if is_page(kind, text):
        raise DataError(
            f"{start}: an HTML page came back as a success (200) where {kinds.name} was expected: from a proxy, a "
            "login page or maintenance; check the address and HTTPS_PROXY, or ask again later."
        )
    if not any(part in kind.lower() for part in kinds.parts):
        raise DataError(
            f"{start}: {kinds.name} was expected, but the answer is '{excerpt(kind) or 'without a type'}' and begins "
            f"with '{excerpt(text)[:80]}'; check the source's address."
        )


def from_transport(start: str, error: httpx2.HTTPError | httpx2.InvalidURL) -> Exception:
    """The error for a request without a whole answer: Passing, or what ends it."""
    said = masked(excerpt(str(error))) or type(error).__name__
    if isinstance(error, httpx2.ProxyError):
        refused = from_tunnel(f"{start} cannot be reached", str(error))
        return refused or Passing(f"the proxy fails ({said})")
    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
        return SetupError(f"{start} cannot be asked ({said}); check the source's address.")
    if isinstance(error, httpx2.DecodingError):
        return Passing(f"the answer is damaged ({said})", kind=DataError)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return SetupError(
            f"{start} shows a certificate that is not trusted here ({said}); if a proxy in between re-signs "
            "connections, name its certificate authority's file by SSL_CERT_FILE (in the chart: forecast.certificates)."
        )
    if isinstance(error, httpx2.TimeoutException):
        return Passing("it does not answer in time")
    if isinstance(error, httpx2.RemoteProtocolError):
        return Passing(f"the answer was cut short ({said})")
    return Passing(f"it cannot be reached ({said})")


def _refused(start: str, status: int, said: str, key: Key | None) -> PermissionDeniedError:
    if key is None:
        return PermissionDeniedError(f"{start}: access is refused ({status}){said}.")
    return PermissionDeniedError(
        f"{start}: it refuses the key ({status}){said}; put a valid one into {key.variable}, or into the Secret or "
        f"file that {key.variable}_FILE names. Your plan may also lack this part: then leave it out of the sources."
    )


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
