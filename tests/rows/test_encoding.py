"""What a file is by its bytes; the command that a message names gives a file that is read."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess

import pytest

from fingpt.errors import DataError
from fingpt.rows.encoding import check_encoding, open_text

ROWS = "".join(json.dumps({"answer": f"größer {n}"}, ensure_ascii=False) + "\n" for n in range(3))


def refusal(path, kind: str) -> str:
    with pytest.raises(DataError) as caught:
        check_encoding(path, kind, str(path))
    return str(caught.value)


# The message names these two programs, so the test runs them; Linux and macOS have them, a bare container may not.
@pytest.mark.skipif(
    not (shutil.which("iconv") and shutil.which("gunzip")), reason="iconv or gunzip is missing"
)
@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "cp1252"]
)
@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz"])
def test_the_command_that_converts_another_encoding_works(tmp_path, encoding, kind):
    data = ROWS.encode(encoding)
    path = tmp_path / f"Bob's rows.{kind}"
    path.write_bytes(gzip.compress(data) if kind == "jsonl.gz" else data)
    found = re.search(
        r"convert it: (.*? > converted), then put it in the old one's place: (mv converted .*?)[.;]( |$)",
        refusal(path, kind),
    )
    assert found is not None
    subprocess.run(["sh", "-c", f"{found[1]} && {found[2]}"], check=True, cwd=tmp_path)
    check_encoding(path, kind)
    with open_text(path, kind) as text:
        assert text.read().decode() == ROWS
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_packed_list_is_unpacked_by_the_command_that_is_named(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps([{"a": 1}]).encode()))
    assert f"gunzip < {path} | jq -c '.[]' | gzip > rows.jsonl" in refusal(path, "jsonl.gz")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gzip.compress(ROWS.encode(), mtime=0), "is packed twice; unpack it once: gunzip < "),
        (b"<!DOCTYPE html><title>Sign in</title>", "packs no text: it is an HTML page"),
        (b"PAR1 and more", "packs no text: it is Parquet"),
        (b"\x80\x04pickled", "packs no text: it is a pickle"),
    ],
)
def test_gzip_of_what_is_no_text_says_what_it_is(tmp_path, data, said):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(data))
    assert f"{path} {said}" in refusal(path, "jsonl.gz")
