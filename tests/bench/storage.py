"""Downloads and uploads of one large file beside boto3's own, at a server on this machine.

    python -m tests.bench.storage FOLDER [--files 4] [--gib 2] [--times 3]

measures files as large as shards of weights, beside obstore's bare ranges as well; FOLDER has to hold them twice, and
should be in memory where the disk is slow. Prints a table and a line of JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import boto3
import obstore
from obstore.store import S3Store as BareStore

from fingpt.record import FileRef, sha256_file
from fingpt.storage import download_tree, upload_tree
from fingpt.storage.s3 import S3Store
from fingpt.storage.s3_client import make_client
from tests import s3_servers
from tests.bench.lines import TIMES, Line, alternate, line, table
from tests.bench.paths import a_folder

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BUCKET = "bench"
_RANGE = 8 << 20
_BYTES = 128 << 20
_SERVERS = {"FINGPT_VERSITYGW": s3_servers.versitygw, "FINGPT_MINIO": s3_servers.minio}


def server() -> str:
    """The variable that names a server's program here; empty where none does."""
    return next((name for name in _SERVERS if os.environ.get(name)), "")


def storage_lines(folder: Path) -> Iterator[Line]:
    """GB/s of one file of 128 MiB, and of four of them at once, as weights come.

    A download of ours is verified, the peer's is not; the peer takes four files in turn, as its users do. An upload of
    ours is hashed before, for its record, and read again after, because its parts go without checksums; with the
    peer's the same is done by hand.
    """
    source, target, number = folder / "source", folder / "target", count()
    piece = os.urandom(1 << 20)
    with source.open("wb") as file:
        for index in range(_BYTES >> 20):
            file.write(index.to_bytes(8, "big") + piece[8:])
    with ExitStack() as stack:
        plain, store, _ = _clients(stack, folder)
        refs = [store.upload(source, name) for name in ("file", "file-b", "file-c", "file-d")]
        sha256 = refs[0].sha256
        cores = len(os.sched_getaffinity(0))

        def all_four() -> None:
            download_tree(store, "", refs, folder / "four")
            shutil.rmtree(folder / "four")

        def drop(name: str) -> None:
            plain.delete_object(Bucket="bench", Key=name)

        def ours_up() -> None:
            name = f"file-{next(number)}"
            store.upload(source, name)
            drop(name)

        def plain_up() -> None:
            name = f"file-{next(number)}"
            wanted = sha256_file(source)
            plain.upload_file(str(source), "bench", name)
            digest = hashlib.sha256()
            with closing(plain.get_object(Bucket="bench", Key=name)["Body"]) as body:
                for part in body.iter_chunks(1 << 20):
                    digest.update(part)
            assert digest.hexdigest() == wanted
            drop(name)

        gigabytes, limit = _BYTES / 1e9, _hash_rate(piece)
        yield line(
            "download of one file, verified; peer: boto3's download_file, unverified",
            "GB/s",
            alternate(
                gigabytes,
                lambda: store.download("file", target, sha256),
                lambda: plain.download_file("bench", "file", str(target)),
            ),
            limit,
        )
        yield line(
            "download of four files, verified; peer: boto3's download_file in turn, unverified",
            "GB/s",
            alternate(
                len(refs) * gigabytes,
                all_four,
                lambda: [plain.download_file("bench", ref.name, str(target)) for ref in refs],
            ),
            limit * min(cores, len(refs)),
        )
        yield line(
            "upload of one file, hashed and read again; peer: boto3's upload_file, the same done",
            "GB/s",
            alternate(gigabytes, ours_up, plain_up),
            limit,
        )


def large_lines(folder: Path, files: int, size: int, times: int) -> Iterator[Line]:
    """GB/s of `files` files of `size` bytes at once into a folder, as the weights of a base come, and out of one.

    Needs a server that shows a folder's files (versitygw): they are laid there, and looked at there.
    """
    with ExitStack() as stack:
        plain, store, endpoint = _clients(stack, folder)
        there = folder / "data" / _BUCKET
        refs = _laid(there, files, size)
        bare = BareStore(
            _BUCKET,
            endpoint=endpoint,
            access_key_id=s3_servers.ACCESS_KEY,
            secret_access_key=s3_servers.SECRET_KEY,
            region="us-east-1",
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )
        target = folder / "target"

        def ours() -> None:
            download_tree(store, "", refs, target)

        def theirs() -> None:
            for ref in refs:
                plain.download_file(_BUCKET, ref.name, str(target / ref.name))

        def ranges() -> None:
            _in_ranges(bare, refs, target)

        def checked() -> None:
            ranges()
            _sha256s(target, refs)

        ways: dict[str, Callable[[], None]] = {
            "ours": ours,
            "boto3's download_file in turn, unverified": theirs,
            "obstore's bare ranges in 16 threads, unverified": ranges,
            "the same, then sha256 of each file": checked,
        }
        limit = _hash_rate(os.urandom(1 << 20)) * min(files, len(os.sched_getaffinity(0)))
        what = f"{files} files of {size / 2**30:g} GiB"
        target.mkdir()
        rates = _in_turn(ways, target, refs, times)
        yield from _large(f"download of {what}, verified", rates, limit)
        for ref in refs:
            (there / ref.name).rename(target / ref.name)
        rates = _in_turn(_uploads(plain, store, bare, target, refs), there, refs, times)
        yield from _large(f"upload of {what}, hashed before", rates, limit)


