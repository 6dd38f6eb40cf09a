"""Base weights in the site's cache, which outlives the processes that fill it."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from fingpt.errors import PermissionDeniedError
from fingpt.models import spec
from fingpt.record import FileRef, sha256_bytes
from fingpt.storage import LocalStore, put
from fingpt.weights.base import fetch_base, publish_base

MODEL = spec("tiny-llama31")


@pytest.fixture
def store(tmp_path):
    store = LocalStore(tmp_path / "store")
    data = b"weights"
    put(store, f"{MODEL.base_prefix}/model.safetensors", data)
    ref = FileRef(name="model.safetensors", size=len(data), sha256=sha256_bytes(data))
    publish_base(store, MODEL, [ref])
    return store


@pytest.mark.parametrize("name", [".3f.part", ".3f.part.C0ffee12"])
def test_what_a_killed_download_left_goes_after_an_hour_and_no_sooner(store, tmp_path, name):
    folder = fetch_base(store, MODEL, tmp_path / "cache")
    left = folder / name
    left.write_bytes(b"weig")
    fetch_base(store, MODEL, tmp_path / "cache")
    assert left.exists()  # another pod may be writing it
    an_hour_ago = time.time() - 3700
    os.utime(left, (an_hour_ago, an_hour_ago))
    os.utime(folder / "model.safetensors", (an_hour_ago, an_hour_ago))
    fetch_base(store, MODEL, tmp_path / "cache")
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]


def test_a_cache_that_cannot_be_written_is_named_with_its_setting(store, tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionDeniedError, match=r"Read-only file system.*FINGPT_CACHE"):
        fetch_base(store, MODEL, tmp_path / "home" / ".cache")
