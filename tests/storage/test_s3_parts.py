"""Large objects in parts: how many are in memory, files that change, answers that are lost."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading

import pytest
from botocore.exceptions import ClientError

from fingpt.errors import FingptError, Interrupted, StorageError
from fingpt.storage import cancellation, s3, s3_parts, upload_tree

MIB = 1 << 20


@pytest.fixture
def large_file(tmp_path, monkeypatch):
    """Files above 5 MiB go in parts of 5 MiB; this one has five."""
    monkeypatch.setattr(s3, "_MULTIPART_BYTES", 5 * MIB)
    monkeypatch.setattr(s3_parts, "_PART_BYTES", 5 * MIB)
    path = tmp_path / "out" / "large.bin"
    path.parent.mkdir()
    path.write_bytes(hashlib.shake_256(b"seed").digest(4 * 5 * MIB + 7))
    return path


def test_no_more_parts_are_in_memory_than_may_be(moto_lab, large_file, monkeypatch):
    shutil.copy(large_file, large_file.with_name("other.bin"))
    monkeypatch.setattr(s3_parts, "_PARTS", 2)
    store = s3.S3Store(moto_lab.client, moto_lab.bucket)
    put, now, most, lock = store._parts._put, 0, [0], threading.Lock()

    def counting(*given):
        nonlocal now
        with lock:
            now += 1
            most[0] = max(most[0], now)
        try:
            return put(*given)
        finally:
            with lock:
                now -= 1

    monkeypatch.setattr(store._parts, "_put", counting)
    assert len(upload_tree(store, large_file.parent, "models/x")) == 2
    assert most == [2]


def test_parts_grow_where_there_would_be_too_many(
    moto_lab, large_file, monkeypatch, before_sending
):
    monkeypatch.setattr(s3_parts, "_MOST_PARTS", 2)
    seen = []
    before_sending(moto_lab, "UploadPart", lambda request, **_: seen.append(request.url))
    moto_lab.store.upload(large_file, "models/x/large.bin")
    assert len(seen) == 2


def test_a_file_that_gets_shorter_is_refused_and_nothing_is_left(moto_lab, large_file, monkeypatch):
    begin = moto_lab.client.create_multipart_upload

    def shorten(**given):
        os.truncate(large_file, 7 * MIB)
        return begin(**given)

    monkeypatch.setattr(moto_lab.client, "create_multipart_upload", shorten)
    with pytest.raises(StorageError, match="became shorter while it was uploaded"):
        moto_lab.store.upload(large_file, "models/x/large.bin")
    assert not moto_lab.store.exists("models/x/large.bin")
    assert "Uploads" not in moto_lab.client.list_multipart_uploads(Bucket=moto_lab.bucket)


GONE = ClientError({"Error": {"Code": "NoSuchUpload"}}, "CompleteMultipartUpload")


def test_an_upload_whose_last_answer_is_lost_is_known_as_done(
    moto_lab, large_file, tmp_path, monkeypatch
):
    complete = moto_lab.client.complete_multipart_upload

    def repeated(**given):
        complete(**given)
        raise GONE

    monkeypatch.setattr(moto_lab.client, "complete_multipart_upload", repeated)
    ref = moto_lab.store.upload(large_file, "models/x/large.bin")
    moto_lab.store.download("models/x/large.bin", tmp_path / "back", ref.sha256)
    assert (tmp_path / "back").read_bytes() == large_file.read_bytes()


def test_an_upload_that_is_gone_is_no_success(moto_lab, large_file, at_once, monkeypatch):
    def gone(**_):
        raise GONE

    monkeypatch.setattr(moto_lab.client, "complete_multipart_upload", gone)
    with pytest.raises(FingptError, match=r"large\.bin"):
        moto_lab.store.upload(large_file, "models/x/large.bin")


def test_a_cancelled_upload_ends_and_nothing_is_left(moto_lab, large_file, monkeypatch):
    store, stopped = moto_lab.store, threading.Event()
    put = store._parts._put

    def stopping(*given):
        stopped.set()
        return put(*given)

    monkeypatch.setattr(s3_parts, "_PARTS", 1)
    monkeypatch.setattr(store._parts, "_put", stopping)
    cancellation.cancel_on(stopped)
    try:
        with pytest.raises(Interrupted):
            store.upload(large_file, "models/x/large.bin")
    finally:
        del cancellation._OF_THIS_THREAD.event
    assert not store.exists("models/x/large.bin")
    assert "Uploads" not in moto_lab.client.list_multipart_uploads(Bucket=moto_lab.bucket)
