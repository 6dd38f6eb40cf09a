"""Large files beside other clients: what arrives is looked at, and every way has its rate."""

from __future__ import annotations

import os

import pytest

from tests.bench import storage

# An S3 server is a program that pip does not bring. CI names one; what needs none is tested everywhere.
needs_a_server = pytest.mark.skipif(
    not os.environ.get("FINGPT_VERSITYGW"), reason="FINGPT_VERSITYGW names no program"
)


@needs_a_server
def test_large_files_are_brought_and_sent_in_three_other_ways_too(tmp_path):
    found = list(storage.large_lines(tmp_path, files=2, size=65 << 20, times=1))
    assert [each.name[:6] for each in found] == ["downlo"] * 3 + ["upload"] * 3
    peers = [each.name.split("peer: ")[1][:8] for each in found]
    assert peers[:3] == peers[3:] == ["boto3's ", "obstore'", "the same"]
    assert all(each.ours > 0 and each.peer > 0 for each in found)
    assert "2 files of 0.0634766 GiB" in found[0].name


@needs_a_server
def test_a_way_that_brings_other_bytes_is_not_measured(tmp_path, monkeypatch):
    bring = storage._in_ranges

    def wrong(bare, refs, target):
        bring(bare, refs, target)
        path = target / refs[-1].name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    monkeypatch.setattr(storage, "_in_ranges", wrong)
    with pytest.raises(AssertionError, match="bare ranges in 16 threads, unverified: other bytes"):
        list(storage.large_lines(tmp_path, files=1, size=9 << 20, times=1))


@needs_a_server
def test_a_way_that_sends_other_bytes_is_not_measured(tmp_path, monkeypatch):
    send = storage.obstore.put

    def wrong(bare, name, path):
        data = path.read_bytes()
        send(bare, name, data[:-1] + bytes([data[-1] ^ 1]))

    monkeypatch.setattr(storage.obstore, "put", wrong)
    with pytest.raises(AssertionError, match="put of all at once, not hashed: other bytes"):
        list(storage.large_lines(tmp_path, files=1, size=9 << 20, times=1))
