"""Deleters list with size and age and delete what is named, the same way in a folder and in a bucket."""

from __future__ import annotations

import pytest

from fingpt.errors import DataError
from fingpt.storage.deleting import LocalDeleter, S3Deleter, open_deleter


@pytest.fixture
def pair(lab):
    """A store and its deleter."""
    if lab.client is None:
        return lab.store, open_deleter(lab.store)
    return lab.store, S3Deleter(lab.client, lab.bucket, "some/prefix")


def test_what_lies_under_a_prefix_is_found_with_size_and_age(pair):
    store, deleter = pair
    for key in ("a/1", "a/2", "b/1"):
        store.create(key, b"12345")
    found = list(deleter.objects("a/"))
    assert [each.key for each in found] == ["a/1", "a/2"]
    assert all(each.size == 5 for each in found)
    assert all(0 <= each.age < 60 for each in found)


def test_only_what_is_named_is_deleted(pair):
    store, deleter = pair
    for key in ("a/1", "a/2"):
        store.create(key, b"x")
    deleter.delete("a/1")
    deleter.delete("a/1")  # not there any more: fine
    assert list(store.keys("a/")) == ["a/2"]


def test_a_key_cannot_leave_the_store(pair):
    _, deleter = pair
    with pytest.raises(DataError):
        deleter.delete("../outside")


def test_listing_goes_over_pages(pair, monkeypatch):
    store, deleter = pair
    if isinstance(deleter, LocalDeleter):
        pytest.skip("A folder has no pages.")
    listing = deleter._client.list_objects_v2
    monkeypatch.setattr(
        deleter._client, "list_objects_v2", lambda **options: listing(**options, MaxKeys=2)
    )
    for number in range(5):
        store.create(f"a/{number}", b"x")
    assert [each.key for each in deleter.objects("a/")] == [f"a/{n}" for n in range(5)]


def test_a_folder_that_became_empty_goes_too(tmp_path):
    from fingpt.storage import LocalStore

    store = LocalStore(tmp_path / "store")
    store.create("a/b/c", b"x")
    store.create("a/d", b"x")
    LocalDeleter(tmp_path / "store").delete("a/b/c")
    assert not (tmp_path / "store/a/b").exists()
    assert (tmp_path / "store/a/d").exists()
