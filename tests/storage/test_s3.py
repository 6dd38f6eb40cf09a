"""What only S3 can do wrong: answers that get lost, servers that are busy, away, or not what they say they are."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import botocore.auth
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session

from fingpt.errors import (
    ConfigError,
    MissingInputError,
    PermissionDeniedError,
    SetupError,
    StorageError,
    TransientError,
)
from fingpt.manifest import sha256_bytes
from fingpt.storage import open_store, probe, s3, s3_retry
from fingpt.storage.s3_client import is_amazon, make_client


class Body:
    """The raw body of an answer that no server sent."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self):
        yield self._data


def answer(status: int, code: str) -> Callable[..., AWSResponse]:
    body = f"<Error><Code>{code}</Code><Message>said the lab</Message></Error>".encode()

    def respond(request, **_):
        return AWSResponse(request.url, status, {}, Body(b"" if request.method == "HEAD" else body))

    return respond


def times(number: int, act: Callable) -> Callable:
    """`act` for the first `number` requests, the server itself afterwards."""
    left = [number]
    lock = threading.Lock()

    def sometimes(request, **_):
        with lock:
            left[0] -= 1
            if left[0] < 0:
                return None
        return act(request)

    return sometimes


@pytest.fixture
def hook():
    """Hooks into the shared clients' events, taken out again at the end of the test."""
    made = []

    def register(client, event: str, act: Callable) -> None:
        client.meta.events.register(event, act)
        made.append((client, event, act))

    yield register
    for client, event, act in made:
        client.meta.events.unregister(event, act)


@pytest.fixture
def before_sending(hook):
    """`act` gets each request of an operation, and answers in the server's place unless it returns None."""
    return lambda lab, operation, act: hook(lab.client, f"before-send.s3.{operation}", act)


def drop_the_answer(request):
    """The server does what it is asked; we never hear of it."""
    session = URLLib3Session()
    session.send(request)
    session.close()
    raise ConnectionClosedError(endpoint_url=request.url)


@pytest.fixture
def at_once(monkeypatch) -> None:
    """No waiting between repeated calls."""
    monkeypatch.setattr(s3_retry, "_LONGEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(s3_retry.random, "uniform", lambda low, high: 0.0)


@pytest.mark.parametrize("lost", [1, 2, 4])
def test_a_commit_whose_answer_was_lost_counts_as_ours(s3_lab, at_once, lost, before_sending):
    before_sending(s3_lab, "PutObject", times(lost, drop_the_answer))
    assert s3_lab.store.create("runs/a/commits/1.json", b"ours") is True
    assert s3_lab.store.read("runs/a/commits/1.json") == b"ours"


def test_a_lost_answer_does_not_make_another_writers_equal_bytes_ours(
    s3_lab, at_once, before_sending
):
    assert s3_lab.store.create("runs/a/commits/1.json", b"equal")
    before_sending(s3_lab, "PutObject", times(1, drop_the_answer))
    assert s3_lab.store.create("runs/a/commits/1.json", b"equal") is False


def test_a_conflict_of_two_requests_is_repeated_not_taken_for_a_loss(
    s3_lab, at_once, before_sending
):
    before_sending(s3_lab, "PutObject", times(3, answer(409, "ConditionalRequestConflict")))
    assert s3_lab.store.create("a", b"ours") is True


def test_an_endless_conflict_is_transient(moto_lab, at_once, before_sending):
    before_sending(moto_lab, "PutObject", answer(409, "ConditionalRequestConflict"))
    with pytest.raises(TransientError, match="holds the key"):
        moto_lab.store.create("a", b"ours")


def test_a_store_that_drops_metadata_is_asked_for_the_bytes(moto_lab):
    moto_lab.client.put_object(Bucket=moto_lab.bucket, Key="some/prefix/a", Body=b"ours")
    assert moto_lab.store.create("a", b"ours") is True
    assert moto_lab.store.create("a", b"not ours") is False


def test_a_busy_endpoint_is_waited_for(moto_lab, at_once, before_sending):
    before_sending(moto_lab, "*", times(8, answer(503, "ServiceUnavailable")))
    assert moto_lab.store.create("a", b"x") is True
    assert moto_lab.store.read("a") == b"x"


def test_patience_ends(moto_lab, at_once, before_sending):
    impatient = s3.S3Store(moto_lab.client, moto_lab.bucket, patience_seconds=0.05)
    before_sending(moto_lab, "*", answer(500, "InternalError"))
    with pytest.raises(TransientError, match=r"busy or broken .*run the same command again"):
        impatient.read("a")


def test_an_outage_in_the_middle_of_a_run_is_survived(moto_lab, at_once, before_sending):
    moto_lab.store.create("a", b"x")

    def refuse(request, **_):
        raise ConnectionClosedError(endpoint_url=request.url)

    before_sending(moto_lab, "*", times(10, refuse))
    assert moto_lab.store.read("a") == b"x"


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


@pytest.mark.parametrize(
    ("access", "secret", "words"),
    [
        ("stranger", "lab-secret-key", "does not know the access key.*AWS_PROFILE"),
        ("lab-access-key", "wrong", "secret key is not the one"),
        ("powerless-key", "lab-secret-key", "lack the permission"),
    ],
)
def test_a_wrong_key_or_one_without_rights_is_permission_denied(
    gateway_lab, gateway, aws_settings, tmp_path, access, secret, words
):
    gateway_lab.store.create("a", b"x")
    aws_settings(gateway.endpoint, access, secret)
    store = open_store(gateway_lab.store.uri)
    assert_every_use_raises(store, tmp_path, PermissionDeniedError, words)
    assert gateway_lab.store.read("a") == b"x"


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
    (507, "XMinioStorageFull", StorageError, "no space left"),
    (418, "Teapot", StorageError, "refused .Teapot 418: said the lab"),
]


