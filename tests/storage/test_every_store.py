"""What the rest of the project relies on, shown for each store with the same tests."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.response import StreamingBody

from fingpt.errors import DataError, MissingInputError, StorageError
from fingpt.reading import RECORD_BYTES
from fingpt.record import sha256_bytes
from fingpt.storage import (
    TooLargeError,
    download_tree,
    probe,
    put,
    read_verified,
    upload_tree,
)
from fingpt.storage.files import COPY_BYTES

WRITERS = 16


class Counter:
    """A Progress that adds up."""

    def __init__(self) -> None:
        self.bytes = 0
        self.calls = 0

    def advance(self, n: int = 1) -> None:
        self.bytes += n
        self.calls += 1


class Watched:
    """A body whose every read is at most `most` bytes, or the test fails."""

    def __init__(self, inside, most: int) -> None:
        self.inside, self.most, self.reads = inside, most, 0

    def read(self, amount: int | None = None) -> bytes:
        assert amount is not None
        assert amount <= self.most
        self.reads += 1
        return self.inside.read(amount)

    def __getattr__(self, name: str):
        return getattr(self.inside, name)


def race(store, key: str, bodies: list[bytes]) -> list[bool]:
    start = threading.Barrier(len(bodies))

    def write(body: bytes) -> bool:
        start.wait()
        return store.create(key, body)

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(write, bodies))


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_copy_holds_one_piece_of_the_object_at_a_time(store, tmp_path, monkeypatch):
    data = bytes(range(251)) * 20_000  # five pieces
    store.create("rows/train.csv", data)
    bodies = []

    def watch(inside):
        bodies.append(Watched(inside, COPY_BYTES))
        return bodies[-1]

    plain_open = Path.open
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("read as a whole"))
    monkeypatch.setattr(
        Path,
        "open",
        lambda path, mode="r", *rest: (
            contextlib.closing(watch(plain_open(path, mode, *rest)))
            if mode == "rb" and path.name == "train.csv"
            else plain_open(path, mode, *rest)
        ),
    )
    plain_read = StreamingBody.read

    def read(body, amt=None):
        assert amt is not None
        assert amt <= COPY_BYTES
        bodies.append(body)
        return plain_read(body, amt)

    monkeypatch.setattr(StreamingBody, "read", read)
    ref = store.copy("rows/train.csv", tmp_path / "copy", len(data))
    monkeypatch.undo()
    assert bodies
    assert (tmp_path / "copy").read_bytes() == data
    assert (ref.name, ref.size, ref.sha256) == ("train.csv", len(data), sha256_bytes(data))


def test_a_copy_of_an_object_that_is_too_long_or_not_there_writes_nothing(store, tmp_path):
    store.create("rows/train.csv", b"12345")
    with pytest.raises(TooLargeError, match=r"rows/train\.csv has 5 bytes where at most 4"):
        store.copy("rows/train.csv", tmp_path / "copy", 4)
    with pytest.raises(MissingInputError, match=r"rows/test\.csv"):
        store.copy("rows/test.csv", tmp_path / "copy", 4)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("data", [b"", b"{}", bytes(range(256)) * 5000], ids=["0", "2", "1.28M"])
def test_what_was_created_is_read_back(store, data):
    assert store.create("runs/a/run.json", data) is True
    assert store.read("runs/a/run.json") == data
    assert store.exists("runs/a/run.json")


def test_a_second_create_writes_nothing(store):
    assert store.create("runs/a/run.json", b"first")
    assert store.create("runs/a/run.json", b"second") is False
    assert store.create("runs/a/run.json", b"first") is False
    assert store.read("runs/a/run.json") == b"first"


def test_of_sixteen_racing_writers_exactly_one_wins_and_its_bytes_stay(store):
    for number in range(4):
        key = f"runs/a/commits/{number}.json"
        bodies = [f"writer {writer}".encode() * 100 for writer in range(WRITERS)]
        won = race(store, key, bodies)
        assert won.count(True) == 1
        assert store.read(key) == bodies[won.index(True)]


def test_of_racing_writers_with_equal_bytes_exactly_one_wins(store):
    assert race(store, "runs/a/run.json", [b"same"] * WRITERS).count(True) == 1


def test_what_is_not_there_is_missing_input_that_names_the_key(store):
    assert not store.exists("runs/nowhere/run.json")
    with pytest.raises(MissingInputError, match=r"runs/nowhere/run\.json"):
        store.read("runs/nowhere/run.json")


def test_a_missing_object_is_not_downloaded(store, tmp_path):
    with pytest.raises(MissingInputError, match=r"models/x/a.bin"):
        store.download("models/x/a.bin", tmp_path / "in" / "a.bin", "0" * 64)
    assert not list(tmp_path.glob("in/*"))


def test_keys_are_in_the_order_of_their_bytes_whatever_folders_they_make(store):
    keys = ["a-b", "a/b-c", "a/b/c2", "a0", "z", "é"]
    for key in reversed(keys):
        store.create(key, b"1")
    assert list(store.keys()) == keys


def test_keys_are_listed_in_order_by_prefix(store):
    for key in ["runs/b/run.json", "runs/a/run.json", "runs/a/train/x", "reports/r/a.html"]:
        store.create(key, b"x")
    assert list(store.keys()) == sorted(
        ["reports/r/a.html", "runs/a/run.json", "runs/a/train/x", "runs/b/run.json"]
    )
    assert list(store.keys("runs/a/")) == ["runs/a/run.json", "runs/a/train/x"]
    assert list(store.keys("runs/a/r")) == ["runs/a/run.json"]
    assert list(store.keys("nothing/")) == []


@pytest.mark.parametrize(
    "key", ["models/meta-llama/Llama-3.1-8B@0e9e39f/model.json", "a b/c+d%20e/ä 你好 &=?.txt"]
)
def test_a_key_with_unusual_characters_is_one_and_the_same_everywhere(store, key):
    assert store.create(key, b"x")
    assert store.read(key) == b"x"
    assert list(store.keys()) == [key]


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a//b", "a\\b", "a\0b", ""])
def test_a_hostile_key_is_refused_by_every_operation(store, key, tmp_path):
    source = write(tmp_path / "source", b"x")
    for use in (
        lambda: store.create(key, b"x"),
        lambda: store.read(key),
        lambda: store.exists(key),
        lambda: store.upload(source, key),
        lambda: store.download(key, tmp_path / "out", "0" * 64),
    ):
        with pytest.raises(DataError, match="object key"):
            use()


def test_put_is_repeatable_and_never_replaces_other_bytes(store):
    first = put(store, "datasets/d/manifest.json", b"{}")
    assert first == put(store, "datasets/d/manifest.json", b"{}")
    assert (first.name, first.size, first.sha256) == ("manifest.json", 2, sha256_bytes(b"{}"))
    with pytest.raises(StorageError, match=f"datasets/d/manifest.json.*{sha256_bytes(b'{}')}"):
        put(store, "datasets/d/manifest.json", b"[]")
    assert store.read("datasets/d/manifest.json") == b"{}"


def test_upload_is_repeatable_and_never_replaces_other_bytes(store, tmp_path):
    path = write(tmp_path / "adapter.safetensors", b"weights")
    ref = store.upload(path, "runs/a/train/adapter/adapter.safetensors")
    assert ref == store.upload(path, "runs/a/train/adapter/adapter.safetensors")
    assert (ref.name, ref.size, ref.sha256) == (
        "adapter.safetensors",
        7,
        sha256_bytes(b"weights"),
    )
    write(path, b"others!")
    with pytest.raises(StorageError, match="there already with other bytes"):
        store.upload(path, "runs/a/train/adapter/adapter.safetensors")
    assert store.read("runs/a/train/adapter/adapter.safetensors") == b"weights"


def test_a_file_that_is_not_there_cannot_be_uploaded(store, tmp_path):
    with pytest.raises(MissingInputError, match=r"absent\.bin"):
        store.upload(tmp_path / "absent.bin", "runs/a/absent.bin")
    assert not store.exists("runs/a/absent.bin")


def test_download_verifies_and_leaves_nothing_aside(store, tmp_path):
    store.create("models/x/a.bin", b"weights")
    path = tmp_path / "in" / "deep" / "a.bin"
    store.download("models/x/a.bin", path, sha256_bytes(b"weights"))
    assert path.read_bytes() == b"weights"
    assert list(path.parent.iterdir()) == [path]


def test_a_flipped_bit_is_found_by_every_read_that_knows_the_hash(lab, tmp_path):
    data = b"0123456789" * 1000
    wanted = sha256_bytes(data)
    lab.store.create("models/x/a.bin", data)
    lab.flip_a_bit("models/x/a.bin")
    got = sha256_bytes(lab.store.read("models/x/a.bin"))
    assert got != wanted
    message = f"models/x/a.bin .*wanted sha256 {wanted}, got {got}"
    with pytest.raises(StorageError, match=message):
        read_verified(lab.store, "models/x/a.bin", wanted)
    before = write(tmp_path / "in" / "a.bin", b"what was there")
    with pytest.raises(StorageError, match=message):
        lab.store.download("models/x/a.bin", before, wanted)
    assert before.read_bytes() == b"what was there"
    assert list(before.parent.iterdir()) == [before]


def test_a_flipped_bit_is_found_by_repeating_the_upload(lab, tmp_path):
    path = write(tmp_path / "a.bin", b"0123456789" * 1000)
    lab.store.upload(path, "models/x/a.bin")
    lab.flip_a_bit("models/x/a.bin")
    with pytest.raises(StorageError, match="other bytes"):
        lab.store.upload(path, "models/x/a.bin")


def test_read_verified_gives_the_bytes(store):
    store.create("a", b"bytes")
    assert read_verified(store, "a", sha256_bytes(b"bytes")) == b"bytes"


def test_a_tree_of_sixty_files_goes_up_and_comes_down_whole(store, tmp_path):
    folder = tmp_path / "out"
    for number in range(60):
        write(folder / f"part-{number % 7}" / f"{number}.bin", f"{number} ".encode() * number)
    up, down = Counter(), Counter()
    files = upload_tree(store, folder, "runs/a/train/ckpt/1-x", up)
    assert [ref.name for ref in files] == sorted(ref.name for ref in files)
    assert len(files) == up.calls == 60
    download_tree(store, "runs/a/train/ckpt/1-x", files, tmp_path / "in", down)
    assert up.bytes == down.bytes == sum(ref.size for ref in files)
    for ref in files:
        assert (tmp_path / "in" / ref.name).read_bytes() == (folder / ref.name).read_bytes()
    assert sum(path.is_file() for path in (tmp_path / "in").rglob("*")) == 60


def test_a_tree_can_be_sent_and_brought_again(store, tmp_path):
    write(tmp_path / "out" / "sub" / "a.bin", b"a")
    write(tmp_path / "out" / "b.bin", b"b")
    files = upload_tree(store, tmp_path / "out", "models/x")
    assert files == upload_tree(store, tmp_path / "out", "models/x/")
    download_tree(store, "models/x", files, tmp_path / "in")
    write(tmp_path / "in" / "b.bin", b"!")
    download_tree(store, "models/x", files, tmp_path / "in")
    assert (tmp_path / "in" / "b.bin").read_bytes() == b"b"


def test_one_flipped_bit_in_a_tree_fails_the_whole_download(lab, tmp_path):
    for number in range(10):
        write(tmp_path / "out" / f"{number}.bin", b"0123456789")
    files = upload_tree(lab.store, tmp_path / "out", "models/x")
    lab.flip_a_bit("models/x/7.bin")
    with pytest.raises(StorageError, match=r"models/x/7\.bin"):
        download_tree(lab.store, "models/x", files, tmp_path / "in")
    assert not (tmp_path / "in" / "7.bin").exists()


def test_the_probe_passes_on_a_store_with_conditional_writes(store):
    probe(store)


def test_an_object_that_is_too_long_is_refused_before_it_is_read(store):
    store.create("a", b"0123456789")
    assert store.read("a", 10) == b"0123456789"
    with pytest.raises(StorageError, match="a has 10 bytes where at most 9 are read"):
        store.read("a", 9)
    with pytest.raises(StorageError, match="10 bytes where at most 4"):
        read_verified(store, "a", sha256_bytes(b"0123456789"), 4)


def test_no_more_than_a_record_is_read_unless_asked_for(store):
    store.create("a", bytes(RECORD_BYTES + 1))
    with pytest.raises(StorageError, match="33,554,433 bytes where at most 33,554,432"):
        store.read("a")
    assert len(store.read("a", RECORD_BYTES + 1)) == RECORD_BYTES + 1
