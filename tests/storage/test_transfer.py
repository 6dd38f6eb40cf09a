"""Trees whose names, folders or files are not what they should be."""

from __future__ import annotations

import threading
import time

import pytest

from fingpt.errors import DataError, MissingInputError, StorageError
from fingpt.record import FileRef, sha256_bytes
from fingpt.storage import LocalStore, download_tree, transfer, upload_tree


@pytest.fixture
def local(tmp_path):
    return LocalStore(tmp_path / "store")


def ref(name: str, data: bytes = b"x") -> FileRef:
    return FileRef(name=name, size=len(data), sha256=sha256_bytes(data))


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "a\\b", "", "."])
def test_a_record_cannot_write_outside_of_its_folder(local, tmp_path, name):
    local.create("evil", b"x")
    with pytest.raises(DataError, match="object key"):
        download_tree(local, "", [ref("evil"), ref(name)], tmp_path / "in" / "deep")
    assert not (tmp_path / "in").exists()


def test_a_record_cannot_name_one_file_twice(local, tmp_path):
    composed, decomposed = "caf\u00e9.txt", "cafe\u0301.txt"
    with pytest.raises(DataError, match="names one file twice"):
        download_tree(local, "p", [ref(composed), ref(decomposed)], tmp_path / "in")


def test_a_folder_that_is_not_there_cannot_be_uploaded(local, tmp_path):
    with pytest.raises(MissingInputError, match="absent is not a folder"):
        upload_tree(local, tmp_path / "absent", "p")


def test_an_empty_folder_is_an_empty_tree(local, tmp_path):
    (tmp_path / "empty").mkdir()
    assert upload_tree(local, tmp_path / "empty", "p") == ()
    download_tree(local, "p", (), tmp_path / "in")


def test_files_that_are_there_with_the_right_bytes_are_not_fetched(local, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    for name in "abc":
        (tmp_path / "out" / name).write_bytes(name.encode())
    files = upload_tree(local, tmp_path / "out", "p")
    download_tree(local, "p", files, tmp_path / "in")
    (tmp_path / "in" / "b").write_bytes(b"!")
    fetched = []
    monkeypatch.setattr(local, "download", lambda key, path, sha256: fetched.append(key))
    download_tree(local, "p", files, tmp_path / "in")
    assert fetched == ["p/b"]


def test_the_first_failure_stops_what_has_not_started(local, tmp_path, monkeypatch):
    started = []

    def refuse(key, path, sha256):
        started.append(key)
        time.sleep(
            0.02
        )  # as long as a request takes, so that the failure is seen before all had their turn
        raise StorageError(f"{key} is corrupt.")

    monkeypatch.setattr(local, "download", refuse)
    with pytest.raises(StorageError, match="is corrupt"):
        download_tree(local, "p", [ref(str(n)) for n in range(500)], tmp_path / "in")
    assert len(started) < 500


def test_as_many_files_come_at_once_as_cores_can_verify_and_eight_go(local, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "_DOWNLOADS", 12)
    together = threading.Barrier(12)  # passed by twelve at a time alone
    monkeypatch.setattr(local, "download", lambda *_: together.wait(10))
    download_tree(local, "p", [ref(str(n)) for n in range(24)], tmp_path / "in")

    (tmp_path / "out").mkdir()
    for number in range(16):
        (tmp_path / "out" / str(number)).write_bytes(b"x")
    together, under_way, most = threading.Barrier(8), [], []

    def store(path, key):
        under_way.append(key)
        together.wait(10)
        most.append(len(under_way))
        together.wait(10)
        under_way.remove(key)
        return ref(path.name)

    monkeypatch.setattr(local, "upload", store)
    upload_tree(local, tmp_path / "out", "p")
    assert max(most) == 8


def test_links_to_files_are_stored_as_files(local, tmp_path):
    (tmp_path / "blob").write_bytes(b"weights")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").symlink_to(tmp_path / "blob")
    (file,) = upload_tree(local, tmp_path / "snapshot", "models/x")
    assert (file.name, file.sha256) == ("model.safetensors", sha256_bytes(b"weights"))
    assert local.read("models/x/model.safetensors") == b"weights"
