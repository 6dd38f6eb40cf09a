"""Downloads and uploads of one large file beside boto3's own, at a server on this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from unittest import mock

import boto3

from fingpt.record import sha256_file
from fingpt.storage import download_tree
from fingpt.storage.s3 import S3Store
from fingpt.storage.s3_client import make_client
from tests import s3_servers
from tests.bench.lines import Line, alternate, line

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
        plain.create_bucket(Bucket="bench")
        client = make_client()
        stack.callback(client.close)
        store = S3Store(client, "bench")
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


def _hash_rate(piece: bytes) -> float:
    """GB/s of sha256 on one core: a file has one stream."""
    start = time.perf_counter()
    digest = hashlib.sha256()
    for _ in range(200):
        digest.update(piece)
    return 200 * len(piece) / 1e9 / (time.perf_counter() - start)
