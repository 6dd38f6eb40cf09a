from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fingpt.errors import MissingInputError, StorageError
from fingpt.record import canonical_json
from fingpt.sources.folder import TEMPLATES, look
from fingpt.sources.month import Month
from fingpt.sources.protocol import Answer
from fingpt.sources.raw_store import Kept, Part, RawStore
from fingpt.sources.records import Kind
from fingpt.storage import ObjectStore

AT = datetime(2025, 2, 3, tzinfo=UTC)
PART = Part(source="invented", kind=Kind.NEWS, symbol="AAPL", month="2025-01")
KEY = "sources/index/invented/news/AAPL/2025-01/0001.json"


def answer(body: bytes = b"[]") -> Answer:
    return Answer("invented", Kind.NEWS, "AAPL", Month(2025, 1), "/news?page=1", AT, body)


def keep(store: ObjectStore, *bodies: bytes, at: datetime = AT) -> Kept:
    return RawStore(store).keep(PART, [answer(body) for body in bodies], at, 1)


def path(store: ObjectStore, key: str) -> Path:
    return Path(urlsplit(store.uri).path) / key


def test_a_retrieval_is_found_again_with_its_answers_in_order(store: ObjectStore) -> None:
    kept = keep(store, b"one", b"two")
    assert kept.key == KEY
    assert RawStore(store).newest(PART) == (1, kept)
    found = list(RawStore(store).answers(kept))
    assert found == [answer(b"one"), answer(b"two")]


def test_a_part_of_which_nothing_is_known_is_a_retrieval_too(store: ObjectStore) -> None:
    keep(store)
    count, kept = RawStore(store).newest(PART)
    assert count == 1
    assert kept is not None
    assert kept.retrieval.answers == ()


def test_macro_figures_have_a_place_without_a_symbol() -> None:
    macro = Part(source="bls", kind=Kind.MACRO, symbol="", month="2025-01")
    assert macro.key(2) == "sources/index/bls/macro/_/2025-01/0002.json"
    assert macro.name == "bls//2025-01"


def test_two_that_fetch_at_the_same_time_both_stay(store: ObjectStore) -> None:
    early = datetime(2025, 1, 20, tzinfo=UTC)
    keep(store, b"one", at=early)
    second = keep(store, b"two", at=early + timedelta(seconds=1))
    assert second.key.endswith("0002.json")
    assert keep(store, b"one", at=early).key == KEY
    assert RawStore(store).newest(PART) == (2, second)


def test_the_newest_retrieval_of_a_month_that_was_not_over_counts(store: ObjectStore) -> None:
    keep(store, b"early", at=datetime(2025, 1, 20, tzinfo=UTC))
    late = keep(store, b"late", at=datetime(2025, 1, 31, 23, 59, tzinfo=UTC))
    assert not late.retrieval.covers(Month(2025, 1).end)
    assert late.retrieval.covers(datetime(2025, 1, 31, 21, tzinfo=UTC))
    final = keep(store, b"final", at=Month(2025, 1).end)
    assert final.retrieval.covers(Month(2025, 1).end)
    assert RawStore(store).newest(PART) == (3, final)


@pytest.mark.parametrize("damage", [b"", b"{", b"null", b'{"source": "invented"}', b"\xff"])
def test_a_torn_index_object_is_named_with_what_to_do(store: ObjectStore, damage: bytes) -> None:
    keep(store, b"one")
    path(store, KEY).write_bytes(damage)
    with pytest.raises(StorageError, match=r"0001\.json") as caught:
        RawStore(store).newest(PART)
    assert str(caught.value).endswith("remove it and fetch again.")


def test_an_index_object_of_another_part_is_foreign(store: ObjectStore) -> None:
    kept = keep(store, b"one")
    other = kept.retrieval.model_copy(update={"symbol": "MSFT"})
    path(store, KEY).write_bytes(canonical_json(other))
    with pytest.raises(StorageError, match="speaks of invented/news/MSFT/2025-01"):
        RawStore(store).newest(PART)


def test_an_index_object_that_changed_after_it_was_frozen_is_refused(store: ObjectStore) -> None:
    kept = keep(store, b"one")
    assert RawStore(store).retrieval(kept.key, kept.sha256) == kept
    path(store, KEY).write_bytes(canonical_json(kept.retrieval) + b" ")
    with pytest.raises(StorageError, match=r"0001\.json"):
        RawStore(store).retrieval(kept.key, kept.sha256)


def test_an_answer_that_changed_or_is_gone_is_named(store: ObjectStore) -> None:
    kept = keep(store, b"one")
    sha256 = kept.retrieval.answers[0].sha256
    body = path(store, f"sources/answers/{sha256[:2]}/{sha256}")
    body.write_bytes(b"two")
    with pytest.raises(StorageError, match=sha256):
        list(RawStore(store).answers(kept))
    body.unlink()
    with pytest.raises(MissingInputError, match=f"remove {KEY} and fetch again"):
        list(RawStore(store).answers(kept))


def test_a_folder_is_kept_once_and_comes_back_byte_for_byte(
    store: ObjectStore, tmp_path: Path
) -> None:
    raw, folder = RawStore(store), look(TEMPLATES)
    manifest = raw.keep_folder(folder.path, folder.refs())
    before = list(store.keys("sources/"))
    assert raw.keep_folder(folder.path, folder.refs()) == manifest
    assert list(store.keys("sources/")) == before
    raw.fetch_folder(manifest.digest, tmp_path / "back")
    assert look(tmp_path / "back").refs() == folder.refs()


def test_a_folder_that_was_never_kept_or_was_changed_is_refused(
    store: ObjectStore, tmp_path: Path
) -> None:
    raw, folder = RawStore(store), look(TEMPLATES)
    manifest = raw.keep_folder(folder.path, folder.refs())
    with pytest.raises(MissingInputError, match="import the folder again"):
        raw.fetch_folder("0" * 64, tmp_path / "a")
    key = path(store, f"sources/folders/{manifest.digest}.json")
    fewer = manifest.model_copy(update={"files": manifest.files[:1]})
    key.write_bytes(canonical_json(fewer))
    with pytest.raises(StorageError, match="names other files"):
        raw.fetch_folder(manifest.digest, tmp_path / "b")
