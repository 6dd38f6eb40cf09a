"""Each thing that can be wrong with an S3 address, key, clock or endpoint is one sentence with its own exit code."""

from __future__ import annotations

import socket
import time
from datetime import timedelta

import botocore.auth
import pytest

from fingpt.errors import (
    ConfigError,
    MissingInputError,
    NoSpaceError,
    PermissionDeniedError,
    SetupError,
    TransientError,
)
from fingpt.storage import open_store, s3, s3_retry
from fingpt.storage.s3_client import is_amazon, make_client


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


USES = {
    "create": lambda store, folder: store.create("a", b"x"),
    "read": lambda store, folder: store.read("a"),
    "exists": lambda store, folder: store.exists("a"),
    "keys": lambda store, folder: list(store.keys()),
    "download": lambda store, folder: store.download("a", folder / "a", "0" * 64),
}


def assert_every_use_raises(store, folder, kind, words) -> None:
    for name, use in USES.items():
        with pytest.raises(kind, match=words) as caught:
            use(store, folder)
        assert type(caught.value) is kind, name
        assert store.uri in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not list(folder.iterdir())


def test_an_endpoint_where_nothing_listens_is_named_at_once(aws_settings, tmp_path):
    endpoint = f"http://127.0.0.1:{free_port()}"
    aws_settings(endpoint)
    store = open_store("s3://bucket/prefix")
    start = time.monotonic()
    words = f"endpoint {endpoint} cannot be reached"
    assert_every_use_raises(store, tmp_path, TransientError, words)
    assert time.monotonic() - start < 15


@pytest.mark.parametrize(
    ("endpoint", "proxy"),
    [
        ("ftp://s3.example.test", ""),
        ("http://127.0.0.1:99999", ""),
        ("http://s3.example.test", "ann:PLANTED@127.0.0.1:x"),
    ],
)
def test_an_address_that_is_none_is_said_at_once_and_not_shown(
    aws_settings, monkeypatch, tmp_path, endpoint, proxy
):
    monkeypatch.setattr(s3_retry, "_LONGEST_PAUSE_SECONDS", 0.01)
    aws_settings(endpoint)
    monkeypatch.setenv("HTTP_PROXY", proxy)
    store = open_store("s3://bucket/prefix")
    store._retry._seconds = 1.0  # type: ignore[attr-defined]
    with pytest.raises(SetupError, match=r"check AWS_ENDPOINT_URL.*HTTP_PROXY") as caught:
        store.read("a")
    assert "PLANTED" not in str(caught.value)


@pytest.mark.slow  # three attempts to connect of four seconds each
def test_an_endpoint_that_swallows_packets_is_given_up_within_fifteen_seconds(aws_settings):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(address)  # fills the queue, so that the next is never answered
        aws_settings(f"http://127.0.0.1:{address[1]}")
        start = time.monotonic()
        with pytest.raises(TransientError, match="cannot be reached"):
            open_store("s3://bucket").exists("a")
        assert 3 < time.monotonic() - start < 15
        for caller in callers:
            caller.close()


def test_a_bucket_that_does_not_exist_is_missing_input(s3_lab, tmp_path):
    store = s3.S3Store(s3_lab.client, "no-such-bucket", "prefix")
    assert_every_use_raises(store, tmp_path, MissingInputError, "bucket does not exist")


WRONG = [
    ("gateway_lab", "powerless-key", "lab-secret-key", "lack the permission"),
    *(
        (lab, *key)
        for lab in ("gateway_lab", "minio_lab")
        for key in (
            ("stranger", "lab-secret-key", "does not know the access key.*AWS_PROFILE"),
            ("lab-access-key", "wrong", "secret key is not the one"),
        )
    ),
]


@pytest.mark.parametrize(("server", "access", "secret", "words"), WRONG)
def test_a_wrong_key_or_one_without_rights_is_permission_denied(
    request, aws_settings, tmp_path, server, access, secret, words
):
    lab = request.getfixturevalue(server)
    lab.store.create("a", b"x")
    aws_settings(lab.client.meta.endpoint_url, access, secret)
    store = open_store(lab.store.uri)
    assert_every_use_raises(store, tmp_path, PermissionDeniedError, words)
    assert lab.store.read("a") == b"x"


def test_missing_credentials_are_permission_denied(aws_settings, tmp_path):
    aws_settings(f"http://127.0.0.1:{free_port()}", access=None)
    store = open_store("s3://bucket")
    assert_every_use_raises(store, tmp_path, PermissionDeniedError, "no usable credentials")


ANSWERS = [
    (403, "RequestTimeTooSkewed", SetupError, "clock"),
    (403, "InvalidAccessKeyId", PermissionDeniedError, "access key"),
    (404, "XAdminUserNotFound", PermissionDeniedError, "access key"),
    (403, "SignatureDoesNotMatch", PermissionDeniedError, "secret key"),
    (400, "ExpiredToken", PermissionDeniedError, "expired"),
    (403, "AccessDenied", PermissionDeniedError, "lack the permission"),
    (404, "NoSuchBucket", MissingInputError, "bucket does not exist"),
    (400, "AuthorizationHeaderMalformed", SetupError, "region"),
    (501, "NotImplemented", SetupError, "does not implement"),
    (507, "XMinioStorageFull", NoSpaceError, "no space left"),
    (418, "Teapot", SetupError, "refused .Teapot 418: said the lab"),
]


@pytest.mark.parametrize(("status", "code", "kind", "words"), ANSWERS, ids=[a[1] for a in ANSWERS])
def test_each_refusal_is_one_sentence_of_its_own_kind(
    moto_lab, before_sending, tmp_path, status, code, kind, words, answer
):
    before_sending(moto_lab, "*", answer(status, code))
    assert_every_use_raises(moto_lab.store, tmp_path, kind, words)


@pytest.mark.parametrize("server", ["gateway_lab", "minio_lab"])
def test_a_clock_that_is_an_hour_off_is_a_setup_error(request, server, monkeypatch):
    store = request.getfixturevalue(server).store
    real = botocore.auth.get_current_datetime
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *a, **k: real(*a, **k) - timedelta(hours=1)
    )
    for use in (lambda: store.create("a", b"x"), lambda: store.exists("a")):
        with pytest.raises(SetupError, match="clock"):
            use()


def test_an_unknown_profile_is_a_setup_error(aws_settings, monkeypatch):
    aws_settings("http://127.0.0.1:1")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(SetupError, match=r"nobody.*AWS_PROFILE"):
        open_store("s3://bucket")


def test_a_malformed_endpoint_is_a_setup_error(aws_settings):
    aws_settings("not a url")
    with pytest.raises(SetupError, match="AWS_ENDPOINT_URL"):
        open_store("s3://bucket")


def test_an_impossible_bucket_name_is_a_config_error(aws_settings):
    aws_settings(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ConfigError, match="bucket"):
        open_store("s3://no spaces please").read("a")


def test_checksum_trailers_and_bucket_names_in_hosts_are_for_amazon_alone(
    aws_settings, monkeypatch
):
    aws_settings("http://127.0.0.1:9")
    other = make_client().meta.config
    assert other.request_checksum_calculation == "when_required"
    assert other.response_checksum_validation == "when_required"
    assert other.s3 == {"addressing_style": "path"}
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    amazon = make_client().meta
    assert is_amazon(amazon.endpoint_url)
    assert amazon.config.request_checksum_calculation == "when_supported"
    assert not (amazon.config.s3 or {}).get("addressing_style")
    assert not is_amazon("https://amazonaws.com.evil.example")
