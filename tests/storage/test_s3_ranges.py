"""Large objects come in parts by obstore, and by boto3 where that fails: same bytes, same errors, bounded memory."""

from __future__ import annotations

import hashlib
import logging
import signal
import threading
from contextlib import closing

import pytest

from fingpt.errors import (
    Interrupted,
    MissingInputError,
    NoSpaceError,
    PermissionDeniedError,
    StorageError,
    TransientError,
)
from fingpt.storage import cancellation, s3, s3_ranges
from fingpt.storage.s3 import S3Store
from fingpt.storage.s3_client import make_client
from fingpt.storage.s3_ranges import Share
from tests.fault_proxy import Answer, Exchange, busy, drop_answer, flip_a_bit, trickle, truncate
from tests.fault_proxy import fault_proxy as proxy_of

PART = 1 << 20
SIZE = 10 * PART + 7
DATA = hashlib.shake_256(b"seed").digest(SIZE)
SHA256 = hashlib.sha256(DATA).hexdigest()
KEY = "models/x/we ird+%2F\u00e9=.bin"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch) -> None:
    """What is above 5 MiB comes in parts of 1 MiB, four at a time."""
    monkeypatch.setattr(s3, "_MULTIPART_BYTES", 5 << 20)
    monkeypatch.setattr(s3_ranges, "_PART_BYTES", PART)
    monkeypatch.setattr(s3_ranges, "_PARTS", 4)


@pytest.fixture
def behind_proxy(moto_lab, aws_settings):
    """A store with one large object behind a proxy, and the proxy."""
    moto_lab.client.put_object(Bucket=moto_lab.bucket, Key=KEY, Body=DATA)
    with proxy_of(moto_lab.client.meta.endpoint_url) as proxy:
        aws_settings(proxy.endpoint)
        with closing(make_client()) as client:
            yield S3Store(client, moto_lab.bucket), proxy


def signed(exchange: Exchange) -> bool:
    """Whether obstore asks: its requests are signed in the URL."""
    return "X-Amz-Signature" in exchange.path


def ranged(exchange: Exchange) -> bool:
    return "Range" in exchange.handler.headers


def fails(who, fault):
    return lambda exchange: fault if who(exchange) else None


def says(status: int, code: str):
    """S3's answer with this code."""
    body = f"<Error><Code>{code}</Code><Message>said the lab</Message></Error>".encode()
    return lambda exchange: exchange.reply(
        Answer(status, [("Content-Type", "application/xml")], body)
    )


def whole(exchange: Exchange) -> None:
    """The server ignores the range."""
    del exchange.handler.headers["Range"]
    exchange.reply(exchange.forward())


def fetch(store, tmp_path) -> None:
    store.download(KEY, tmp_path / "back", SHA256)
    assert (tmp_path / "back").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["back"]


def test_parts_come_by_obstore_from_every_server(s3_lab, aws_settings, tmp_path):
    s3_lab.client.put_object(Bucket=s3_lab.bucket, Key=KEY, Body=DATA)
    asked = []
    with proxy_of(s3_lab.client.meta.endpoint_url) as proxy:
        proxy.plan = asked.append
        aws_settings(proxy.endpoint)
        with closing(make_client()) as client:
            fetch(S3Store(client, s3_lab.bucket), tmp_path)
    assert [signed(exchange) for exchange in asked] == [False] + [True] * 11
    assert {exchange.handler.command for exchange in asked} == {"GET"}


@pytest.mark.parametrize("fault", [busy, drop_answer, truncate, says(500, "InternalError"), whole])
def test_a_part_that_obstore_cannot_bring_comes_by_boto3(behind_proxy, at_once, tmp_path, fault):
    store, proxy = behind_proxy
    left, by_obstore = iter(range(2)), []

    def plan(exchange):
        if not signed(exchange):
            return None
        by_obstore.append(exchange)
        return fault if next(left, None) is not None else None

    proxy.plan = plan
    fetch(store, tmp_path)
    assert len(proxy.injected) == 2
    assert len(by_obstore) == 11  # it does not try again by itself
    assert proxy.seen == {"GET": 14}


@pytest.mark.parametrize(
    "fault",
    [
        says(403, "AccessDenied"),
        lambda exchange: exchange.reply(Answer(302, [("Location", "/login")], b"")),
        lambda exchange: exchange.reply(Answer(200, [("Content-Type", "text/html")], b"<html>")),
        truncate,
    ],
    ids=["forbidden", "redirect", "page", "truncated"],
)
def test_where_obstore_never_succeeds_it_is_given_up_and_that_is_said(
    behind_proxy, at_once, tmp_path, caplog, fault
):
    store, proxy = behind_proxy
    proxy.plan = fails(signed, fault)
    fetch(store, tmp_path)
    assert 3 <= len(proxy.injected) <= 3 + 4  # those that were on their way when the third failed
    warnings = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "rest comes by boto3" in warnings[0]
    assert "Signature" not in warnings[0]


def test_a_server_that_ignores_ranges_is_read_in_one_piece(behind_proxy, tmp_path):
    store, proxy = behind_proxy
    proxy.plan = fails(ranged, whole)
    fetch(store, tmp_path)
    assert proxy.injected