def _large(title: str, rates: dict[str, list[float]], limit: float) -> Iterator[Line]:
    made = rates.pop("ours")
    for name, other in rates.items():
        yield line(f"{title}; peer: {name}", "GB/s", (made, other), limit)


def _in_turn(
    ways: dict[str, Callable[[], None]], target: Path, refs: Sequence[FileRef], times: int
) -> dict[str, list[float]]:
    """GB/s of each way to bring the files into the folder `target`, which is looked at and emptied after each."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(times):
        for name, act in ways.items():
            start = time.perf_counter()
            act()
            taken = time.perf_counter() - start
            rates[name].append(sum(ref.size for ref in refs) / 1e9 / taken)
            assert _sha256s(target, refs) == [ref.sha256 for ref in refs], f"{name}: other bytes"
            for path in target.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return rates


def _uploads(
    plain: S3Client, store: S3Store, bare: BareStore, source: Path, refs: Sequence[FileRef]
) -> dict[str, Callable[[], None]]:
    """Ways to bring the files in `source` into the bucket, where each is looked at by whoever measures."""

    def ours() -> None:
        upload_tree(store, source, "")

    def theirs() -> None:
        for ref in refs:
            plain.upload_file(str(source / ref.name), _BUCKET, ref.name)

    def puts() -> None:
        with ThreadPoolExecutor(len(refs)) as pool:
            list(pool.map(lambda ref: obstore.put(bare, ref.name, source / ref.name), refs))

    def checked() -> None:
        _sha256s(source, refs)
        puts()

    return {
        "ours": ours,
        "boto3's upload_file in turn, not hashed": theirs,
        "obstore's put of all at once, not hashed": puts,
        "the same after sha256 of each file": checked,
    }


def _sha256s(folder: Path, refs: Sequence[FileRef]) -> list[str]:
    with ThreadPoolExecutor(len(refs)) as pool:
        return list(pool.map(sha256_file, [folder / ref.name for ref in refs]))


def _clients(stack: ExitStack, folder: Path) -> tuple[S3Client, S3Store, str]:
    """boto3's plain client and our store of an empty bucket of a new server; its address."""
    endpoint = stack.enter_context(_SERVERS[server()](folder))
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": s3_servers.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": s3_servers.SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    stack.enter_context(mock.patch.dict(os.environ, settings))
    plain = boto3.client("s3")
    stack.callback(plain.close)
    plain.create_bucket(Bucket=_BUCKET)
    client = make_client()
    stack.callback(client.close)
    return plain, S3Store(client, _BUCKET), endpoint


def _laid(folder: Path, files: int, size: int) -> list[FileRef]:
    """Files of `size` bytes, no two pieces of them alike."""

    def lay(number: int) -> FileRef:
        path, piece = folder / f"file-{number}", os.urandom(1 << 20)
        with path.open("wb") as file:
            for index in range(size >> 20):
                file.write(index.to_bytes(8, "big") + piece[8:])
        return FileRef(name=path.name, sha256=sha256_file(path), size=size)

    with ThreadPoolExecutor(files) as pool:
        return list(pool.map(lay, range(files)))


def _in_ranges(bare: Any, refs: Sequence[FileRef], target: Path) -> None:
    """What a script of a few lines does: ranges of 8 MiB by 16 threads, written where they belong."""
    wanted = []
    for ref in refs:
        number = os.open(target / ref.name, os.O_WRONLY | os.O_CREAT)
        os.truncate(number, ref.size)
        starts = range(0, ref.size, _RANGE)
        wanted += [(ref.name, number, start, min(_RANGE, ref.size - start)) for start in starts]

    def bring(part: tuple[str, int, int, int]) -> None:
        name, number, start, length = part
        os.pwrite(number, obstore.get_range(bare, name, start=start, length=length), start)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(bring, wanted))
    for number in {part[1] for part in wanted}:
        os.close(number)


def _hash_rate(piece: bytes) -> float:
    """GB/s of sha256 on one core: a file has one stream."""
    start = time.perf_counter()
    digest = hashlib.sha256()
    for _ in range(200):
        digest.update(piece)
    return 200 * len(piece) / 1e9 / (time.perf_counter() - start)


def main() -> None:
    """Measure large files, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=a_folder)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--gib", type=float, default=2.0)
    parser.add_argument("--times", type=int, default=TIMES)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        size = int(asked.gib * 1024) << 20
        lines = list(large_lines(Path(scratch), asked.files, size, asked.times))
    print(f"{table(lines)}\n\n{json.dumps([asdict(each) for each in lines])}", flush=True)


if __name__ == "__main__":
    main()
