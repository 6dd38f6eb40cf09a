"""The raw store in a bucket: moto's in this process, and real S3 servers where their programs are named."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from fingpt.errors import StorageError
from fingpt.sources.fetching import Wanted, fetch
from fingpt.sources.month import Month
from fingpt.sources.opening import Opener
from fingpt.sources.protocol import Answer
from fingpt.sources.raw_store import Part, RawStore
from fingpt.sources.records import Kind
from fingpt.sources.selection import Selection, parse_selection
from fingpt.sources.stored import StoredSnapshot
from fingpt.storage import ObjectStore, open_store
from tests import s3_servers, warm
from tests.sources.invented import SHORT, Invented

LATER = datetime(2026, 1, 1, tzinfo=UTC)
PARTS = 6


@pytest.fixture(scope="module", params=s3_servers.NAMES)
def endpoint(request, tmp_path_factory) -> Iterator[str]:
    """Every S3 server in turn."""
    with s3_servers.server(request.param, tmp_path_factory.mktemp(request.param)) as address:
        yield address


@pytest.fixture(scope="module")
def client(endpoint):
    with s3_servers.client_of(endpoint) as made:
        yield made


@pytest.fixture
def bucket(endpoint, client, monkeypatch) -> str:
    """The address of a store in an empty bucket, with settings for stores that are opened on it."""
    s3_servers.forget_aws_settings(monkeypatch)
    s3_servers.use(monkeypatch, endpoint)
    name = f"bucket-{uuid4().hex}"
    client.create_bucket(Bucket=name)
    return f"s3://{name}/some/prefix"


def snapshot(store: ObjectStore, source: Invented) -> StoredSnapshot:
    fetched = fetch(RawStore(store), source, SHORT, source.clock)
    assert (len(fetched.kept), fetched.failed) == (PARTS, {})
    return StoredSnapshot(RawStore(store), source, fetched.kept)


def test_what_was_fetched_into_a_bucket_is_what_a_folder_would_hold(bucket, store) -> None:
    source, there = Invented(), open_store(bucket)
    fetched = snapshot(there, source)
    assert len(source.asked) == PARTS
    assert snapshot(there, source).digest == fetched.digest
    assert len(source.asked) == PARTS
    assert snapshot(store, source).digest == fetched.digest
    kept = list(store.keys("sources/"))
    assert list(there.keys("sources/")) == kept
    assert [there.read(key) for key in kept] == [store.read(key) for key in kept]


@pytest.mark.slow  # a process for each
@pytest.mark.parametrize(
    ("when", "parts"),
    [("news/AAPL/2025-02/0001.json", 1), ("price/AAPL/2025-01/0001.json", 3)],
)
def test_a_fetch_that_was_killed_goes_on_and_ends_with_the_same_hashes(
    bucket, store, when, parts
) -> None:
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environment = {name: os.environ[name] for name in names} | {"AWS_EC2_METADATA_DISABLED": "true"}
    done = warm.run("tests.sources.fetch_until_killed", bucket, when, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    there, source = open_store(bucket), Invented()
    assert len(list(there.keys("sources/index/"))) == parts
    fetched = snapshot(there, source)
    assert len(source.asked) == PARTS - parts
    assert fetched.digest == snapshot(store, Invented()).digest
    assert list(there.keys("sources/")) == list(store.keys("sources/"))


class _Together(Invented):
    """A source that answers when all who fetch have asked."""

    def __init__(self, barrier: threading.Barrier, late: timedelta) -> None:
        super().__init__()
        self._barrier, self._late = barrier, late
        self.now += late

    def fetch(self, kind: Kind, symbol: str, month: Month) -> Iterator[Answer]:
        answers = list(super().fetch(kind, symbol, month))
        self._barrier.wait(20)
        return iter(answers)


def test_two_that_fetch_at_once_keep_whole_parts_and_one_of_each_month_that_is_over(bucket) -> None:
    barrier = threading.Barrier(2)
    sources = [_Together(barrier, timedelta(seconds=late)) for late in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda source: snapshot(open_store(bucket), source), sources)
    assert [len(source.asked) for source in sources] == [PARTS, PARTS]
    over = [{kept.key for kept in each.kept if "2025-03" not in kept.key} for each in (one, two)]
    assert over[0] == over[1]
    assert len(over[0]) == 4
    for kind in (Kind.PRICE, Kind.NEWS):
        found = [each.records(kind, "AAPL", before=LATER) for each in (one, two)]
        assert [record.payload for record in found[0]] == [record.payload for record in found[1]]
    third = Invented()
    later = snapshot(open_store(bucket), third)
    assert third.asked == []
    assert (
        over[0]
        < {kept.key for kept in later.kept}
        <= {kept.key for each in (one, two) for kept in each.kept}
    )


def test_a_month_that_was_not_over_when_two_fetched_it_has_both_retrievals(bucket) -> None:
    raw, early = RawStore(open_store(bucket)), datetime(2025, 3, 10, tzinfo=UTC)
    part = Part(source="invented", kind=Kind.NEWS, symbol="AAPL", month="2025-03")
    keys = [raw.keep(part, [], early + timedelta(seconds=late), 1).key for late in (0, 1, 0)]
    assert [key.rpartition("/")[2] for key in keys] == ["0001.json", "0002.json", "0001.json"]
    assert raw.newest(part)[0] == 2


def chosen(folder: Path) -> Selection:
    files = {"folder": str(folder), "kinds": ["price"]}
    return parse_selection({"sources": {"files": files, "invented": {}}}, "SOURCES")


def test_a_snapshot_opens_again_from_the_bucket_alone_and_damage_is_named(
    bucket, client, write, tmp_path
) -> None:
    source, there = Invented(frozenset({Kind.NEWS})), open_store(bucket)
    opener = Opener(there, {"invented": lambda _: source}, source.clock)
    wanted = Wanted(frozenset(Kind), ("AAPL",), date(2025, 1, 1), date(2025, 1, 31))
    first = opener.open(chosen(write()), wanted)
    source.asked.clear()
    again = opener.open_frozen(first.digest, tmp_path / "scratch")
    for kind, count in ((Kind.PRICE, 3), (Kind.NEWS, 20)):
        before, after = (each.records(kind, "AAPL", before=LATER) for each in (first, again))
        assert [one.sha256 for one in after] == [one.sha256 for one in before]
        assert len(after) == count
    assert source.asked == []
    index = next(there.keys("sources/index/"))
    bucket_name, _, prefix = bucket.removeprefix("s3://").partition("/")
    client.put_object(
        Bucket=bucket_name,
        Key=f"{prefix}/{index}",
        Body=there.read(index).replace(b"news", b"newz"),
    )
    with pytest.raises(StorageError, match=index):
        opener.open_frozen(first.digest, tmp_path / "other")
