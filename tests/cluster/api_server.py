"""An API server in this process that says what a test tells it to, and a kubeconfig that leads to it."""

from __future__ import annotations

import json
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NAMESPACE = "forecasts"
JOB = "llama31-0a1b2c3d-train"
SHA = "a" * 64

Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    """A whole answer; a str is sent as it is, anything else as JSON."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return send


def refusal(status: int, message: str, **headers: str) -> Answer:
    """The API server's Status object."""
    return answer({"kind": "Status", "code": status, "message": message}, status, **headers)


def hang_up(_: BaseHTTPRequestHandler) -> None:
    """Close the connection without a word."""


def lines(*each: Any, broken: bool = False) -> Answer:
    """A chunked stream of lines; `broken` cuts the connection instead of ending the stream."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for one in each:
            data = (one if isinstance(one, str) else json.dumps(one)).encode() + b"\n"
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        if not broken:
            handler.wfile.write(b"0\r\n\r\n")

    return send


def listed(*items: dict[str, Any], version: str = "10") -> Answer:
    """A list of objects."""
    return answer({"metadata": {"resourceVersion": version}, "items": list(items)})


def job_json(
    *conditions: str, version: str = "1", uid: str = "u1", sha: str = SHA, **status
) -> dict:
    given = [{"type": each, "status": "True", "reason": "Because"} for each in conditions]
    return {
        "kind": "Job",
        "metadata": {
            "name": JOB,
            "uid": uid,
            "resourceVersion": version,
            "annotations": {"fingpt-jobs/config-sha256": sha},
        },
        "status": {"conditions": given, **status},
    }


@dataclass
class ApiServer:
    """Answers each route (`list jobs`, `watch jobs`, `create jobs`, …) with the next of its answers, the last forever.

    `requests` are the routes that were asked, in order, with their query and body; `headers` what came with each.
    """

    url: str = ""
    script: dict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    headers: list[Message] = field(default_factory=list)

    def say(self, route: str, *answers: Answer) -> None:
        self.script[route] = list(answers)

    def asked(self, route: str) -> int:
        return sum(name == route for name, _, _ in self.requests)

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        names = (
            parts.path.partition(f"/namespaces/{NAMESPACE}/")[2]
            or parts.path.rstrip("/").rpartition("/")[2]
        )
        if parts.path.endswith(f"/namespaces/{NAMESPACE}"):
            names = f"namespaces/{NAMESPACE}"
        resource, _, name = names.partition("/")
        if name.endswith("/log"):
            resource, name = "log", name.removesuffix("/log")
        verb = {"POST": "create", "DELETE": "delete"}.get(
            handler.command, "watch" if "watch" in query else "get" if name else "list"
        )
        route = f"{verb} {resource}"
        self.requests.append((route, query, body))
        self.headers.append(handler.headers)
        queue = self.script[route] or [refusal(404, f"no answer is written for {route}")]
        (queue.pop(0) if len(queue) > 1 else queue[0])(handler)


@contextmanager
def serving() -> Iterator[ApiServer]:
    """An API server that knows its version and nothing else yet."""
    told = ApiServer()
    told.say("list version", answer({"gitVersion": "v1.35.4"}))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            told.handle(self)
            self.close_connection = True

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - the base class's names

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving_tls(folder: Path) -> Iterator[str]:
    """A TLS server whose certificate nobody else has signed; gives its URL."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that does not trust us hangs up in the middle of the handshake."""

    server = Quiet(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_kubeconfig(path: Path, server: str, **changes: Any) -> str:
    """A kubeconfig with one context, `there`; gives its path."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": {"server": server}}],
        "users": [{"name": "user", "user": {"token": "t0ken"}}],
        "contexts": [
            {
                "name": "there",
                "context": {"cluster": "cluster", "user": "user", "namespace": NAMESPACE},
            }
        ],
        "current-context": "there",
        **changes,
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)
