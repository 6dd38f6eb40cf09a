"""What only a folder can do wrong: no right, no space, no hard links, a process that is killed halfway."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fingpt.errors import MissingInputError, NoSpaceError, PermissionDeniedError, StorageError
from fingpt.record import sha256_bytes
from fingpt.storage import LocalStore, upload_tree
from fingpt.storage import local as module
from fingpt.storage.deleting import LocalDeleter

NOBODY = 65534


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def objects(store: LocalStore) -> list[str]:
    return list(store.keys())


def leftovers(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and ".aside" in path.parts]


def failing(code: int):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.fixture
def read_only_root() -> Iterator[Path]:
    """A store with one object in folders without write permission; root steps down, as it would not notice."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "store"
        LocalStore(root).create("runs/a/run.json", b"{}")
        folders = [Path(name), root, root / ".aside", root / "runs", root / "runs" / "a"]
        for folder in folders:
            folder.chmod(0o555)
        stepped_down = os.geteuid() == 0
        if stepped_down:
            try:
                os.seteuid(NOBODY)
            except OSError:
                pytest.skip(
                    "This is root and cannot become another user, so no folder is read-only to it."
                )
        yield root
        if stepped_down:
            os.seteuid(0)
        for folder in folders:
            folder.chmod(0o755)


def test_a_read_only_folder_is_permission_denied_and_stays_as_it_was(read_only_root):
    store = LocalStore(read_only_root)
    source = read_only_root / "runs/a/run.json"
    with pytest.raises(PermissionDeniedError, match=f"{read_only_root}/runs/b.*give this user"):
        store.create("runs/b", b"x")
    with pytest.raises(PermissionDeniedError, match=f"{read_only_root}/runs/b"):
        store.upload(source, "runs/b")
    with pytest.raises(PermissionDeniedError, match=f"{read_only_root}/out"):
        store.download("runs/a/run.json", read_only_root / "out", sha256_bytes(b"{}"))
    assert objects(store) == ["runs/a/run.json"]
    assert store.create("runs/a/run.json", b"x") is False
    assert store.read("runs/a/run.json") == b"{}"


def test_an_unreadable_object_is_permission_denied_not_absent(read_only_root):
    store = LocalStore(read_only_root)
    os.seteuid(os.getuid())
    (read_only_root / "runs/a").chmod(0o000)
    (read_only_root / "runs").chmod(0o555)
    if os.getuid() == 0:
        os.seteuid(NOBODY)
    for use in (lambda: store.exists("runs/a/run.json"), lambda: store.read("runs/a/run.json")):
        with pytest.raises(PermissionDeniedError, match=r"runs/a/run\.json"):
            use()


def test_what_lies_in_a_folder_that_may_not_be_looked_into_is_not_called_absent(read_only_root):
    os.seteuid(os.getuid())
    (read_only_root / "runs/a").chmod(0o000)
    (read_only_root / "runs/lost+found").mkdir(mode=0o700)
    if os.getuid() == 0:
        os.seteuid(NOBODY)
    store, deleter = LocalStore(read_only_root), LocalDeleter(read_only_root)
    for listed in (store.keys("runs/"), deleter.objects("runs/")):
        with pytest.raises(PermissionDeniedError, match=r"/runs/a cannot be accessed.*give this"):
            list(listed)
    assert list(store.keys("reports/")) == []


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_refused_link_is_permission_denied_and_leaves_nothing(local, tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "link", failing(code))
    with pytest.raises(PermissionDeniedError, match=r"runs/a/run\.json"):
        local.create("runs/a/run.json", b"x")
    assert objects(local) == leftovers(tmp_path) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_no_space_names_free_and_needed_bytes_and_leaves_nothing(
    local, tmp_path, monkeypatch, code
):
    (tmp_path / "source").write_bytes(b"12345")
    monkeypatch.setattr(os, "fsync", failing(code))
    words = r"No space left for .*runs/a/run\.json: [\d,]+ bytes are free there, 5 bytes are needed"
    with pytest.raises(NoSpaceError, match=words):
        local.create("runs/a/run.json", b"12345")
    with pytest.raises(NoSpaceError, match=words):
        local.upload(tmp_path / "source", "runs/a/run.json")
    assert objects(local) == leftovers(tmp_path) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("A tmpfs cannot be mounted here (that needs root), so no real disk runs full.")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_what_was_there_and_takes_the_next_object_that_fits(tiny_disk, tmp_path):
    store = LocalStore(tiny_disk)
    large = tmp_path / "large"
    large.write_bytes(b"x" * (2 << 20))
    assert store.create("small", b"1")
    with pytest.raises(NoSpaceError, match="2,097,152 bytes are needed"):
        store.create("large", large.read_bytes())
    with pytest.raises(NoSpaceError, match="2,097,152 bytes are needed"):
        store.upload(large, "large")
    assert objects(store) == ["small"]
    assert leftovers(tiny_disk) == []
    assert store.create("next", b"2" * 1000)
    assert store.read("small") == b"1"


def test_a_download_to_a_full_disk_says_so_and_leaves_nothing(tiny_disk, tmp_path, moto_lab):
    data = b"x" * (2 << 20)
    for store in (LocalStore(tmp_path / "store"), moto_lab.store):
        store.create("large", data)
        with pytest.raises(NoSpaceError, match="2,097,152 bytes are needed"):
            store.download("large", tiny_disk / "large", sha256_bytes(data))
        assert list(tiny_disk.iterdir()) == []


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_still_exactly_one_writer_wins(local, tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "link", failing(code))
    looked = module._is_object

    def look_and_dawdle(path):
        found = looked(path)
        time.sleep(0.005)  # time enough for another writer between looking and renaming
        return found

    monkeypatch.setattr(module, "_is_object", look_and_dawdle)
    start = threading.Barrier(16)

    def write(number: int) -> bool:
        start.wait()
        return local.create("runs/a/run.json", str(number).encode())

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(write, range(16)))
    assert won.count(True) == 1
    assert local.read("runs/a/run.json") == str(won.index(True)).encode()
    assert [path.name for path in leftovers(tmp_path)] == ["lock"]


