"""How a file's bytes are to be read, decided once for the whole file: UTF-8 text, gzip of it, Parquet, Arrow.

Anything else is one sentence that says what the file is and what to do. No library is needed, so that submit can look.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from pathlib import Path
from shlex import quote
from typing import IO, cast

from fingpt.errors import DataError

MAX_TEXT_BYTES = 4 << 30
"""Text above 4 GiB, unpacked, is refused: no data set of such a size is trained on here."""

_CHUNK_BYTES = 1 << 20
_SCHEMA_BYTES = 1 << 22
_LINE_BYTES = 1 << 20
_COLUMN = re.compile(rb'\{\s*"[^"]*"\s*:\s*(\{\s*"0"\s*:|\[)')
_ANSWER_COLUMNS = (b"symbol", b"period", b"prediction")
_BOM = codecs.BOM_UTF8
_GZIP = b"\x1f\x8b"
_MAGIC = {
    _GZIP: "gzip",
    b"PAR1": "Parquet",
    b"ARROW1": "an Arrow file",
    b"PK\x03\x04": "a zip archive (or an Excel workbook)",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"SQLite format 3": "an SQLite database",
    b"\x80\x04": "a pickle",
    b"version https://git-lfs": "a Git LFS pointer and not the file itself",
}
_BINARY = {"parquet": (b"PAR1",), "arrow": (b"ARROW1", b"\xff\xff\xff\xff")}
_WIDE = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def check_encoding(path: Path, kind: str, name: str = "") -> None:
    """DataError unless the bytes of `path` are what its `kind` (of `layout.kind_of`) says, in UTF-8 where it is text.

    `name` is what messages call the file.
    """
    name = name or path.name
    with path.open("rb") as file:
        head = file.read(4096)
        file.seek(max(0, path.stat().st_size - 4))
        tail = file.read()
    if kind in _BINARY:
        if not head.startswith(_BINARY[kind]):
            other = "; copy it again, or convert it." if head else ": it is empty; copy it again."
            what = _is(head, name) or other
            raise DataError(f"{name} is not a readable {kind} file{what}")
        if kind == "parquet" and tail != b"PAR1":
            raise DataError(
                f"{name} is not a readable parquet file: its end is missing; copy it again."
            )
        return
    if kind.endswith(".gz") and not head.startswith(_GZIP):
        raise DataError(
            f"{name} is named as gzip but is not{_is(head, name) or '; rename it without .gz.'}"
        )
    if not kind.endswith(".gz") and (what := _is(head, name)):
        raise DataError(f"{name} is no text{what}")
    if kind.endswith(".gz"):
        _refuse_packed(path, name)
    _require_utf8(path, kind, name)
    if kind.startswith("jsonl"):
        _require_lines(path, kind, name)


def open_text(path: Path, kind: str) -> IO[bytes]:
    """The UTF-8 bytes of a text file that `check_encoding` has passed, unpacked and without a byte order mark."""
    opener = gzip.open if kind.endswith(".gz") else open
    file = cast("IO[bytes]", opener(path, "rb"))
    if file.read(len(_BOM)) != _BOM:
        file.seek(0)
    return file


def may_hold_rows(path: Path, kind: str) -> bool:
    """False for what is certainly no rows, by its schema's bytes: answers of a model (the columns that `score` reads).

    Of any other file nobody can say here why it lies among the rows, so it may hold some.
    """
    with path.open("rb") as file:
        if kind == "parquet":
            file.seek(max(0, path.stat().st_size - _SCHEMA_BYTES))
        schema = file.read(_SCHEMA_BYTES)
    if kind.endswith(".gz"):
        try:
            with gzip.open(path, "rb") as text:
                schema = text.read(_SCHEMA_BYTES)
        except (OSError, EOFError, zlib.error):
            return True
    if b"\0" in schema and kind not in _BINARY:
        return True  # UTF-16 or no text at all: for check_encoding to say
    return b"answer" in schema or not all(column in schema for column in _ANSWER_COLUMNS)


def _refuse_packed(path: Path, name: str) -> None:
    """DataError for gzip of what is no text; damage is found by whoever reads all of it."""
    try:
        with gzip.open(path, "rb") as file:
            head = file.read(4096)
    except (OSError, EOFError, zlib.error):
        return
    if head.startswith(_GZIP):
        raise DataError(
            f"{name} is packed twice; unpack it once: gunzip < {quote(name)} > unpacked, and give that its name."
        )
    if what := _is(head, name):
        raise DataError(f"{name} packs no text{what}")


def _convert(command: str, name: str, kind: str, output: str) -> str:
    """The shell command that sends a text file of that `kind` through `command`, and the one that puts what comes of it
    in the old file's place, where a second file beside the first would be read too, or refused.
    """
    then = f"then put it in the old one's place: mv {output} {quote(name)}"
    if kind.endswith(".gz"):
        return f"gunzip < {quote(name)} | {command} | gzip > {output}, {then}"
    return f"{command} {quote(name)} > {output}, {then}"


def _is(head: bytes, name: str) -> str:
    """What the first bytes say the file is, with what to do; empty where they say nothing."""
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return ": it is an HTML page, such as a server's login or error; fetch the file again."
    for magic, what in _MAGIC.items():
        if not head.startswith(magic):
            continue
        if what == "gzip":
            return f": it is gzip; rename it to {name}.gz, or unpack it: gunzip < {quote(name)} > unpacked."
        if what == "Parquet":
            return ": it is Parquet; rename it to end in .parquet."
        return f": it is {what}; bring the rows as .parquet, .jsonl or .csv."
    return ""


def _require_utf8(path: Path, kind: str, name: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, size = 1, 0
    try:
        with gzip.open(path, "rb") if kind.endswith(".gz") else path.open("rb") as file:
            while True:
                chunk = file.read(_CHUNK_BYTES)
                if size == 0:
                    _refuse_wide(chunk, name, kind)
                size += len(chunk)
                if size > MAX_TEXT_BYTES:
                    raise DataError(
                        f"{name} holds more than {MAX_TEXT_BYTES >> 30} GiB of text; cut it into several sources."
                    )
                try:
                    decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as fault:
                    line += fault.object[: fault.start].count(b"\n")
                    raise _not_utf8(fault.object[fault.start], line, name, kind) from None
                if not chunk:
                    return
                line += chunk.count(b"\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise DataError(f"{name} is damaged gzip ({fault}); copy it again.") from None


def _refuse_wide(head: bytes, name: str, kind: str) -> None:
    """DataError for UTF-16 and UTF-32, which Windows' `>` and some editors write, with or without their mark."""
    found = next((what for mark, what in _WIDE.items() if head.startswith(mark)), "")
    sample, order = head[:4096], ""  # iconv knows the order of the bytes by the mark
    if not found and sample.count(0) > len(sample) // 5:
        found = "UTF-16" if sample.count(0) <= len(sample) * 3 // 5 else "UTF-32"
        order = "LE" if sample[1::2].count(0) > sample[::2].count(0) else "BE"
    if found:
        command = _convert(f"iconv -f {found}{order} -t UTF-8", name, kind, "converted")
        raise DataError(
            f"{name} is {found}, UTF-8 is expected; convert it: {command}; or save it again as UTF-8."
        )


