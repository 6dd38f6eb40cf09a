"""A small Parquet file can stand for gigabytes: it is refused by its footer, or while it is counted."""

from __future__ import annotations

import io
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fingpt import parquet
from fingpt.errors import DataError
from fingpt.parquet import check_footer, open_parquet, read_columns


def written(columns: dict, **options) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd", **options)
    return sink.getvalue()


def read(data: bytes, *columns: str) -> dict:
    with open_parquet(data, columns) as file:
        return read_columns(file, "a.parquet", columns)


def repeated(text: str, rows: int) -> bytes:
    """One text in a dictionary, `rows` times."""
    return written(
        {"text": pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [text])}
    )


def test_one_long_text_many_times_is_refused_before_it_is_written_out():
    data = repeated("x" * 1_000_000, 3000)
    assert len(data) < 10_000
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    with pytest.raises(DataError, match=r"a\.parquet announces .* bytes of text where at most"):
        read(data, "text")
    assert tracemalloc.get_traced_memory()[1] < parquet.MAX_TABLE_BYTES + (100 << 20)
    tracemalloc.stop()
    assert pa.total_allocated_bytes() - before < 50 << 20


def test_texts_that_share_beginnings_are_counted_as_they_come(monkeypatch):
    monkeypatch.setattr(parquet, "MAX_TABLE_BYTES", 1 << 20)
    data = written(
        {"text": ["y" * 100_000] * 50},
        use_dictionary=False,
        column_encoding={"text": "DELTA_BYTE_ARRAY"},
    )
    assert len(data) < 10_000
    with pytest.raises(DataError, match="bytes of text"):
        read(data, "text")


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("MAX_ROWS", "announces 100 rows where at most 10 are read; split it"),
        ("MAX_VALUES", "200 values"),
        ("MAX_COLUMNS", "11 columns"),
        ("MAX_GROUP_BYTES", "bytes in one row group"),
    ],
)
def test_what_the_footer_announces_is_limited(monkeypatch, limit, words):
    data = written({f"c{number}": list(range(100)) for number in range(11)})
    monkeypatch.setattr(parquet, limit, 10)
    with pytest.raises(DataError, match=words):
        read(data, "c1", "c2")


def test_many_numbers_of_one_value_are_refused_by_the_footer():
    data = written({"a": pa.array([1.0] * 6_000_000), "b": pa.array([1.0] * 6_000_000)})
    assert len(data) < 100_000
    with pytest.raises(DataError, match="12,000,000 values where at most 10,000,000"):
        read(data, "a", "b")


def test_columns_that_are_not_read_do_not_count(monkeypatch):
    monkeypatch.setattr(parquet, "MAX_GROUP_BYTES", 1000)
    data = written({"a": ["x"] * 3, "huge": ["".join(map(str, range(5000)))] * 3})
    with open_parquet(data, ["a"]) as file:
        check_footer(file, "a.parquet", ["a"])


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"row_group_size": 7}])
def test_values_come_as_they_were_written(options):
    columns = {
        "a": ["x", None, "Zürich", "x"] * 50,
        "n": [1.5, None] * 100,
        "l": [[1], [2, 3]] * 100,
    }
    assert read(written(columns, **options), *columns) == columns
