"""One rule of what a key is."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingpt.errors import DataError
from fingpt.storage import check_key, check_prefix


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("a//b", "empty segment"),
        ("a/", "empty segment"),
        ("..", "segment"),
        ("a/../b", "segment"),
        ("./a", "segment"),
        (".aside/x", "aside"),
        ("a\\b", "backslash"),
        ("a\0b", "NUL"),
        ("a\nb", "cannot be printed"),
        ("a\x1b[31m", "cannot be printed"),
        ("a\ud800b", "cannot be printed"),
        ("a\u202eb", "cannot be printed"),
        ("é" * 128, "longer than 255"),
        ("/".join(["a" * 200] * 5), "longer than 900"),
    ],
)
def test_a_hostile_key_is_refused_with_its_fault(key, fault):
    with pytest.raises(DataError, match=fault) as caught:
        check_key(key)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "key", ["a", "runs/a-1/run.json", "models/x/Y@z/a b.json", "é" * 127, "..a/.b/c..", "a/.aside"]
)
def test_a_plain_key_is_taken(key):
    assert check_key(key) == key


@settings(database=None)
@given(st.text(alphabet="./a\\\0é"))
def test_what_passes_stays_below_any_folder(key):
    try:
        check_key(key)
    except DataError:
        return
    assert posixpath.normpath(f"/folder/{key}") == f"/folder/{key}"


@pytest.mark.parametrize("prefix", ["", "runs", "runs/", "runs/a/ru"])
def test_a_prefix_may_end_anywhere(prefix):
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["/", "../", "a//", "a\\"])
def test_a_prefix_of_no_key_is_refused(prefix):
    with pytest.raises(DataError):
        check_prefix(prefix)
