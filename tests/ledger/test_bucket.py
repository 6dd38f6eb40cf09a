"""The ledger in a bucket whose endpoint fails: 403, 412 and 503 leave a whole chain, one entry per week, or nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from botocore.retries.standard import ExponentialBackoff

from fingpt.errors import PermissionDeniedError, TransientError
from fingpt.ledger.chains import open_ledger, read_chain
from fingpt.ledger.clock import Timing, stored_times, timing
from fingpt.ledger.keys import entry_key
from fingpt.ledger.score import score
from fingpt.ledger.verify import require_sound_ledger, verify_ledger
from fingpt.ledger.write import write
from fingpt.storage import s3, s3_retry
from fingpt.storage.s3_client import make_client
from tests.fault_proxy import Answer, FaultProxy, busy, drop_answer, fault_proxy
from tests.ledger.invented import CHAIN, RUN, TableMarket, forecast, keep
from tests.s3_servers import forget_aws_settings, moto, repeat_at_once, use

DENIED = b"<Error><Code>AccessDenied</Code><Message>said the proxy</Message></Error>"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto() as address:
        yield address


@pytest.fixture(scope="module")
def client(endpoint) -> Iterator[tuple[Any, FaultProxy]]:
    """A client that reaches the server through a proxy, and the proxy: half a second, so the tests share it."""
    with pytest.MonkeyPatch.context() as patch, fault_proxy(endpoint) as proxy:
        forget_aws_settings(patch)
        use(patch, proxy.endpoint)
        with closing(make_client()) as made:
            yield made, proxy


@pytest.fixture
def bucket(client, monkeypatch) -> tuple[Any, FaultProxy]:
    """A store in a bucket of this test's own, and the proxy; nothing waits between repeated calls."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)
    monkeypatch.setattr(s3_retry, "_LONGEST_PAUSE_SECONDS", 0.01)
    made, proxy = client
    proxy.plan = lambda _: None
    proxy.injected.clear()
    name = f"bucket-{uuid4().hex}"
    made.create_bucket(Bucket=name)
    return s3.S3Store(made, name, "some/prefix", retry_seconds=0.3), proxy


def this_week(store) -> datetime:
    """One week's forecasts around the server's own time, kept in the bucket; when they are written."""
    now = datetime.now(UTC)
    close = (now - timedelta(hours=2)).replace(microsecond=0)
    keep(store, *(forecast(symbol, 0, as_of=close) for symbol in ("AAPL", "MSFT")))
    return now


def refuse(exchange) -> None:
    """403 AccessDenied."""
    exchange.read(exchange.size)
    exchange.reply(Answer(403, [("Content-Type", "application/xml")], DENIED))


def puts(fault, number: int = 10**6):
    """`fault` for the first `number` writes of ledger objects."""
    left = [number]

    def plan(exchange):
        if exchange.method != "PUT" or "/ledger/" not in exchange.path or not left[0]:
            return None
        left[0] -= 1
        return fault

    return plan


def test_a_bucket_that_refuses_ends_with_its_reason_and_leaves_nothing(bucket):
    store, proxy = bucket
    now = this_week(store)
    proxy.plan = puts(refuse)
    with pytest.raises(PermissionDeniedError):
        write(store, "test", [RUN], now)
    assert list(store.keys("ledger/")) == []
    proxy.plan = lambda _: None
    assert len(write(store, "test", [RUN], now).entries) == 1


@pytest.mark.parametrize("fault", [busy, drop_answer])
def test_an_endpoint_that_is_busy_or_falls_silent_for_a_while_writes_one_entry(
    bucket, fault, monkeypatch
):
    """A dropped answer makes the client ask again, and the store say 412 to what it has stored already."""
    repeat_at_once(monkeypatch)
    store, proxy = bucket
    now = this_week(store)
    proxy.plan = puts(fault, 2)
    done = write(store, "test", [RUN], now)
    assert proxy.injected
    assert [entry.number for entry in done.entries] == [1]
    proxy.plan = lambda _: None
    assert len(write(store, "test", [RUN], now).entries) == 0
    assert require_sound_ledger("test", verify_ledger(store, "test")) == "4 ok"


def test_an_endpoint_that_stays_busy_is_a_reason_to_come_again(bucket):
    store, proxy = bucket
    now = this_week(store)
    proxy.plan = puts(busy)
    with pytest.raises(TransientError):
        write(store, "test", [RUN], now)
    proxy.plan = lambda _: None
    assert len(write(store, "test", [RUN], now).entries) == 1


def test_another_writer_between_reading_and_writing_wins_and_is_seen(bucket):
    """412 for good: the key is taken by another process, whose entry holds the same week."""
    store, proxy = bucket
    now = this_week(store)
    write(store, "test", [RUN], now)
    entry, *_ = read_chain(open_ledger(store, "test"), CHAIN)
    keep(store, forecast("NVDA", 0, as_of=entry.as_of))
    taken = []

    def overtake(exchange):
        proxy.plan = lambda _: None
        taken.extend(write(store, "test", [RUN], now).entries)
        exchange.reply(exchange.forward())

    proxy.plan = puts(overtake, 1)
    done = write(store, "test", [RUN], now)
    assert [entry.number for entry in taken] == [2]
    assert done.entries == ()
    assert len(read_chain(open_ledger(store, "test"), CHAIN)) == 2


def test_the_bucket_s_own_time_is_what_an_entry_is_judged_by(bucket):
    store, _ = bucket
    now = this_week(store)
    entry, *_ = write(store, "test", [RUN], now).entries
    stored = stored_times(store, "test")[entry_key("test", CHAIN, 1)]
    assert abs((stored - now).total_seconds()) < 120
    assert timing(entry, stored) is Timing.IN_TIME
    time.sleep(1.1)  # times of a bucket are whole seconds
    assert stored_times(store, "test")[entry_key("test", CHAIN, 1)] == stored


def test_scores_survive_a_busy_endpoint(bucket, monkeypatch):
    repeat_at_once(monkeypatch)
    store, proxy = bucket
    now = this_week(store)
    write(store, "test", [RUN], now)
    proxy.plan = puts(busy, 2)
    ledger = open_ledger(store, "test")
    end = read_chain(ledger, CHAIN)[0].horizon_end
    assert len(score(ledger, TableMarket(), end).scores) == 1
    assert len(score(ledger, TableMarket(), end).scores) == 0