@pytest.mark.parametrize(("status", "code", "kind", "words"), ANSWERS, ids=[a[1] for a in ANSWERS])
def test_each_refusal_is_one_sentence_of_its_own_kind(
    moto_lab, before_sending, tmp_path, status, code, kind, words
):
    before_sending(moto_lab, "*", answer(status, code))
    assert_every_use_raises(moto_lab.store, tmp_path, kind, words)


def test_a_clock_that_is_an_hour_off_is_a_setup_error(gateway_lab, monkeypatch):
    real = botocore.auth.get_current_datetime
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *a, **k: real(*a, **k) - timedelta(hours=1)
    )
    for use in (lambda: gateway_lab.store.create("a", b"x"), lambda: gateway_lab.store.exists("a")):
        with pytest.raises(SetupError, match="clock"):
            use()


def test_a_store_that_ignores_conditions_is_refused_by_the_probe(moto_lab, hook):
    def forget(params, **_):
        params["headers"].pop("If-None-Match", None)

    hook(moto_lab.client, "before-call.s3.PutObject", forget)
    with pytest.raises(SetupError, match="ignores If-None-Match"):
        probe(moto_lab.store)


def test_a_store_that_lets_two_racers_win_is_refused_by_the_probe(moto_lab, hook):
    def forget_in_races(params, **_):
        if "race" in params["url_path"]:
            params["headers"].pop("If-None-Match", None)

    hook(moto_lab.client, "before-call.s3.PutObject", forget_in_races)
    with pytest.raises(SetupError, match="8 of 8 racing writers"):
        probe(moto_lab.store)


@pytest.fixture
def small_parts(monkeypatch) -> int:
    """Files above 6 MiB go in parts, and an upload is read again up to 7 MiB."""
    size = 5 << 20
    monkeypatch.setattr(s3, "_MULTIPART_BYTES", size)
    monkeypatch.setattr(s3, "_MULTIPART", TransferConfig(size, 4, size))
    return size


@pytest.fixture
def large_file(tmp_path, small_parts):
    path = tmp_path / "large.bin"
    path.write_bytes(hashlib.shake_256(b"seed").digest(small_parts + 123_456))
    return path


