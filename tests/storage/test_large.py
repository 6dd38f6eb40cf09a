"""Large files on every S3 server: in order, whatever part arrives first and whatever a server does to one."""

from __future__ import annotations

import hashlib
import threading
import time
import tracemalloc

import pytest

from fingpt.errors import StorageError
from fingpt.storage import parts, s3, s3_large
from tests.fault_proxy import Answer, busy, delay, drop_answer, drop_request, truncate

KEY = "models/x/large.bin"
RANGE = 1 << 20
SIZE = 6 * RANGE + 7


@pytest.fixture
def large(proxied, at_once, monkeypatch, tmp_path):
    """A stored object of seven ranges, and its bytes."""
    monkeypatch.setattr(s3, "_MULTIPART_BYTES", 5 << 20)
    monkeypatch.setattr(s3_large, "_RANGE_BYTES", RANGE)
    monkeypatch.setattr(s3_large, "_PART_BYTES", 5 << 20)
    path = tmp_path / "large.bin"
    path.write_bytes(hashlib.shake_256(b"seed").digest(SIZE))
    return proxied[0].upload(path, KEY), path.read_bytes()


def ranged(fault, at=None):
    """`fault` for requests that want a range (that begins at `at`)."""
    start = "bytes=" if at is None else f"bytes={at}-"
    return lambda exchange: fault if exchange.range.startswith(start) else None


def once(plan):
    """What `plan` says, until it has said it once."""
    left = [1]
    return lambda exchange: left.pop() and found if (found := left and plan(exchange)) else None


def answer(status, body, *headers):
    """Say this in the server's place."""

    def act(exchange):
        exchange.forward()
        exchange.reply(Answer(status, [("ETag", '"x"'), *headers], body))

    return act


def test_ranges_that_arrive_in_the_wrong_order_make_the_file(proxied, large, tmp_path):
    store, proxy = proxied
    proxy.plan = ranged(delay(0.3), at=0)
    store.download(KEY, tmp_path / "back", large[0].sha256)
    assert (tmp_path / "back").read_bytes() == large[1]
    assert len(proxy.injected) == 1


@pytest.mark.parametrize("fault", [drop_request, drop_answer, truncate, busy])
def test_a_range_that_fails_is_asked_for_again_alone(proxied, large, tmp_path, fault):
    store, proxy = proxied
    proxy.plan = once(ranged(fault, at=2 * RANGE))
    gets = proxy.seen.get("GET", 0)
    store.download(KEY, tmp_path / "back", large[0].sha256)
    assert (tmp_path / "back").read_bytes() == large[1]
    assert len(proxy.injected) == 1
    assert (
        proxy.seen["GET"] - gets == 1 + 7 + 1
    )  # for its size, its ranges, and the one that failed


def test_a_server_that_ignores_ranges_is_asked_for_the_whole(proxied, large, tmp_path):
    store, proxy = proxied
    proxy.plan = ranged(answer(200, large[1]))
    store.download(KEY, tmp_path / "back", large[0].sha256)
    assert (tmp_path / "back").read_bytes() == large[1]
    assert proxy.injected


@pytest.mark.parametrize("said", [f"bytes 0-{RANGE - 1}/{SIZE}", f"bytes 5-{RANGE + 4}/{SIZE}", ""])
def test_a_server_that_answers_with_another_range_is_asked_for_the_whole(
    proxied, large, tmp_path, said
):
    store, proxy = proxied
    proxy.plan = ranged(answer(206, large[1][:RANGE], ("Content-Range", said)), at=3 * RANGE)
    store.download(KEY, tmp_path / "back", large[0].sha256)
    assert (tmp_path / "back").read_bytes() == large[1]
    assert proxy.injected


def test_an_object_that_is_replaced_in_between_is_never_taken_for_what_it_was(
    proxied, s3_lab, large, tmp_path
):
    store, proxy = proxied
    other = bytes(SIZE)

    def replace(exchange):
        s3_lab.client.put_object(Bucket=s3_lab.bucket, Key=f"some/prefix/{KEY}", Body=other)
        exchange.reply(exchange.forward())

    proxy.plan = once(ranged(replace, at=4 * RANGE))
    with pytest.raises(StorageError, match=f"wanted sha256 {large[0].sha256}"):
        store.download(KEY, tmp_path / "in" / "back", large[0].sha256)
    assert not list((tmp_path / "in").iterdir())
    assert proxy.injected


def test_a_wrong_byte_in_one_range_is_found(lab_of_large, tmp_path):
    lab, ref = lab_of_large
    lab.flip_a_bit(KEY)
    with pytest.raises(StorageError, match=f"wanted sha256 {ref.sha256}"):
        lab.store.download(KEY, tmp_path / "in" / "back", ref.sha256)


@pytest.fixture
def lab_of_large(s3_lab, large):
    return s3_lab, large[0]


def test_an_upload_whose_last_answer_is_lost_is_stored_and_known_as_ours(proxied, large, tmp_path):
    store, proxy = proxied
    path = tmp_path / "again.bin"
    path.write_bytes(large[1][::-1])
    completed = once(
        lambda exchange: (
            drop_answer if exchange.method == "POST" and "uploadId=" in exchange.path else None
        )
    )
    proxy.plan = completed
    ref = store.upload(path, "models/x/again.bin")
    assert len(proxy.injected) == 1
    proxy.plan = lambda _: None
    store.download("models/x/again.bin", tmp_path / "back", ref.sha256)
    assert (tmp_path / "back").read_bytes() == large[1][::-1]


def test_parts_are_hashed_in_order_within_fixed_memory(tmp_path):
    part, count = 1 << 20, 60
    active, most = [], []

    def fill(start, view):
        active.append(start)
        most.append(len(active))
        time.sleep(0.001 * (start // part % 5))
        view[:] = bytes([start // part]) * len(view)
        active.remove(start)

    tracemalloc.start()
    found = parts.receive_parts(fill, count * part - 9, part, tmp_path / "file")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    wanted = b"".join(bytes([n]) * part for n in range(count))[:-9]
    assert found == hashlib.sha256(wanted).hexdigest()
    assert (tmp_path / "file").read_bytes() == wanted
    assert 1 < max(most) <= parts.AT_ONCE
    assert peak < (2 * parts.AT_ONCE + 4) * part  # buffers, and what this test fills them from


def test_the_first_part_that_fails_stops_the_others(tmp_path):
    begun = threading.Event()
    asked = []

    def fill(start, view):
        asked.append(start)
        if start == 10:
            begun.wait(5)
            raise StorageError("part 1 is gone.")
        begun.set()

    with pytest.raises(StorageError, match="part 1 is gone"):
        parts.receive_parts(fill, 10_000, 10, tmp_path / "file")
    assert len(asked) < 100


def test_parts_are_sent_as_they_lie_in_the_file(tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(256)) * 10)
    sent = parts.send_parts(lambda number, data: (number, data), tmp_path / "file", 100)
    assert [number for number, _ in sent] == list(range(1, 27))
    assert b"".join(data for _, data in sent) == bytes(range(256)) * 10