def _require_lines(path: Path, kind: str, name: str) -> None:
    """DataError when the first line that is not blank shows JSON that is not one object per line."""
    first = b""
    with open_text(path, kind) as file:
        while not first and (data := file.readline(_LINE_BYTES)):
            first = data.strip()
    if first.startswith(b"["):
        what, how = "one JSON list", "'.[]'"
    elif first == b"{":
        what, how = "JSON objects over several lines", "."
    elif _is_by_columns(first):
        raise DataError(
            f"{name} is one JSON object that holds whole columns, one object per line is expected; write it again, in "
            "pandas with to_json(orient='records', lines=True)."
        )
    else:
        return
    raise DataError(
        f"{name} is {what}, one object per line is expected; convert it: "
        f"{_convert(f'jq -c {how}', name, kind, 'rows.jsonl')}."
    )


def _is_by_columns(line: bytes) -> bool:
    """Whether a line is an object that holds nothing but lists and tables; one that was cut is known by its start."""
    if len(line) == _LINE_BYTES:
        return _COLUMN.match(line) is not None
    try:
        values = json.loads(line) if line.startswith(b"{") else None
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(values, dict)
        and bool(values)
        and all(isinstance(value, dict | list) for value in values.values())
    )


def _not_utf8(byte: int, line: int, name: str, kind: str) -> DataError:
    command = _convert("iconv -f WINDOWS-1252 -t UTF-8", name, kind, "converted")
    return DataError(
        f"{name} is not UTF-8: byte 0x{byte:02X} in line {line}. If it was saved as Latin-1 or Windows-1252, convert "
        f"it: {command}; otherwise it is damaged, copy it again."
    )
