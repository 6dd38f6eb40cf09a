"""Every S3 server behind a proxy that fails: nothing is lost or stored twice, and a signal ends what is under way."""

from __future__ import annotations

import gc
import hashlib
import os
import signal
import threading
import time
import warnings
from urllib.parse import urlsplit

import pytest
from boto3.s3.transfer import TransferConfig

from fingpt.config import RunConfig
from fingpt.errors import StorageError
from fingpt.record import sha256_bytes
from fingpt.runs.run import Run, Stage, run_key
from fingpt.runs.stage import run_stage
from fingpt.storage import download_tree, s3, s3_ranges, upload_tree
from tests.fault_proxy import (
    busy,
    delay,
    drop_answer,
    drop_request,
    flip_a_bit,
    reset_midway,
    trickle,
    truncate,
)


@pytest.fixture
def small_parts(monkeypatch) -> None:
    """Files above 5 MiB go and come in parts."""
    size = 5 << 20
    monkeypatch.setattr(s3, "_MULTIPART_BYTES", size)
    monkeypatch.setattr(s3, "_MULTIPART", TransferConfig(size, 4, size))
    monkeypatch.setattr(s3_ranges, "_PART_BYTES", size)


def first(number: int, method: str, fault):
    """`fault` for the first `number` requests of a method."""
    return lambda exchange: (
        fault if exchange.method == method and exchange.number <= number else None
    )


@pytest.mark.parametrize("fault", [drop_request, drop_answer, reset_midway, busy])
def test_a_write_that_fails_on_its_way_is_stored_once_and_known_as_ours(proxied, at_once, fault):
    store, proxy = proxied
    proxy.plan = first(2, "PUT", fault)
    data = b"0123456789" * 100_000
    assert store.create("runs/a/commits/1.json", data) is True
    assert proxy.injected
    assert store.read("runs/a/commits/1.json") == data
    assert store.create("runs/a/commits/1.json", data) is False


@pytest.mark.parametrize("fault", [drop_request, drop_answer, reset_midway, busy])
def test_a_large_upload_survives_the_loss_of_parts(proxied, at_once, small_parts, tmp_path, fault):
    store, proxy = proxied
    path = tmp_path / "large.bin"
    path.write_bytes(hashlib.shake_256(b"seed").digest((10 << 20) + 7))
    proxy.plan = first(2, "PUT", fault)
    ref = store.upload(path, "models/x/large.bin")
    assert len(proxy.injected) == 2
    store.download("models/x/large.bin", tmp_path / "back", ref.sha256)
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("fault", [drop_request, truncate, flip_a_bit, busy])
@pytest.mark.parametrize("size", [100_000, (6 << 20) + 7], ids=["whole", "parts"])
def test_a_download_that_arrives_damaged_is_fetched_again(
    proxied, at_once, small_parts, tmp_path, fault, size
):
    store, proxy = proxied
    path = tmp_path / "file.bin"
    path.write_bytes(hashlib.shake_256(b"seed").digest(size))
    ref = store.upload(path, "models/x/file.bin")
    gets = proxy.seen.get("GET", 0)
    proxy.plan = first(gets + 2, "GET", fault)
    store.download("models/x/file.bin", tmp_path / "back", ref.sha256)
    assert proxy.injected
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_a_download_that_always_arrives_damaged_leaves_no_file(proxied, tmp_path):
    store, proxy = proxied
    store.create("a", b"0123456789")
    proxy.plan = lambda exchange: flip_a_bit if exchange.method == "GET" else None
    with pytest.raises(StorageError, match="wanted sha256"):
        store.download("a", tmp_path / "a", sha256_bytes(b"0123456789"))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow  # it is busy for six seconds
def test_a_server_that_is_busy_for_seconds_is_waited_for(proxied, tmp_path):
    store, proxy = proxied
    folder = tmp_path / "out"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_bytes(name.encode() * 1000)
    assert store.exists("runs/a/run.json") is False
    end = time.monotonic() + 3
    proxy.plan = lambda _: busy if time.monotonic() < end else None
    files = upload_tree(store, folder, "runs/a")
    assert time.monotonic() > end
    assert len(proxy.injected) > 3
    end = time.monotonic() + 3
    download_tree(store, "runs/a", files, tmp_path / "in")
    assert (tmp_path / "in" / "c").read_bytes() == b"c" * 1000


def after(seconds: float) -> threading.Timer:
    """A SIGTERM to this process."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    return timer


def seconds_to_exit(store, body) -> float:
    """How long a stage with this body takes from the SIGTERM that it gets after 0.2 seconds; it must end with 143."""
    run = Run.of(RunConfig(model="tiny-llama31"), {})
    store.create(run_key(run.id), run.encode())
    start = time.monotonic()

    def signalled(ctx):
        nonlocal start
        start = time.monotonic() + 0.2
        timer = after(0.2)
        try:
            return body(ctx)
        finally:
            timer.join()

    assert run_stage(Stage.PREP, f"{store.uri}/{run_key(run.id)}", lambda: signalled) == 143
    taken = time.monotonic() - start
    with warnings.catch_warnings():
        # s3transfer leaves the connection of a part that it breaks off to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    return taken


def test_a_signal_during_a_request_is_not_taken_for_a_broken_connection(proxied):
    store, proxy = proxied

    def body(ctx):
        slow = delay(20)
        proxy.plan = lambda exchange: slow if exchange.path.endswith("slow") else None
        ctx.store.create("slow", b"x")

    assert seconds_to_exit(store, body) < 10


def test_a_signal_while_a_busy_server_is_waited_for_is_honoured(proxied):
    store, proxy = proxied

    def body(ctx):
        proxy.plan = lambda exchange: busy if exchange.path.endswith("busy") else None
        ctx.store.create("busy", b"x")

    assert seconds_to_exit(store, body) < 10


@pytest.mark.slow  # five seconds of retries
def test_a_signal_in_an_outage_ends_the_stage_within_every_grace_period(proxied):
    store, proxy = proxied

    def body(ctx):
        proxy.plan = lambda exchange: busy
        ctx.store.create("runs/a", b"x")

    try:
        assert seconds_to_exit(store, body) < 20
    finally:
        proxy.plan = lambda _: None


@pytest.mark.parametrize("size", [5 << 20, (10 << 20) + 7], ids=["whole", "parts"])
def test_a_signal_halts_downloads_that_are_under_way(proxied, small_parts, tmp_path, size):
    """Three files that take twenty seconds to arrive: without a halt each would still come to its end."""
    store, proxy = proxied
    folder = tmp_path / "out"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_bytes(bytes(size))
    files = upload_tree(store, folder, "models/x")

    def body(ctx):
        proxy.plan = lambda exchange: (
            trickle if urlsplit(exchange.path).path[-2:] in ("/a", "/b", "/c") else None
        )
        download_tree(ctx.store, "models/x", files, tmp_path / "in")

    assert seconds_to_exit(store, body) < 10
    assert not list((tmp_path / "in").iterdir())
