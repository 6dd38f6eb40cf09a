"""The one HTTP client of all live sources: paces, retries what passes by itself, and calls every other failure by name.

It returns an answer's bytes only when they are whole, within bounds, and of the kind that was asked for. A 200 with an
empty body or an HTML page is a failure. A key goes to the source's own host alone and is in no message, log or record.
"""

from __future__ import annotations

import random
import ssl
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from urllib.parse import urlencode
from urllib.request import getproxies, proxy_bypass

import httpx2

from fingpt import log
from fingpt.errors import ConfigError, DataError, FingptError, SetupError
from fingpt.sources.live.failures import Kinds, Passing, check_body, from_status, from_transport
from fingpt.sources.live.keys import Key
from fingpt.sources.live.rate_limit import Clock, Limit, RateLimiter, SystemClock
from fingpt.storage.certificates import require_certificates

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ATTEMPTS = 5
_REDIRECTS = 5
_LONGEST_PAUSE_SECONDS = 120.0
_WHOLE_ANSWER_SECONDS = 300.0
_ANSWER_BYTES = 32 << 20
_TIMEOUT = httpx2.Timeout(30.0, connect=10.0)


@dataclass(frozen=True, slots=True)
class Service:
    """A source as the client sees it.

    `name`: for people. `base`: its address; paths are appended. `limits`: what it allows. `key`: None where it wants
    none. `headers`: sent with each request. `explain`: reads (status, body) the way this source writes its refusals,
    and returns the error that ends the request, or None for what the client itself makes of it.
    """

    name: str
    base: str
    limits: tuple[Limit, ...]
    key: Key | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    explain: Callable[[int, str], FingptError | None] = lambda *_: None


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. `request` is the address with its parameters, without any key."""

    request: str
    body: bytes
    retrieved_at: datetime


class Client:
    """Asks one service; safe for one thread. It connects to nothing before the first request."""

    def __init__(self, service: Service, clock: Clock | None = None) -> None:
        _check_base(service)
        self._service = service
        self._clock = clock or SystemClock()
        self._limiter = RateLimiter(service.name, service.limits, self._clock)
        self._http: httpx2.Client | None = None

    @property
    def now(self) -> datetime:
        """The time of day, UTC, by the client's clock."""
        return self._clock.now()

    def get(self, path: str, parameters: Mapping[str, str], kinds: Kinds) -> Reply:
        """The answer to GET `path` with query `parameters`, of one of the content types `kinds`.

        Raises TransientError (75) for what may pass, PermissionDeniedError (77) for a refused key, MissingInputError
        (66) for a 404, DataError (65) for an answer that is none, SetupError (78) for an address that cannot be asked.
        """
        query = f"?{urlencode(parameters)}" if parameters else ""
        return self._ask("GET", path + query, b"", kinds)

    def post(self, path: str, body: bytes, kinds: Kinds) -> Reply:
        """The answer to POST of a JSON `body`; as `get` otherwise. `request` names the body, too."""
        return self._ask("POST", path, body, kinds)

    def _ask(self, method: str, target: str, body: bytes, kinds: Kinds) -> Reply:
        url = self._service.base.rstrip("/") + target
        said = f"{url} {body.decode()}".rstrip()
        start = f"{self._service.name} cannot be read at {url[:200]}"
        for attempt in range(1, _ATTEMPTS + 1):
            self._limiter.take()
            try:
                data = self._once(method, url, body, kinds)
            except Passing as passing:
                pause = passing.pause_seconds
                if pause is None:
                    pause = random.uniform(0.5, 1.0) * 2.0**attempt
                if attempt == _ATTEMPTS or pause > _LONGEST_PAUSE_SECONDS:
                    raise passing.final(start, attempt, pause) from None
                log.warning(
                    "source.retry",
                    source=self._service.name,
                    reason=passing.reason,
                    attempt=attempt,
                    pause_seconds=round(pause, 1),
                )
                self._clock.sleep(pause)
            else:
                return Reply(request=said, body=data, retrieved_at=self._clock.now())
        raise AssertionError("the last attempt returns or raises")

    def _once(self, method: str, url: str, body: bytes, kinds: Kinds) -> bytes:
        """One request and its redirects; the body, or Passing, or the error that ends it."""
        for _ in range(_REDIRECTS + 1):
            content = {"content": body, "headers": {"Content-Type": "application/json"}}
            try:
                with self._client().stream(method, url, **(content if body else {})) as answer:  # type: ignore[arg-type]
                    if answer.is_redirect:
                        url = self._redirected(url, answer)
                        continue
                    data = self._whole(answer)
                    self._check(answer, url, data, kinds)
                    return data
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                raise from_transport(f"{self._service.name} at {url[:200]}", error) from None
        raise DataError(
            f"{self._service.name} answers {url[:200]} with more than {_REDIRECTS} redirects; check its address."
        )

    def _whole(self, answer: httpx2.Response) -> bytes:
        end = self._clock.monotonic() + _WHOLE_ANSWER_SECONDS
        data = bytearray()
        for chunk in answer.iter_bytes():
            data += chunk
            if len(data) > _ANSWER_BYTES:
                raise DataError(
                    f"{self._service.name} sends more than {_ANSWER_BYTES >> 20} MiB in one answer; nothing of it was "
                    "kept. Ask for less, or check its address."
                )
            if self._clock.monotonic() > end:
                raise Passing(f"an answer took longer than {_WHOLE_ANSWER_SECONDS:.0f} s")
        return bytes(data)

    def _check(self, answer: httpx2.Response, url: str, data: bytes, kinds: Kinds) -> None:
        """Nothing for a usable answer; the error otherwise."""
        key = self._service.key
        text = data[:4096].decode("utf-8", "replace")
        text = key.clean(text) if key else text
        start = f"{self._service.name} cannot be read at {url[:200]}"
        explained = self._service.explain(answer.status_code, text)
        if explained is not None:
            raise explained
        if answer.status_code != 200:
            raise from_status(start, answer, text, key, self._clock.now())
        check_body(start, answer.headers.get("content-type", ""), data, kinds)
        if key and key.is_in(data):
            raise DataError(
                f"{start}: the answer repeats the key, so it is not kept; tell whoever runs the service."
            )

    def _redirected(self, url: str, answer: httpx2.Response) -> str:
        """Where a redirect leads; SetupError for one that would carry a key, or plain text, to another host."""
        there, here = httpx2.URL(url).join(answer.headers["location"]), httpx2.URL(url)
        own = (there.scheme, there.host, there.port) == (here.scheme, here.host, here.port)
        if own or (self._service.key is None and there.scheme == "https"):
            return str(there)
        raise SetupError(
            f"{self._service.name} sends the request for {url[:200]} on to {there.scheme}://{there.host}; a request "
            "goes to another host only without a key and by https. Check the source's address, and the proxy."
        )

    def _client(self) -> httpx2.Client:
        if self._http is None:
            proxy = _proxy(httpx2.URL(self._service.base))
            wire = httpx2.HTTPTransport(verify=_trust(), proxy=proxy)
            self._http = httpx2.Client(
                transport=_Signing(wire, self._service.key),
                headers={"User-Agent": "fingpt-jobs", **self._service.headers},
                timeout=_TIMEOUT,
                follow_redirects=False,
            )
            weakref.finalize(self, self._http.close)
        return self._http


