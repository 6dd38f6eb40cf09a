"""A web service on loopback: each source's tests give it the paths that the real one has, with invented data.

It counts what it was asked, checks keys and rates as the real ones do, and has their faults at hand: refusals, quotas
(429 with or without Retry-After), bodies that are cut, empty, HTML, of another type.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request as it came over the wire."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    target: str
    """As the request line had it: a whole address where the server is asked as a proxy."""

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Said:
    """One answer. `cut`: bytes after which the connection breaks; `header` replaces and adds."""

    body: object = b""
    status: int = 200
    kind: str = "application/json"
    header: dict[str, str] = field(default_factory=dict)
    cut: int | None = None

    @property
    def data(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


PAGE = Said("<!DOCTYPE html><html><body>Service notice</body></html>", kind="text/html")


@dataclass
class Vendor:
    """`routes`: path -> what it answers. `faults` are said first, one for each request, whatever is asked."""

    routes: dict[str, Callable[[Asked], Said] | Said] = field(default_factory=dict)
    faults: list[Said] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    unknown: Said = field(default_factory=lambda: Said({"detail": "Not found."}, 404))
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, asked: Asked) -> Said:
        self.asked.append(asked)
        if self.faults:
            return self.faults.pop(0)
        route = self.routes.get(asked.path, self.unknown)
        return route(asked) if callable(route) else route


class HandClock:
    """Time that moves only when somebody sleeps."""

    def __init__(self, now: datetime = datetime(2026, 11, 20, 22, 0, tzinfo=UTC)) -> None:
        self._now, self._seconds = now, 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self._seconds

    def now(self) -> datetime:
        return self._now + timedelta(seconds=self._seconds)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._seconds += seconds


@contextmanager
def serve(vendor: Vendor) -> Iterator[Vendor]:
    """Run `vendor` on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            split = urlsplit(self.path)
            length = int(self.headers.get("content-length", 0))
            asked = Asked(
                self.command,
                split.path,
                dict(parse_qsl(split.query, keep_blank_values=True)),
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(length),
                self.path,
            )
            said = vendor.answer(asked)
            self.send_response_only(said.status)
            head = {
                "Content-Type": said.kind,
                "Content-Length": str(len(said.data)),
                "Connection": "close",
            }
            head |= said.header
            for name, value in head.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said.data[: said.cut])

        do_POST = do_GET  # noqa: N815 (the server's name for it)

        def log_message(self, *_: object) -> None:
            """Tests read what matters from `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    vendor.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
