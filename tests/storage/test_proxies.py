"""Answers of proxies and portals in an S3 endpoint's place: 77 or 78, never "damaged bytes"."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fingpt.errors import PermissionDeniedError, SetupError, TransientError
from fingpt.storage import open_store, s3_retry
from fingpt.storage.proxies import from_answer, from_tunnel, masked

PAGE = b"<!DOCTYPE html><html><head><title>Access denied</title></head><body>No.</body></html>"
BROKEN = (
    b"<html><head><meta charset=utf-8><title>Sign in</title><body>Please<br>sign in &copy; 2031"
)
HTML, XML = "text/html; charset=windows-1252", "application/xml"

USES = {
    "create": lambda store, folder: store.create("a", b"x"),
    "read": lambda store, folder: store.read("a"),
    "exists": lambda store, folder: store.exists("a"),
    "keys": lambda store, folder: list(store.keys()),
    "download": lambda store, folder: store.download("a", folder / "a", "0" * 64),
}


@contextmanager
def web_server(status: int, kind: str, body: bytes) -> Iterator[str]:
    """Something that answers every request alike, CONNECT included."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Location", "/login")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_CONNECT = handle_any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def error(code: str, message: str = "") -> bytes:
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


ANSWERS = [
    (401, HTML, PAGE, PermissionDeniedError, "HTML page.*proxy.*HTTPS_PROXY"),
    (403, HTML, PAGE, PermissionDeniedError, "HTML page.*proxy.*HTTPS_PROXY"),
    (407, HTML, PAGE, PermissionDeniedError, "proxy in between asks for a login"),
    (407, XML, b"", PermissionDeniedError, "proxy in between asks for a login"),
    (511, HTML, PAGE, PermissionDeniedError, "HTML page.*proxy"),
    (200, HTML, PAGE, SetupError, "HTML page.*proxy"),
    (200, HTML, BROKEN, SetupError, "HTML page.*proxy"),
    (302, HTML, PAGE, SetupError, "HTML page.*proxy"),
    (403, HTML, BROKEN, PermissionDeniedError, "HTML page.*proxy"),
    (302, XML, b"", SetupError, "AWS_ENDPOINT_URL"),
    (400, HTML, PAGE, SetupError, "HTML page.*proxy"),
    (404, HTML, PAGE, SetupError, "HTML page.*proxy"),
    (401, XML, b"", PermissionDeniedError, "AWS_ACCESS_KEY_ID"),
    (403, XML, error("Unheard"), PermissionDeniedError, "AWS_ACCESS_KEY_ID"),
    (400, XML, error("InvalidToken"), PermissionDeniedError, "AWS_SESSION_TOKEN"),
    (403, XML, error("InvalidTokenId"), PermissionDeniedError, "AWS_SESSION_TOKEN"),
    (
        400,
        XML,
        error("InvalidArgument", "X-Amz-Security-Token"),
        PermissionDeniedError,
        "SESSION_TOKEN",
    ),
]


@pytest.mark.parametrize(("status", "kind", "body", "error", "words"), ANSWERS)
@pytest.mark.parametrize("use", USES)
def test_what_refused_is_named_and_nothing_is_called_damaged(
    aws_settings, tmp_path, use, status, kind, body, error, words
):
    with web_server(status, kind, body) as endpoint:
        aws_settings(endpoint)
        with pytest.raises(error, match=words) as caught:
            USES[use](open_store("s3://bucket/prefix"), tmp_path)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("body", [PAGE, b""])
def test_a_busy_gateway_s_page_is_waited_for(aws_settings, monkeypatch, at_once, body):
    monkeypatch.setattr(s3_retry.StoreRetry, "__init__", _impatient)
    with web_server(503, HTML, body) as endpoint:
        aws_settings(endpoint)
        with pytest.raises(TransientError):
            open_store("s3://bucket").read("a")


def _impatient(self, endpoint: str, seconds: float) -> None:
    self._endpoint, self._seconds, self._answered = endpoint, 0.0, False


@pytest.mark.parametrize(("status", "words"), [(407, "asks for a login"), (403, "proxy forbids")])
def test_a_proxy_that_opens_no_tunnel_is_permission_denied(
    aws_settings, monkeypatch, status, words
):
    aws_settings("https://store.example.com")
    with web_server(status, HTML, PAGE) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.replace("//", "//ann:proxy-secret@"))
        with pytest.raises(PermissionDeniedError, match=words) as caught:
            open_store("s3://bucket").read("a")
    assert "proxy-secret" not in str(caught.value)


def test_a_proxy_that_is_down_is_named_without_its_password(aws_settings, monkeypatch):
    aws_settings("https://store.example.com")
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:proxy-secret@127.0.0.1:1")
    with pytest.raises(TransientError, match=r"proxy cannot be reached.*HTTPS_PROXY") as caught:
        open_store("s3://bucket").read("a")
    assert "proxy-secret" not in str(caught.value)


def test_an_answer_of_the_service_itself_is_no_proxy_s():
    assert from_answer("Cannot", 403, XML, "<Error/>") is None
    assert from_answer("Cannot", 502, HTML) is None
    assert from_tunnel("Cannot", "Connection refused") is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://ann:pw@host/x: no", "at http://***@host/x: no"),
        ("'http://ann:p@w/d@host'", "'http://***@host'"),
        ("at http://host:9000 by a@b", "at http://host:9000 by a@b"),
        ("hub:owner/name@main", "hub:owner/name@main"),
    ],
)
def test_a_password_in_an_address_is_masked(text, shown):
    assert masked(text) == shown
