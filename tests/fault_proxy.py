"""An HTTP proxy in front of a real S3 server that fails as a test asks: drops, resets, truncates, delays, refuses.

A plan sees every exchange and returns None, so that it passes, or one of the faults below. Signatures stay valid:
requests go on as they came, the Host header included.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

BUSY = b"<Error><Code>SlowDown</Code><Message>said the proxy</Message></Error>"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Answer(NamedTuple):
    """What the server behind has said."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Exchange(NamedTuple):
    """A request on its way; `number` counts from 1 among those of its method."""

    method: str
    path: str
    number: int
    handler: _Handler

    def read(self, size: int) -> bytes:
        """`size` bytes of the request's body."""
        return self.handler.rfile.read(size)

    @property
    def size(self) -> int:
        """Length of the request's body."""
        return int(self.handler.headers.get("Content-Length") or 0)

    def forward(self) -> Answer:
        """Let the server behind do what it is asked."""
        server = self.handler.server
        with closing(HTTPConnection(*server.behind, timeout=60)) as connection:
            connection.putrequest(self.method, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.handler.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(self.read(self.size))
            with connection.getresponse() as response:
                return Answer(response.status, response.getheaders(), response.read())

    def write(self, data: bytes) -> None:
        """Send more of an answer's body."""
        self.handler.wfile.write(data)

    def reply(self, answer: Answer, body: bytes | None = None, *, more: bool = False) -> None:
        """Pass the answer on; `body`: only so much of it, then the end of the connection unless `more` follows."""
        handler = self.handler
        handler.send_response_only(answer.status)
        length = str(len(answer.body))
        for name, value in answer.headers:
            if name.lower() == "content-length":
                length = value
            elif name.lower() not in _HOP_BY_HOP:
                handler.send_header(name, value)
        handler.send_header("Content-Length", length)
        handler.end_headers()
        handler.wfile.write(answer.body if body is None else body)
        if body is not None and not more:
            self.hang_up()

    def hang_up(self, *, reset: bool = False) -> None:
        """End the connection, in order or with a reset."""
        self.handler.close_connection = True
        if reset:
            linger = struct.pack("ii", 1, 0)
            self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.handler.rfile.close()
            self.handler.connection.close()


Fault = Callable[[Exchange], None]
Plan = Callable[[Exchange], Fault | None]


def drop_request(exchange: Exchange) -> None:
    """The server never hears of it."""
    exchange.read(exchange.size)
    exchange.hang_up()


def drop_answer(exchange: Exchange) -> None:
    """The server does it; nobody hears of that."""
    exchange.forward()
    exchange.hang_up()


def reset_midway(exchange: Exchange) -> None:
    """A reset when half of the request's body has arrived."""
    exchange.read(exchange.size // 2)
    exchange.hang_up(reset=True)


def truncate(exchange: Exchange) -> None:
    """The answer ends in the middle of its body."""
    answer = exchange.forward()
    exchange.reply(answer, answer.body[: len(answer.body) // 2])


def flip_a_bit(exchange: Exchange) -> None:
    """The answer's body has one bit that the server's had not."""
    answer = exchange.forward()
    middle = len(answer.body) // 2
    flipped = bytes([answer.body[middle] ^ 1])
    body = answer.body[:middle] + flipped + answer.body[middle + 1 :]
    exchange.reply(answer._replace(body=body))


def busy(exchange: Exchange) -> None:
    """503 SlowDown."""
    exchange.read(exchange.size)
    exchange.reply(Answer(503, [("Content-Type", "application/xml")], BUSY))


def delay(seconds: float) -> Fault:
    """The server does it and answers late."""

    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        time.sleep(seconds)
        exchange.reply(answer)

    return act


def trickle(exchange: Exchange) -> None:
    """The answer's body comes at 256 KiB a second: five MiB outlast whatever a busy machine takes to stop."""
    answer = exchange.forward()
    exchange.reply(answer, b"", more=True)
    for start in range(0, len(answer.body), 1 << 17):
        exchange.write(answer.body[start : start + (1 << 17)])
        time.sleep(0.5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    behind: tuple[str, int]
    proxy: FaultProxy

    def handle_error(self, request, client_address) -> None:
        """A client that has gone is what a fault test is about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        proxy = self.server.proxy
        exchange = Exchange(self.command, self.path, proxy.count(self.command), self)
        fault = proxy.plan(exchange)
        with suppress(ConnectionError):
            if fault is None:
                exchange.reply(exchange.forward())
            else:
                proxy.injected.append((self.command, urlsplit(self.path).path))
                fault(exchange)

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class FaultProxy:
    """Listens at `endpoint`; `plan` may be replaced at any time; `injected`: method and path of what went wrong."""

    endpoint: str
    plan: Plan = lambda _: None
    injected: list[tuple[str, str]] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, method: str) -> int:
        """Count one more request of a method."""
        with self._lock:
            self.seen[method] = self.seen.get(method, 0) + 1
            return self.seen[method]


@contextmanager
def fault_proxy(endpoint: str, tls: ssl.SSLContext | None = None) -> Iterator[FaultProxy]:
    """A proxy in front of the server at `endpoint`, which speaks TLS when it is given how."""
    behind = urlsplit(endpoint)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.behind = (behind.hostname, behind.port)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    server.proxy = FaultProxy(f"{scheme}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