KILLED = """
import os, signal, sys
from pathlib import Path
from fingpt.storage import LocalStore
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
LocalStore(Path(sys.argv[1])).create("runs/a/run.json", b"half")
"""


def test_a_writer_killed_halfway_leaves_no_object_and_no_obstacle(local, tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "store")], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert len(leftovers(tmp_path)) == 1
    assert objects(local) == []
    assert not local.exists("runs/a/run.json")
    assert local.create("runs/a/run.json", b"whole") is True


def test_a_store_below_a_file_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    store = LocalStore(tmp_path / "file" / "store")
    assert not store.exists("a")
    with pytest.raises(StorageError, match=r"file/store: a file is in its way"):
        store.create("a", b"x")


def test_a_key_below_an_object_or_above_one_is_refused(local):
    local.create("a", b"x")
    local.create("b/c", b"x")
    with pytest.raises(StorageError, match="store/a/b"):
        local.create("a/b", b"y")
    for use in (
        lambda: local.create("b", b"y"),
        lambda: local.read("b"),
        lambda: local.exists("b"),
    ):
        with pytest.raises(StorageError, match="is a folder"):
            use()
    assert objects(local) == ["a", "b/c"]


def test_a_store_that_was_never_written_is_empty(local, tmp_path):
    assert objects(local) == []
    assert not local.exists("a")
    with pytest.raises(MissingInputError, match=f"file://{tmp_path}/store has no object a"):
        local.read("a")
    assert not (tmp_path / "store").exists()


def test_a_file_that_changes_while_it_is_stored_is_not_stored(local, tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.write_bytes(b"before")
    whole = module.file_ref

    def hash_then_change(path, key):
        ref = whole(path, key)
        path.write_bytes(b"after!")
        return ref

    monkeypatch.setattr(module, "file_ref", hash_then_change)
    with pytest.raises(StorageError, match="changed while it was stored"):
        local.upload(source, "a")
    assert objects(local) == []


def test_objects_have_the_permissions_that_the_user_gives_files(local, tmp_path):
    local.create("a", b"x")
    (tmp_path / "plain").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b").write_bytes(b"x")
    upload_tree(local, tmp_path / "folder", "tree")
    mode = (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "store/a").stat().st_mode == mode
    assert (tmp_path / "store/tree/b").stat().st_mode == mode


def test_what_cannot_be_made_is_not_said_to_be_unreadable(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"a file is in its way .*; name another"):
        LocalStore(tmp_path / "file").create("a", b"x")
    # As /proc does, and a network drive that has gone.
    monkeypatch.setattr(Path, "mkdir", failing(errno.ENOENT))
    store = LocalStore(tmp_path / "gone")
    for use in (lambda: store.create("a", b"x"), lambda: store.upload(tmp_path / "file", "a")):
        with pytest.raises(
            PermissionDeniedError, match=r"gone: nothing can be written there .*name another"
        ):
            use()
    with pytest.raises(MissingInputError, match="has no object a"):
        store.read("a")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_pipe_or_a_device_is_no_object_and_is_never_opened(local, tmp_path, make):
    local.create("runs/a/run.json", b"{}")
    make(tmp_path / "store" / "runs" / "a" / "pipe")
    assert objects(local) == ["runs/a/run.json"]
    for act in (
        lambda: local.exists("runs/a/pipe"),
        lambda: local.read("runs/a/pipe"),
        lambda: local.copy("runs/a/pipe", tmp_path / "copy", 1 << 20),
        lambda: local.download("runs/a/pipe", tmp_path / "copy", sha256_bytes(b"")),
        lambda: local.create("runs/a/pipe", b"x"),
    ):
        with pytest.raises(StorageError, match="runs/a/pipe is a pipe, a socket or a device"):
            act()


@pytest.mark.parametrize("name", ["d", "d" * 200])
def test_folders_deeper_than_any_key_are_not_walked(local, tmp_path, name):
    local.create("runs/a/run.json", b"{}")
    local.create("runs/d/x", b"1")
    descriptor = os.open(tmp_path / "store" / "runs" / "d", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir(name, dir_fd=descriptor)
        inner = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("below", os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)
    assert objects(local) == ["runs/a/run.json", "runs/d/x"]
    deleter = LocalDeleter(tmp_path / "store")
    assert [each.key for each in deleter.objects("runs/")] == ["runs/a/run.json", "runs/d/x"]
    subprocess.run(["rm", "-rf", tmp_path / "store"], check=True)


@pytest.mark.parametrize(
    ("folder", "kind", "why"),
    [
        ("/proc/x", PermissionDeniedError, "nothing can be written there"),
        ("{file}", StorageError, "a file is in its way"),
        ("{file}/store", StorageError, "a file is in its way"),
    ],
)
def test_a_folder_that_can_be_no_store_is_named_in_one_sentence_without_a_key(
    tmp_path, folder, kind, why
):
    (tmp_path / "file").write_bytes(b"")
    root = Path(folder.format(file=tmp_path / "file"))
    with pytest.raises(kind) as fault:
        LocalStore(root).create("runs/a/run.json", b"x")
    text = str(fault.value)
    assert text.startswith(f"The store cannot be the folder {root}: {why} (")
    assert text.endswith("name another one, such as STORE=./store.")
    assert "run.json" not in text