@pytest.mark.parametrize("other", [DATA[::-1], DATA[: 6 << 20]], ids=["same size", "shorter"])
def test_an_object_that_changes_in_between_is_never_taken(behind_proxy, moto_lab, tmp_path, other):
    store, proxy = behind_proxy
    parts = iter(range(6))

    def change(exchange):
        if ranged(exchange) and next(parts, 0) == 5:
            moto_lab.client.put_object(Bucket=moto_lab.bucket, Key=KEY, Body=other)

    proxy.plan = change
    with pytest.raises(StorageError, match="wanted sha256"):
        store.download(KEY, tmp_path / "back", SHA256)
    assert not list(tmp_path.iterdir())


def test_a_flipped_bit_is_fetched_again(behind_proxy, tmp_path):
    store, proxy = behind_proxy
    left = iter(range(1))
    proxy.plan = lambda exchange: (
        flip_a_bit if signed(exchange) and next(left, None) is not None else None
    )
    fetch(store, tmp_path)
    assert proxy.injected
    assert proxy.seen == {"GET": 24}


@pytest.mark.parametrize(
    ("status", "code", "error", "words"),
    [
        (403, "AccessDenied", PermissionDeniedError, "lack the permission"),
        (400, "ExpiredToken", PermissionDeniedError, "credentials have expired"),
        (404, "NoSuchKey", MissingInputError, "there is no such object"),
        (503, "SlowDown", TransientError, "busy or broken"),
    ],
)
def test_what_stops_a_download_half_way_is_said_as_ever(
    behind_proxy, at_once, monkeypatch, tmp_path, status, code, error, words
):
    store, proxy = behind_proxy
    monkeypatch.setattr(store._retry, "_seconds", 0.1)
    proxy.plan = fails(ranged, says(status, code))
    with pytest.raises(error, match=words) as caught:
        store.download(KEY, tmp_path / "back", SHA256)
    assert KEY in str(caught.value)
    assert "Signature" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_outage_half_way_is_waited_for_and_told(behind_proxy, at_once, tmp_path, caplog):
    store, proxy = behind_proxy
    left = iter(range(30))
    proxy.plan = lambda exchange: (
        busy if ranged(exchange) and next(left, None) is not None else None
    )
    fetch(store, tmp_path)
    assert "s3.retry" in caplog.text


def test_space_is_asked_for_before_a_part_is(behind_proxy, monkeypatch, tmp_path):
    store, proxy = behind_proxy
    monkeypatch.setattr("fingpt.storage.files.free_bytes", lambda _: SIZE - 1)
    with pytest.raises(NoSpaceError, match="No space left"):
        store.download(KEY, tmp_path / "back", SHA256)
    assert proxy.seen == {"GET": 1}


@pytest.mark.parametrize("who", [signed, ranged], ids=["obstore", "boto3"])
def test_an_event_halts_parts_on_their_way(behind_proxy, monkeypatch, tmp_path, who):
    store, proxy = behind_proxy
    monkeypatch.setattr(s3_ranges, "_PART_BYTES", 5 << 20)
    if who is ranged:
        monkeypatch.setattr(store._ranges, "_options", None)
    stop = threading.Event()

    def slow(exchange):
        threading.Timer(0.3, stop.set).start()
        trickle(exchange)

    proxy.plan = fails(who, slow)
    ended = []

    def act():
        cancellation.cancel_on(stop)
        with pytest.raises(Interrupted, match="was stopped"):
            store.download(KEY, tmp_path / "back", SHA256)
        ended.append(True)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(10)  # the part takes twenty seconds
    assert ended
    assert not list(tmp_path.iterdir())


def test_a_signal_halts_a_download_of_the_main_thread(behind_proxy, monkeypatch, tmp_path):
    store, proxy = behind_proxy
    monkeypatch.setattr(s3_ranges, "_PART_BYTES", 5 << 20)
    proxy.plan = fails(signed, trickle)
    taken = []

    def handler(*_):
        taken.append(True)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            store.download(KEY, tmp_path / "back", SHA256)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert taken
    assert not list(tmp_path.iterdir())


def test_files_share_the_memory_evenly_and_none_waits_for_another():
    share = Share(8)
    with share.file():
        assert [share.take(mine) for mine in range(9)] == [True] * 8 + [False]
        with share.file():
            assert share.take(0)  # memory is full: the one that each file may have
            assert not share.take(1)
            share.give(6)  # of the first file, which keeps two
            assert [share.take(mine) for mine in range(1, 5)] == [True] * 3 + [False]
            assert [share.take(mine) for mine in range(2, 5)] == [True, True, False]
            share.give(8)
        assert share.take(7)


def test_no_more_parts_are_asked_for_than_the_memory_has(behind_proxy, tmp_path):
    store, proxy = behind_proxy
    under_way, most, lock = [0], [0], threading.Lock()

    def counted(exchange):
        answer = exchange.forward()
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        threading.Event().wait(0.05)
        with lock:
            under_way[0] -= 1
        exchange.reply(answer)

    proxy.plan = fails(signed, counted)
    fetch(store, tmp_path)
    assert most == [4]
