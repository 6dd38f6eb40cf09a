import csv
import json
import resource

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fingpt.errors import DataError, MissingInputError
from fingpt.rows import readers
from fingpt.rows.raw_rows import MAX_ROW_BYTES, RawRow, Reason, Reject
from fingpt.rows.readers import read_file


def test_rows_carry_their_line_numbers(row, write_parquet):
    rows = [row(number=n) for n in range(40)]
    found = list(read_file(write_parquet(rows), "train"))
    assert [r.line for r in found] == list(range(1, 41))
    assert [dict(r.values) for r in found] == rows


def test_parquet_and_jsonl_give_the_same_values(row, write_parquet, tmp_path):
    rows = [row(number=n, news="[Headline]: naïve 🚀 ｜") for n in range(3)]
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in rows) + "\n\n", encoding="utf-8")
    parquet = [r.values for r in read_file(write_parquet(rows), "train")]
    assert [r.values for r in read_file(path, "train")] == parquet


def test_every_text_type_of_arrow_is_read(row, tmp_path):
    for kind in (
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.binary(),
    ):
        path = tmp_path / "train.parquet"
        values = {name: [v.encode()] if kind == pa.binary() else [v] for name, v in row().items()}
        pq.write_table(pa.table({n: pa.array(v, kind) for n, v in values.items()}), path)
        (found,) = read_file(path, "train")
        assert found.values == row()


def test_a_missing_file_is_a_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match=r"nowhere\.parquet"):
        list(read_file(tmp_path / "nowhere.parquet", "train"))


def test_a_corrupt_parquet_file_is_one_sentence(row, write_parquet, tmp_path):
    junk = tmp_path / "junk.parquet"
    junk.write_bytes(b"not parquet at all")
    whole = write_parquet([row(number=n) for n in range(30)])
    data = whole.read_bytes()
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(data[: len(data) // 2])
    empty = tmp_path / "empty.parquet"
    empty.write_bytes(b"")
    for path in (junk, cut, empty):
        with pytest.raises(DataError, match=f"{path.name} is not a readable parquet file") as told:
            list(read_file(path, "train"))
        assert "\n" not in str(told.value)


def test_damage_inside_a_parquet_file_never_escapes_as_a_traceback(row, write_parquet, tmp_path):
    data = write_parquet([row(number=n) for n in range(30)]).read_bytes()
    refused = 0
    for place in range(4, len(data), max(1, len(data) // 60)):
        path = tmp_path / "flipped.parquet"
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            list(read_file(path, "train"))
        except DataError:
            refused += 1
    assert refused


def test_a_missing_column_names_it_and_the_columns_seen(row, drop, write_parquet):
    path = write_parquet([drop(row(), "label")])
    with pytest.raises(
        DataError, match=r"no column 'label' \(columns seen: prompt, answer, period, symbol\)"
    ):
        list(read_file(path, "train"))


def test_a_column_that_is_not_text_is_refused(row, tmp_path):
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({**{n: [v] for n, v in row().items()}, "label": [3]}), path)
    with pytest.raises(DataError, match="column 'label' holds int64"):
        list(read_file(path, "train"))


def test_a_text_file_has_one_encoding_and_a_value_of_a_table_spoils_its_row_only(row, tmp_path):
    lines = [json.dumps(row()).encode(), b'{"prompt": "\xff\xfe"}', json.dumps(row()).encode()]
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match="not UTF-8: byte 0xFF in line 2"):
        list(read_file(path, "train"))
    binary = tmp_path / "train.parquet"
    columns = {name: pa.array([value.encode()], pa.binary()) for name, value in row().items()}
    pq.write_table(pa.table({**columns, "answer": pa.array([b"\xff"], pa.binary())}), binary)
    (found,) = read_file(binary, "train")
    assert found.values["answer"] == b"\xff"


def test_lines_that_are_no_json_objects_are_rejected_with_their_line(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n[1]\n{oops\n' + b"[" * 100_000 + b"\n\n7")
    found = list(read_file(path, "train"))
    assert isinstance(found[0], RawRow)
    assert [(r.line, r.reason) for r in found[1:]] == [
        (line, Reason.NOT_JSON) for line in (2, 3, 4, 6)
    ]


def test_a_line_with_half_a_character_in_a_column_that_is_read_is_rejected(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"prompt": "\\ud800"}\n{"other": "\\ud800"}\n')
    first, second = read_file(path, "train")
    assert (first.line, first.reason) == (1, Reason.NOT_UTF8)
    assert isinstance(second, RawRow)


def test_an_answer_of_ten_megabytes_is_rejected_and_reading_goes_on(row, write_parquet, tmp_path):
    rows = [row(), {**row(), "answer": "x" * 10_000_000}, row()]
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in rows))
    for source in (path, write_parquet(rows)):
        first, second, third = read_file(source, "train")
        assert isinstance(second, Reject)
        assert (second.line, second.reason) == (2, Reason.ROW_TOO_LARGE)
        assert str(MAX_ROW_BYTES) in second.detail
        assert isinstance(first, RawRow)
        assert isinstance(third, RawRow)
        assert third.line == 3


def test_csv_is_read_with_its_line_breaks_quotes_and_any_of_three_delimiters(row, tmp_path):
    rows = [row(number=n, news='[Headline]: "Orders", they said; up\r\nby\t12%') for n in range(3)]
    for delimiter in ",;\t":
        path = tmp_path / "train.csv"
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, ["", *rows[0]], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
        assert [found.values for found in read_file(path, "train")] == rows


def test_a_csv_row_with_fields_too_many_is_rejected_and_an_open_quote_ends_the_file(row, tmp_path):
    path = tmp_path / "train.csv"
    header = ",".join(row())
    path.write_text(f"{header}\na,b,c,d,e\na,b,c\n\nx,y,z,u,v,w\n", encoding="utf-8")
    first, *others = read_file(path, "train")
    assert isinstance(first, RawRow)
    assert [(found.line, found.reason) for found in others] == [
        (2, Reason.NOT_CSV),
        (3, Reason.NOT_CSV),
    ]
    path.write_text(f'{header}\na,b,c,d,e\na,"b,c,d,e\n', encoding="utf-8")
    with pytest.raises(DataError, match="not readable CSV after row 1"):
        list(read_file(path, "train"))
    path.write_text("prompt,answer\na,b\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no column 'period' \(columns seen: prompt, answer\)"):
        list(read_file(path, "train"))


def test_a_small_file_that_unpacks_to_gigabytes_is_read_row_by_row(row, tmp_path):
    """One value of 48 MiB, repeated 40 times: 1.9 GB in a file of a few kilobytes."""
    path = tmp_path / "train.parquet"
    huge = pa.DictionaryArray.from_arrays(
        pa.array([0] * 40, pa.int32()), pa.array(["x" * (48 << 20)])
    )
    table = pa.table({**{name: [value] * 40 for name, value in row().items()}, "answer": huge})
    pq.write_table(table, path, compression="zstd", write_statistics=False)
    assert path.stat().st_size < 200_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = list(read_file(path, "train"))
    assert {type(each) for each in found} == {Reject}
    assert len(found) == 40
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10


def test_a_table_whose_footer_speaks_of_too_much_is_refused_before_it_is_read(
    row, write_parquet, monkeypatch
):
    path = write_parquet([row(number=n) for n in range(3)])
    monkeypatch.setattr(readers, "MAX_UNPACKED_BYTES", 100)
    with pytest.raises(DataError, match=r"train\.parquet unpacks to"):
        list(read_file(path, "train"))
