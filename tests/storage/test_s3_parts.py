"""Large objects in parts: how many are in memory, files that change, answers that are lost."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from types import SimpleNamespace

import obstore
import pytest
from botocore.exceptions import ClientError
from obstore.exceptions import BaseError

from fingpt.errors import FingptError, Interrupted, StorageError
from fingpt.storage import cancellation, s3, s3_parts, upload_tree

MIB = 1 << 20


@pytest.fixture
def large_file(tmp_path, monkeypatch):
    """Files above 5 MiB go in parts of 5 MiB and are not read again; this one has five."""
    monkeypatch.setattr(s3, "_REREAD_BYTES", 5 * MIB)
    monkeypatch.setattr(s3, "_MULTIPART_BYTES", 5 * MIB)
    monkeypatch.setattr(s3_parts, "_PART_BYTES", 5 * MIB)
    path = tmp_path / "out" / "large.bin"
    path.parent.mkdir()
    path.write_bytes(hashlib.shake_256(b"seed").digest(4 * 5 * MIB + 7))
    return path


@pytest.fixture
def by_boto3(moto_lab, monkeypatch):
    """All parts go by boto3."""
    monkeypatch.setattr(moto_lab.store._parts, "_options", None)


@pytest.mark.parametrize("way", ["_send_fast", "_put"])
def test_no_more_parts_are_in_memory_than_may_be(moto_lab, large_file, monkeypatch, way):
    shutil.copy(large_file, large_file.with_name("other.bin"))
    monkeypatch.setattr(s3_parts, "_PARTS", 2)
    store = s3.S3Store(moto_lab.client, moto_lab.bucket)
    if way == "_put":
        monkeypatch.setattr(store._parts, "_options", None)
    send, now, most, lock = getattr(store._parts, way), 0, [0], threading.Lock()

    def counting(*given):
        nonlocal now
        with lock:
            now += 1
            most[0] = max(most[0], now)
        try:
            return send(*given)
        finally:
            with lock:
                now -= 1

    monkeypatch.setattr(store._parts, way, counting)
    assert len(upload_tree(store, large_file.parent, "models/x")) == 2
    assert most == [2]


def answered(monkeypatch, *tags):
    """obstore's puts, which are done; their ETags are `tags` first, None for an error, and the true ones after."""
    put, left, made = obstore.put, list(tags), []

    def altered(store, path, data, **given):
        made.append(len(data))
        result = put(store, path, data, **given)
        if left and (tag := left.pop(0)) != "true":
            if tag is None:
                raise BaseError("The connection broke: https://host/?X-Amz-Signature=secret")
            return {"e_tag": tag, "version": None}
        return result

    monkeypatch.setattr(s3_parts.obstore, "put", altered)
    monkeypatch.setattr(s3_parts, "_PARTS", 1)
    return made


def brought(lab, path, tmp_path) -> int:
    """Upload a file, see that it is there; how many parts boto3 sent."""
    sent, put = [], lab.store._parts._put

    def counting(*given):
        sent.append(given)
        return put(*given)

    lab.store._parts._put = counting
    ref = lab.store.upload(path, "models/x/large.bin")
    lab.store.download("models/x/large.bin", tmp_path / "back", ref.sha256)
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    return len(sent)


@pytest.mark.parametrize("tag", [None, "", '"0123456789abcdef0123456789abcdef"'])
def test_a_part_that_did_not_arrive_as_it_was_sent_goes_by_boto3(
    moto_lab, large_file, tmp_path, monkeypatch, caplog, tag
):
    made = answered(monkeypatch, tag, "true", tag, tag)
    assert brought(moto_lab, large_file, tmp_path) == 3
    assert len(made) == 5
    assert not [each for each in caplog.records if each.name == s3_parts.__name__]


def test_a_store_with_etags_of_its_own_gets_all_from_boto3_and_this_is_said_once(
    moto_lab, large_file, tmp_path, monkeypatch, caplog
):
    made = answered(monkeypatch, *['"of-its-own"'] * 5)
    assert brought(moto_lab, large_file, tmp_path) == 5
    assert len(made) == 3
    (said,) = [each.message for each in caplog.records if each.name == s3_parts.__name__]
    assert "large.bin in a row were not taken from the fast client" in said


def test_with_tls_an_etag_may_be_anything(moto_lab, large_file, tmp_path, monkeypatch):
    answered(monkeypatch, "true")
    monkeypatch.setattr(moto_lab.store._parts, "_secure", True)
    monkeypatch.setattr(s3_parts, "_md5", None)
    assert brought(moto_lab, large_file, tmp_path) == 0


def test_an_object_that_is_read_again_may_have_any_etag(
    moto_lab, large_file, tmp_path, monkeypatch
):
    monkeypatch.setattr(s3, "_REREAD_BYTES", 1 << 30)
    monkeypatch.setattr(s3_parts, "_md5", None)
    assert brought(moto_lab, large_file, tmp_path) == 0
    flip = moto_lab.flip_a_bit
    monkeypatch.setattr(moto_lab.store._parts, "_complete", complete_and(flip, moto_lab))
    with pytest.raises(StorageError, match="other bytes"):
        moto_lab.store.upload(large_file, "models/x/other.bin")


def complete_and(flip, lab):
    """The end of an upload, behind which a bit flips."""
    complete = lab.store._parts._complete

    def act(key, upload, parts):
        complete(key, upload, parts)
        flip("models/x/other.bin")

    return act


def test_amazon_is_sent_checksums_by_boto3(moto_lab, monkeypatch):
    given = SimpleNamespace(request_checksum_calculation="when_supported")
    client = SimpleNamespace(meta=SimpleNamespace(config=given, endpoint_url="https://s3"))
    assert s3_parts.Parts(client, "bucket", None)._options is None
    assert moto_lab.store._parts._options is not None


def test_checksums_of_parts_are_said_again_at_the_end(moto_lab, by_boto3, large_file, monkeypatch):
    put, complete, said = (
        moto_lab.client.upload_part,
        moto_lab.client.complete_multipart_upload,
        [],
    )

    def summed(**given):
        return {**put(**given), "ChecksumCRC32": "AAAA", "ChecksumType": "COMPOSITE"}

    def listening(**given):
        said.extend(given["MultipartUpload"]["Parts"])
        parts = [{name: one[name] for name in ("PartNumber", "ETag")} for one in said]
        return complete(**{**given, "MultipartUpload": {"Parts": parts}})

    monkeypatch.setattr(moto_lab.client, "upload_part", summed)
    monkeypatch.setattr(moto_lab.client, "complete_multipart_upload", listening)
    moto_lab.store.upload(large_file, "models/x/large.bin")
    assert [(one["PartNumber"], one["ChecksumCRC32"]) for one in said] == [
        (number, "AAAA") for number in range(1, 6)
    ]
    assert all(set(one) == {"PartNumber", "ETag", "ChecksumCRC32"} for one in said)


def test_parts_grow_where_there_would_be_too_many(
    moto_lab, by_boto3, large_file, monkeypatch, before_sending
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
    send = store._parts._send_fast

    def stopping(*given):
        stopped.set()
        return send(*given)

    monkeypatch.setattr(s3_parts, "_PARTS", 1)
    monkeypatch.setattr(store._parts, "_send_fast", stopping)
    cancellation.cancel_on(stopped)
    try:
        with pytest.raises(Interrupted):
            store.upload(large_file, "models/x/large.bin")
    finally:
        del cancellation._OF_THIS_THREAD.event
    assert not store.exists("models/x/large.bin")
    assert "Uploads" not in moto_lab.client.list_multipart_uploads(Bucket=moto_lab.bucket)
