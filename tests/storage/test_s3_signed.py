"""obstore connects as boto3's client does: proxies, certificates, credentials; or it is left alone."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from boto3.session import Session
from botocore.config import Config

from fingpt.storage import s3, s3_ranges, s3_signed
from fingpt.storage.s3 import S3Store
from fingpt.storage.s3_client import make_client
from fingpt.storage.s3_signed import SignedObject, options_like
from tests.fault_proxy import fault_proxy

DATA = hashlib.shake_256(b"seed").digest((6 << 20) + 7)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def small_parts(monkeypatch) -> None:
    monkeypatch.setattr(s3, "_MULTIPART_BYTES", 5 << 20)
    monkeypatch.setattr(s3_ranges, "_PART_BYTES", 1 << 20)


def options(**more):
    """Options for a client of the settings as they are, with `more` arguments."""
    with closing(Session().client("s3", region_name="us-east-1", **more)) as client:
        return options_like(client)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Files of a certificate for 127.0.0.1 that is its own authority, and of its key."""
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "ca.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=lab", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-addext", "basicConstraints=critical,CA:TRUE"]
    command += ["-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(command, check=True, capture_output=True)
    return paths


@contextmanager
def tls_in_front_of(endpoint: str, certificate) -> Iterator[str]:
    """A TLS server that passes bytes to and from `endpoint`; its URL."""
    behind = urlsplit(endpoint)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    listening = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        with source, target:
            try:
                while data := source.recv(1 << 16):
                    target.sendall(data)
                target.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                plain, _ = listening.accept()
                outside = context.wrap_socket(plain, server_side=True)
            except ssl.SSLError:
                continue  # who does not trust us
            except OSError:
                return
            inside = socket.create_connection((behind.hostname, behind.port))
            for pair in ((outside, inside), (inside, outside)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()
