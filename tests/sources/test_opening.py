from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fingpt.errors import (
    ConfigError,
    DataError,
    MissingInputError,
    PermissionDeniedError,
    StorageError,
)
from fingpt.sources.fetching import Wanted
from fingpt.sources.files import open_files
from fingpt.sources.opening import NEEDED, Opener
from fingpt.sources.policy import UsagePolicy, Use
from fingpt.sources.records import Kind
from fingpt.sources.selection import Selection, parse_selection
from fingpt.storage import ObjectStore, open_store
from tests.sources.invented import Invented

Write = Callable[..., Path]
LATER = datetime(2026, 1, 1, tzinfo=UTC)
WANTED = Wanted(frozenset(Kind), ("AAPL",), date(2025, 1, 1), date(2025, 1, 31))


@pytest.fixture
def source() -> Invented:
    return Invented(frozenset({Kind.NEWS, Kind.PRICE}))


@pytest.fixture
def opener(store: ObjectStore, source: Invented) -> Opener:
    return Opener(store, {"invented": lambda _: source})


def stored(store: ObjectStore) -> list[Path]:
    return [path for path in Path(urlsplit(store.uri).path).rglob("*") if path.is_file()]


def choose(**sources: object) -> Selection:
    return parse_selection({"sources": sources}, "SOURCES")


def test_a_folder_alone_opens_as_open_files_does_and_is_in_the_bucket_afterwards(
    opener: Opener, write: Write, tmp_path: Path
) -> None:
    folder = write()
    snapshot = opener.open(choose(files={"folder": str(folder)}), WANTED)
    assert snapshot.digest == open_files(str(folder)).digest
    shutil.rmtree(folder)
    again = opener.open_frozen(snapshot.digest, tmp_path / "scratch")
    found = [one.payload for one in again.records(Kind.PRICE, "AAPL", before=LATER)]
    assert found == [one.payload for one in snapshot.records(Kind.PRICE, "AAPL", before=LATER)]
    assert len(found) == 3


def test_files_and_a_fetched_source_are_one_snapshot_that_opens_again_offline(
    opener: Opener, source: Invented, write: Write, tmp_path: Path
) -> None:
    selection = choose(files={"folder": str(write()), "kinds": ["price"]}, invented={})
    snapshot = opener.open(selection, WANTED)
    assert source.asked == [(Kind.NEWS, "AAPL", "2025-01")]
    assert opener.open(selection, WANTED).digest == snapshot.digest
    source.asked.clear()
    again = opener.open_frozen(snapshot.digest, tmp_path / "scratch")
    for kind, count in ((Kind.NEWS, 20), (Kind.PRICE, 3)):
        before = snapshot.records(kind, "AAPL", before=LATER)
        assert len(before) == count
        after = again.records(kind, "AAPL", before=LATER)
        assert [one.sha256 for one in after] == [one.sha256 for one in before]
    assert source.asked == []


def test_a_failed_part_ends_it_unless_it_may_be_missing(
    opener: Opener, source: Invented, write: Write, tmp_path: Path
) -> None:
    source.faults[Kind.NEWS, "AAPL", "2025-01"] = DataError("It was empty.")
    selection = choose(files={"folder": str(write()), "kinds": ["price"]}, invented={})
    with pytest.raises(DataError, match="did not deliver news of AAPL for 2025-01: It was empty"):
        opener.open(selection, WANTED)
    allowed = selection.model_copy(update={"allow_missing": (Kind.NEWS,)})
    snapshot = opener.open(allowed, WANTED)
    assert snapshot.degraded == {"invented/AAPL/2025-01": "news: It was empty."}
    again = opener.open_frozen(snapshot.digest, tmp_path / "scratch")
    assert again.degraded == snapshot.degraded


def test_exactly_one_source_gives_prices_or_nothing_is_fetched_and_stored(
    opener: Opener, source: Invented, store: ObjectStore, write: Write
) -> None:
    files = {"folder": str(write()), "kinds": ["price", "news"]}
    with pytest.raises(ConfigError, match="2 sources give prices"):
        opener.open(choose(files=files, invented={"kinds": ["price"]}), WANTED)
    with pytest.raises(ConfigError, match="No source gives prices"):
        opener.open(choose(invented={"kinds": ["news"]}), WANTED)
    assert source.asked == []
    assert stored(store) == []


@pytest.mark.parametrize("use", NEEDED)
def test_a_prohibited_use_ends_it_before_anything_is_fetched_or_stored(
    opener: Opener, source: Invented, store: ObjectStore, write: Write, use: Use
) -> None:
    folder = write(folder_yaml=f"policy: {{{use}: prohibited, terms: [our licence]}}\n")
    files = {"folder": str(folder), "kinds": ["price"]}
    with pytest.raises(PermissionDeniedError) as caught:
        opener.open(choose(invented={}, files=files), WANTED)
    said = f"The policy of the source files prohibits {use} (our licence), which this needs; change `policy` in "
    assert str(caught.value).startswith(f"{said}{folder / 'folder.yaml'}")
    source.policy = UsagePolicy.allowing(prohibited=[use])
    files = {"folder": str(write(folder_yaml="")), "kinds": ["price"]}
    with pytest.raises(PermissionDeniedError, match=f"source invented prohibits {use}"):
        opener.open(choose(files=files, invented={}), WANTED)
    assert source.asked == []
    assert stored(store) == []
    opener.open(choose(files=files), WANTED)


