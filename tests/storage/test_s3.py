"""What only S3 can do: lose answers, break off bodies, take files in parts, ignore conditions."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session

from fingpt.errors import (
    PermissionDeniedError,
    SetupError,
    StorageError,
    TransientError,
)
from fingpt.record import sha256_bytes
from fingpt.storage import probe, s3, s3_ranges


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


def drop_the_answer(request):
    """The server does what it is asked; we never hear of it."""
    session = URLLib3Session()
    session.send(request)
    session.close()
    raise ConnectionClosedError(endpoint_url=request.url)


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
    s3_lab, at_once, before_sending, answer
):
    before_sending(s3_lab, "PutObject", times(3, answer(409, "ConditionalRequestConflict")))
    assert s3_lab.store.create("a", b"ours") is True


def test_an_endless_conflict_is_transient(moto_lab, at_once, before_sending, answer):
    before_sending(moto_lab, "PutObject", answer(409, "ConditionalRequestConflict"))
    with pytest.raises(TransientError, match="holds the key"):
        moto_lab.store.create("a", b"ours")


def test_a_store_that_drops_metadata_is_asked_for_the_bytes(moto_lab):
    moto_lab.client.put_object(Bucket=moto_lab.bucket, Key="some/prefix/a", Body=b"ours")
    assert moto_lab.store.create("a", b"ours") is True
    assert moto_lab.store.create("a", b"not ours") is False


def test_a_busy_endpoint_is_waited_for(moto_lab, at_once, before_sending, answer):
    before_sending(moto_lab, "*", times(8, answer(503, "ServiceUnavailable")))
    assert moto_lab.store.create("a", b"x") is True
    assert moto_lab.store.read("a") == b"x"


def test_retries_end(moto_lab, at_once, before_sending, answer):
    impatient = s3.S3Store(moto_lab.client, moto_lab.bucket, retry_seconds=0.05)
    before_sending(moto_lab, "*", answer(500, "InternalError"))
    with pytest.raises(TransientError, match=r"busy or broken .*run the same command again"):
        impatient.read("a")


def test_an_outage_in_the_middle_of_a_run_is_survived(moto_lab, at_once, before_sending):
    moto_lab.store.create("a", b"x")

    def refuse(request, **_):
        raise ConnectionClosedError(endpoint_url=request.url)

    before_sending(moto_lab, "*", times(10, refuse))
    assert moto_lab.store.read("a") == b"x"


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
    monkeypatch.setattr(s3_ranges, "_PART_BYTES", 1 << 20)
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


def test_a_large_upload_that_fails_leaves_no_object(
    moto_lab, large_file, at_once, before_sending, answer
):
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
