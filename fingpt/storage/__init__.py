"""The object store: create-only writes, verified reads, folders in parallel; a folder or any S3 endpoint.

`open_store(uri)` gives an ObjectStore (protocol.py). boto3 is imported when the first s3:// store is opened.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from fingpt.errors import ConfigError
from fingpt.reading import DATA_BYTES, RECORD_BYTES
from fingpt.record import FileRef, sha256_bytes
from fingpt.storage.cancellation import SIGNALLED
from fingpt.storage.files import TRIES, TooLargeError, conflict, corrupt
from fingpt.storage.keys import check_key, check_prefix
from fingpt.storage.local import LocalStore
from fingpt.storage.probe import probe
from fingpt.storage.protocol import ObjectStore, TransferProgress
from fingpt.storage.proxies import masked
from fingpt.storage.transfer import download_tree, upload_tree

__all__ = [
    "SIGNALLED",
    "LocalStore",
    "ObjectStore",
    "TooLargeError",
    "TransferProgress",
    "check_key",
    "check_prefix",
    "download_tree",
    "open_store",
    "probe",
    "put",
    "read_verified",
    "upload_tree",
]


def open_store(uri: str) -> ObjectStore:
    """The store at `file:///absolute/folder` or `s3://bucket[/prefix]`; nothing is read or written yet.

    Endpoint, region and credentials of S3 come from where boto3 itself looks (AWS_ENDPOINT_URL, AWS_REGION,
    AWS_PROFILE, …). Raises ConfigError on any other form, SetupError on an unusable profile or endpoint address.
    """
    parts = urlsplit(uri)
    if "@" in parts.netloc:
        raise ConfigError(
            f"The store '{masked(uri)}' has a user name or password in its address, which every message and run would "
            "show; leave it out and give the keys as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    if parts.query or parts.fragment:
        raise ConfigError(f"The store '{uri}' has a '?' or '#' part; leave it out.")
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        from fingpt.storage.s3 import S3Store

        return S3Store.connect(parts.netloc, parts.path.strip("/"))
    raise ConfigError(
        f"'{uri}' names no store; write file:///absolute/folder or s3://bucket/prefix."
    )


def put(store: ObjectStore, key: str, data: bytes) -> FileRef:
    """Store `data` under `key`, or verify that the key holds just these bytes; StorageError when it holds others."""
    ref = FileRef(name=key.rpartition("/")[2], size=len(data), sha256=sha256_bytes(data))
    if not store.create(key, data):
        got = sha256_bytes(store.read(key, max(len(data), RECORD_BYTES)))
        if got != ref.sha256:
            raise conflict(f"{store.uri}/{key}", ref.sha256, got)
    return ref


def read_verified(store: ObjectStore, key: str, sha256: str, limit: int = DATA_BYTES) -> bytes:
    """The bytes of `key`, at most `limit`, whose hex sha256 is `sha256`.

    StorageError naming both hashes after three tries, or when there are more bytes.
    """
    got = ""
    for _ in range(TRIES):
        data = store.read(key, limit)
        got = sha256_bytes(data)
        if got == sha256:
            return data
    raise corrupt(f"{store.uri}/{key}", sha256, got)