def test_what_its_user_accepted_or_nobody_verified_is_a_warning_that_names_source_and_use(
    opener: Opener, source: Invented, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    source.policy = UsagePolicy.allowing(Use.RESEARCH, prohibited=[Use.LOCAL_CACHE])
    files = {"folder": str(write()), "kinds": ["price"]}
    chosen = choose(files=files, invented={"settings": {"accept_terms": True}})
    assert opener.open(chosen, WANTED).records(Kind.NEWS, "AAPL", before=LATER)
    accepted, unverified = [one.message for one in caplog.records if one.levelname == "WARNING"]
    assert accepted.startswith("The terms of the source invented prohibit local_cache; accept_")
    assert "source invented allow persistent_storage, model_processing; read" in unverified


def test_a_source_that_is_not_there_is_answered_with_the_nearest(opener: Opener) -> None:
    with pytest.raises(ConfigError, match="did you mean 'invented'"):
        opener.open(choose(invnted={}), WANTED)


def test_a_snapshot_that_is_not_frozen_or_was_changed_is_refused(
    opener: Opener, store: ObjectStore, write: Write, tmp_path: Path
) -> None:
    with pytest.raises(MissingInputError, match="build again"):
        opener.open_frozen("0" * 64, tmp_path / "a")
    digest = opener.open(choose(files={"folder": str(write())}), WANTED).digest
    other = opener.open(
        choose(
            files={"folder": str(write(README_md="", news_csv="symbol,published_at,headline\n"))}
        ),
        WANTED,
    ).digest
    folder = Path(urlsplit(store.uri).path) / "sources" / "snapshots"
    shutil.copy(folder / f"{other}.json", folder / f"{digest}.json")
    with pytest.raises(StorageError, match="does not name what its digest says"):
        opener.open_frozen(digest, tmp_path / "b")


def test_equal_sources_have_equal_digests_in_every_bucket(
    opener: Opener, source: Invented, write: Write, tmp_path: Path
) -> None:
    selection = choose(files={"folder": str(write()), "kinds": ["price"]}, invented={})
    other = Opener(open_store((tmp_path / "other").as_uri()), opener.available, source.clock)
    here = Opener(opener.store, opener.available, source.clock)
    assert here.open(selection, WANTED).digest == other.open(selection, WANTED).digest


@pytest.mark.parametrize("place", ["data", "data/store", "data/a/b"])
def test_a_store_in_the_folder_of_data_is_refused_before_anything_is_written(
    write: Write, tmp_path: Path, place: str
) -> None:
    folder = write()
    store = open_store((tmp_path / place).as_uri())
    with pytest.raises(ConfigError, match="would be read as the other") as caught:
        Opener(store, {}).open(choose(files={"folder": str(folder)}), WANTED)
    assert [each.name for each in folder.iterdir()] == ["prices.csv"]
    (beside,) = re.findall(r"STORE=(\S+), or", str(caught.value))
    Opener(open_store(Path(beside).as_uri()), {}).open(
        choose(files={"folder": str(folder)}), WANTED
    )


def test_a_link_to_the_folder_of_data_is_the_folder(write: Write, tmp_path: Path) -> None:
    folder = write()
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ConfigError, match="is the folder of data"):
        Opener(open_store((tmp_path / "link").as_uri()), {}).open(
            choose(files={"folder": str(folder)}), WANTED
        )


def test_data_among_the_store_s_objects_are_refused_and_those_beside_them_are_read(
    opener: Opener, write: Write, store: ObjectStore
) -> None:
    root, folder = Path(urlsplit(store.uri).path), write()
    for room in ("built", "sources"):
        shutil.copytree(folder, root / room / "mine")
        with pytest.raises(ConfigError, match=r"has the folder of data .* among its own objects"):
            opener.open(choose(files={"folder": str(root / room / "mine")}), WANTED)
    shutil.copytree(folder, root / "mine")
    snapshot = opener.open(choose(files={"folder": str(root / "mine")}), WANTED)
    assert snapshot.symbols() == ("AAPL",)


def test_a_built_data_set_is_said_to_be_one_and_its_files_are_not_to_be_renamed(
    opener: Opener, store: ObjectStore
) -> None:
    folder = Path(urlsplit(store.uri).path) / "built" / "0a1b2c3d4e5f6071"
    folder.mkdir(parents=True)
    (folder / "rows.parquet").write_bytes(b"PAR1")
    (folder / "manifest.json").write_text('{"recipe": {}, "rows_sha256": ""}')
    with pytest.raises(DataError, match="is a data set that `make build` has made") as caught:
        opener.open(choose(files={"folder": str(folder)}), WANTED)
    assert f"make run DATA={folder}." in str(caught.value)
    assert "rename" not in str(caught.value)
    (folder / "manifest.json").write_text('{"name": "of somebody else"}')
    with pytest.raises(ConfigError, match="among its own objects"):
        opener.open(choose(files={"folder": str(folder)}), WANTED)