class _Signing(httpx2.BaseTransport):
    """The last step before the wire: adds the key."""

    def __init__(self, wire: httpx2.BaseTransport, key: Key | None) -> None:
        self._wire, self._key = wire, key

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._wire.handle_request(self._key.sign(request) if self._key else request)

    def close(self) -> None:
        self._wire.close()


def _check_base(service: Service) -> None:
    try:
        url = httpx2.URL(service.base)
    except httpx2.InvalidURL:
        raise ConfigError(f"The address of {service.name} is no URL; write https://host.") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query:
        raise ConfigError(
            f"The address of {service.name} is not usable; write https://host or https://host/path, without a name, "
            "password or query in it."
        )
    if url.scheme == "http" and service.key and url.host not in _LOOPBACK:
        raise ConfigError(
            f"The address of {service.name} is http://{url.host}, which would carry its key in plain text; use https."
        )


@cache
def _trust() -> ssl.SSLContext:
    """The certificate authorities of this machine, or of SSL_CERT_FILE; loading them takes a while."""
    require_certificates()
    return httpx2.create_ssl_context()


def _proxy(base: httpx2.URL) -> str | None:
    """The proxy that this machine's settings name for `base` (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY)."""
    known = getproxies()
    if proxy_bypass(f"{base.host}:{base.port or ''}".rstrip(":")):
        return None
    proxy = known.get(base.scheme) or known.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"