def test_a_large_file_goes_in_parts_and_comes_back(s3_lab, large_file, tmp_path, before_sending):
    requests = []
    before_sending(s3_lab, "UploadPart", lambda request, **_: requests.append(request.url))
    ref = s3_lab.store.upload(large_file, "models/x/large.bin")
    assert len(requests) == 2
    assert ref == s3_lab.store.upload(large_file, "models/x/large.bin")
    assert len(requests) == 2
    s3_lab.store.download("models/x/large.bin", tmp_path / "back", ref.sha256)
    assert (tmp_path / "back").read_bytes() == large_file.read_bytes()


def test_a_large_file_never_replaces_other_bytes(s3_lab, large_file):
    s3_lab.store.create("models/x/large.bin", b"small")
    with pytest.raises(StorageError, match="other bytes"):
        s3_lab.store.upload(large_file, "models/x/large.bin")
    assert s3_lab.store.read("models/x/large.bin") == b"small"


def test_an_upload_too_large_to_read_again_is_judged_by_its_metadata(
    moto_lab, large_file, monkeypatch
):
    monkeypatch.setattr(s3, "_REREAD_BYTES", 1000)
    ref = moto_lab.store.upload(large_file, "models/x/large.bin")
    assert ref == moto_lab.store.upload(large_file, "models/x/large.bin")
    large_file.write_bytes(large_file.read_bytes()[::-1])
    with pytest.raises(StorageError, match=f"sha256 {ref.sha256}"):
        moto_lab.store.upload(large_file, "models/x/large.bin")


def test_a_large_upload_that_fails_leaves_no_object(moto_lab, large_file, at_once, before_sending):
    before_sending(moto_lab, "UploadPart", answer(403, "AccessDenied"))
    with pytest.raises(PermissionDeniedError, match="lack the permission"):
        moto_lab.store.upload(large_file, "models/x/large.bin")
    assert not moto_lab.store.exists("models/x/large.bin")
    assert "Uploads" not in moto_lab.client.list_multipart_uploads(Bucket=moto_lab.bucket)


def test_a_body_that_breaks_off_is_fetched_again(moto_lab, at_once, tmp_path, before_sending):
    data = b"0123456789" * 1000
    moto_lab.store.create("a", data)

    def cut(request):
        session = URLLib3Session()
        whole = session.send(request)
        session.close()
        return AWSResponse(request.url, 200, whole.headers, Cut(data[:77]))

    before_sending(moto_lab, "GetObject", times(2, cut))
    assert moto_lab.store.read("a") == data
    before_sending(moto_lab, "GetObject", times(2, cut))
    moto_lab.store.download("a", tmp_path / "a", sha256_bytes(data))
    assert (tmp_path / "a").read_bytes() == data


class Cut:
    """A raw body that ends too early, as a broken connection's does."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, amount: int | None = None) -> bytes:
        data, self._data = self._data, b""
        return data

    def close(self) -> None:
        pass


def test_a_bit_flipped_on_the_way_is_fetched_again(moto_lab, tmp_path, before_sending):
    data = b"0123456789" * 1000
    moto_lab.store.create("a", data)

    def flip(request):
        session = URLLib3Session()
        whole = session.send(request)
        session.close()
        return AWSResponse(request.url, 200, whole.headers, Cut(b"1" + data[1:]))

    before_sending(moto_lab, "GetObject", times(2, flip))
    moto_lab.store.download("a", tmp_path / "a", sha256_bytes(data))
    assert (tmp_path / "a").read_bytes() == data


def test_listings_longer_than_a_page_are_whole(moto_lab, hook):
    expected = [f"many/{number:03d}" for number in range(7)]
    for key in expected:
        moto_lab.store.create(key, b"")

    def three_a_page(params, **_):
        params["MaxKeys"] = 3

    hook(moto_lab.client, "provide-client-params.s3.ListObjectsV2", three_a_page)
    assert list(moto_lab.store.keys("many/")) == expected


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
