"""Store addresses, and what opening one loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fingpt.errors import ConfigError
from fingpt.storage import LocalStore, open_store


def test_a_file_uri_is_a_folder(tmp_path):
    store = open_store((tmp_path / "a b").as_uri())
    assert isinstance(store, LocalStore)
    store.create("x", b"1")
    assert (tmp_path / "a b" / "x").read_bytes() == b"1"
    assert open_store(store.uri).read("x") == b"1"


@pytest.mark.parametrize(
    ("uri", "same"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://b-1/x/y/", "s3://b-1/x/y"),
    ],
)
def test_an_s3_uri_is_a_bucket_and_a_prefix(aws_settings, uri, same):
    aws_settings("http://127.0.0.1:9")
    assert open_store(uri).uri == same


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "store",
        "/abs/folder",
        "file://relative/folder",
        "s3://",
        "s3:bucket",
        "gs://bucket/x",
        "http://x/y",
    ],
)
def test_anything_else_is_refused_with_the_two_forms(uri):
    with pytest.raises(ConfigError, match="file:///absolute/folder or s3://bucket/prefix"):
        open_store(uri)


def test_a_uri_with_a_query_is_refused():
    with pytest.raises(ConfigError, match="leave it out"):
        open_store("s3://bucket/prefix?versionId=1")


def test_a_folder_as_store_loads_no_boto3(tmp_path):
    code = (
        "import sys; from fingpt.storage import open_store; open_store(sys.argv[1]).create('a', b'x'); "
        "sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path.as_uri()]).returncode == 0
