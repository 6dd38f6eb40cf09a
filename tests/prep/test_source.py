"""From a folder as people have it to rows: what submit freezes and prep reads, in the layouts of other tools."""

import gzip
import json
import os
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fingpt.config import PrepConfig, RunConfig
from fingpt.errors import ConfigError, DataError, FingptError, MissingInputError, StorageError
from fingpt.prep.importer import import_rows
from fingpt.prep.source import noted, read_rows
from fingpt.rows.raw_rows import HINDSIGHT
from fingpt.rows.readers import read_file
from fingpt.runs import freeze as freeze_module
from fingpt.runs.freeze import freeze_source
from fingpt.storage import LocalStore

TRAIN, TEST = range(6), range(8, 11)


def config(source):
    return RunConfig(model="tiny-llama31", prep=PrepConfig(source=str(source)))


@pytest.fixture
def read(store, tmp_path):
    """Freeze a source, import what it holds, and give back the weeks' periods by split."""

    def go(source, rate=0.0):
        frozen = freeze_source(store, config(source)).prep.source
        assert frozen.startswith("raw/")
        scratch = tmp_path / "scratch" / os.urandom(4).hex()
        imported = import_rows(read_rows(frozen, store, scratch), rate)
        return {split: [row.period for row in rows] for split, rows in imported.rows.items()}

    return go


@pytest.fixture
def rows(row):
    """Rows of the weeks `numbers`."""
    return lambda numbers: [row(number=n) for n in numbers]


@pytest.fixture
def wanted(rows):
    return {
        "train": [each["period"] for each in rows(TRAIN)],
        "test": [each["period"] for each in rows(TEST)],
    }


def table(rows):
    return pa.Table.from_pylist(rows)


def parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(rows), path)


def jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")


def gz(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(json.dumps(each) + "\n" for each in rows).encode()))


def csv_file(path, rows):
    import pandas

    path.parent.mkdir(parents=True, exist_ok=True)
    pandas.DataFrame(rows).to_csv(path)


def arrow(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_stream(path, table(rows).schema) as out:
        out.write_table(table(rows), max_chunksize=2)


def hub_download(folder, rows):
    parquet(folder / "data/train-00000-of-00002.parquet", rows(TRAIN)[:4])
    parquet(folder / "data/train-00001-of-00002.parquet", rows(TRAIN)[4:])
    parquet(folder / "data/test-00000-of-00001.parquet", rows(TEST))
    (folder / "README.md").write_text("---\n---\n")
    (folder / ".cache/huggingface/download").mkdir(parents=True)
    (folder / ".cache/huggingface/download/x.parquet").write_text("a lock")


def flat_shards(folder, rows):
    parquet(folder / "train-00000-of-00002.parquet", rows(TRAIN)[:4])
    parquet(folder / "train-00001-of-00002.parquet", rows(TRAIN)[4:])
    parquet(folder / "test-00000-of-00001.parquet", rows(TEST))


def split_folders(folder, rows):
    jsonl(folder / "train/rows.jsonl", rows(TRAIN))
    jsonl(folder / "test/rows.jsonl", rows(TEST))


def saved_to_disk(folder, rows):
    import datasets

    tables = {"train": rows(TRAIN), "test": rows(TEST)}
    made = {name: datasets.Dataset.from_list(part) for name, part in tables.items()}
    datasets.disable_progress_bars()
    datasets.DatasetDict(made).save_to_disk(folder)


def saved_by_hand(folder, rows):
    (folder / "train").mkdir(parents=True)
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    (folder / "train/state.json").write_text("{}")
    arrow(folder / "train/data-00000-of-00002.arrow", rows(TRAIN)[:1])
    arrow(folder / "train/data-00001-of-00002.arrow", rows(TRAIN)[1:])
    arrow(folder / "test/data-00000-of-00001.arrow", rows(TEST))


def spark_folders(folder, rows):
    name = "-2f1c7a0e-77aa-4a55-9d3c-f1f0c0ffee00-c000.snappy.parquet"
    for split, numbers in (("train", TRAIN), ("test", TEST)):
        parquet(folder / f"{split}.parquet/part-00000{name}", rows(numbers)[:2])
        parquet(folder / f"{split}.parquet/part-00001{name}", rows(numbers)[2:])
        (folder / f"{split}.parquet/_SUCCESS").write_text("")
        (folder / f"{split}.parquet/._SUCCESS.crc").write_text("crc")


def mixed_kinds(folder, rows):
    gz(folder / "train.jsonl.gz", rows(TRAIN))
    csv_file(folder / "test.csv", rows(TEST))


def ten_shards(folder, rows):
    for number, each in enumerate([*rows(TRAIN)], start=7):  # 10 comes after 9
        jsonl(folder / f"train_{number}.jsonl", [each])
    jsonl(folder / "test.jsonl", rows(TEST))


def answers_beside(folder, rows):
    """A model's answers lie beside the rows, in columns of their own."""
    parquet(folder / "train.parquet", rows(TRAIN))
    parquet(folder / "test.parquet", rows(TEST))
    answer = {"symbol": "A", "period": "p", "label": "up by 0-1%", "prediction": "x"}
    parquet(folder / "generations/model.parquet", [answer])
    parquet(folder / "test_predictions.parquet", [answer])


@pytest.mark.parametrize(
    "make",
    [
        hub_download,
        flat_shards,
        split_folders,
        saved_to_disk,
        saved_by_hand,
        spark_folders,
        mixed_kinds,
        ten_shards,
        answers_beside,
    ],
)
def test_a_folder_as_a_tool_leaves_it_is_read_by_its_splits(make, read, rows, wanted, tmp_path):
    make(tmp_path / "rows", rows)
    assert read(tmp_path / "rows") == wanted


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("all.parquet", parquet),
        ("all.jsonl", jsonl),
        ("all.ndjson", jsonl),
        ("all.jsonl.gz", gz),
        ("ALL.CSV", csv_file),
        ("all.arrow", arrow),
    ],
)
def test_a_single_file_is_pooled_and_so_is_a_folder_that_holds_it_alone(
    name, write, read, rows, wanted, tmp_path
):
    write(tmp_path / "one" / name, rows(TRAIN))
    assert read(tmp_path / "one" / name) == {"train": wanted["train"]}
    assert read(tmp_path / "one") == {"train": wanted["train"]}


def test_part_files_without_any_split_are_one_pool(read, rows, wanted, tmp_path):
    jsonl(tmp_path / "out/part-00000-a.json", rows(TRAIN)[:3])
    jsonl(tmp_path / "out/part-00001-a.json", rows(TRAIN)[3:])
    (tmp_path / "out/_SUCCESS").write_text("")
    assert read(tmp_path / "out") == {"train": wanted["train"]}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train.parquet", "test.parquet", "extra.parquet"], "not be read: extra.parquet"),
        (["train.parquet", "more/rows.parquet"], "not be read: more/rows.parquet"),
        (["train.parquet", "train.jsonl"], "2 sources of split train: train.jsonl, train.parquet"),
        (["train.parquet", "data/train-00000-of-00001.parquet"], "2 sources of split train"),
        (["train.parquet", "train/rows.parquet"], "2 sources of split train"),
        (["train.parquet", "train-old.parquet"], "2 sources of split train"),
        (["en/train.parquet", "fr/train.parquet"], "2 sources of split train"),
        (["train-00000-of-00003.parquet", "train-00002-of-00003.parquet"], "2 of the 3 shards"),
        (["train.parquet", "train-test.parquet"], "not be read: train-test.parquet"),
        (["a.parquet", "b.parquet"], "2 sources of the rows"),
        (["train/data-00000-of-00001.arrow", "train/cache-1f2e.arrow"], "2 sources of split train"),
        (["train.parquet", "_temporary/0/part-00000.parquet"], "not be read: _temporary"),
    ],
)
def test_a_data_file_that_would_not_be_read_or_counts_twice_stops_submit(
    names, said, store, rows, tmp_path
):
    for name in names:
        write = {".parquet": parquet, ".jsonl": jsonl, ".arrow": arrow}[Path(name).suffix]
        write(tmp_path / "rows" / name, rows(TRAIN))
    with pytest.raises(DataError, match=said):
        freeze_source(store, config(tmp_path / "rows"))
    assert list(store.keys()) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("prices.csv", "symbol,period,close\nAAAA,2024-01-07_2024-01-14,1.5\n"),
        ("test_prices.csv", "symbol,period,close\nAAAA,2024-01-07_2024-01-14,1.5\n"),
        ("metrics.json", '{"accuracy": 0.5}'),
        ("questions.jsonl", '{"prompt": "a", "symbol": "AAAA", "period": "p"}\n'),
    ],
)
def test_a_data_file_with_other_columns_stops_submit_and_is_named(
    name, text, store, rows, tmp_path
):
    parquet(tmp_path / "rows/train.parquet", rows(TRAIN))
    parquet(tmp_path / "rows/test.parquet", rows(TEST))
    (tmp_path / "rows" / name).write_text(text)
    with pytest.raises(DataError, match=name):
        freeze_source(store, config(tmp_path / "rows"))
    assert list(store.keys()) == []


@pytest.mark.parametrize("name", ["test.xlsx", "test.parquet.zst", "test.tsv", "rows.zip"])
def test_a_data_file_of_a_kind_that_is_not_read_stops_submit(name, store, rows, tmp_path):
    parquet(tmp_path / "rows/train.parquet", rows(TRAIN))
    (tmp_path / "rows" / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=f"not be read: {name}"):
        freeze_source(store, config(tmp_path / "rows"))


def text_of(rows):
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows)


def test_utf8_with_a_byte_order_mark_and_crlf_keeps_every_row(read, rows, wanted, tmp_path):
    data = text_of(rows(TRAIN)).replace("\n", "\r\n").encode("utf-8-sig")
    (tmp_path / "train.jsonl").write_bytes(data)
    assert read(tmp_path / "train.jsonl") == {"train": wanted["train"]}


@pytest.mark.parametrize(
    ("name", "encode", "said"),
    [
        ("train.jsonl", lambda text: text.encode("utf-16"), "is UTF-16.*iconv -f UTF-16"),
        ("train.jsonl", lambda text: text.encode("utf-16-le"), "is UTF-16"),
        ("train.jsonl", lambda text: text.encode("utf-32"), "is UTF-32"),
        ("train.csv", lambda text: text.encode("utf-16"), "is UTF-16"),
        ("train.jsonl", lambda text: gzip.compress(text.encode()), "it is gzip; rename it"),
        ("train.jsonl.gz", lambda text: text.encode(), "named as gzip but is not"),
        ("train.jsonl.gz", lambda text: gzip.compress(text.encode())[:-9], "damaged gzip"),
        ("train.jsonl.gz", lambda t: gzip.compress(t.encode("utf-16")), "is UTF-16"),
        ("train.jsonl", lambda text: text.encode("latin-1"), "0xE9 in line 2.*WINDOWS-1252"),
        ("train.jsonl", lambda _: b"PAR1 and so on PAR1", "it is Parquet"),
        ("train.parquet", lambda text: text.encode(), "not a readable parquet"),
        ("train.jsonl", lambda _: b"PK\x03\x04....", "a zip archive"),
        ("train.parquet", lambda _: b"PAR1 and then the copy broke off", "its end is missing"),
        ("train.jsonl", lambda _: b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    ],
)
def test_another_encoding_is_one_sentence_at_submit(name, encode, said, store, rows, tmp_path):
    first, *others = rows(TRAIN)
    text = text_of([first, {**others[0], "answer": "Café\n" + others[0]["answer"]}, *others[1:]])
    (tmp_path / name).write_bytes(encode(text))
    with pytest.raises(DataError, match=said) as caught:
        freeze_source(store, config(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    assert list(store.keys()) == []


def test_rows_as_spreadsheets_and_line_writers_leave_them_are_read(read, rows, wanted, tmp_path):
    import pandas

    table = pandas.DataFrame(rows(TRAIN))
    (tmp_path / "a").mkdir()
    text = "sep=;\r\n" + table.to_csv(sep=";", index=False)
    (tmp_path / "a/train.csv").write_bytes(text.encode("utf-8-sig"))
    (tmp_path / "a/test.csv").write_bytes(table[:0].to_csv().encode())
    assert read(tmp_path / "a") == {"train": wanted["train"]}
    lines = text_of(rows(TRAIN))
    (tmp_path / "train.jsonl").write_text("\n \n" + lines.replace("\n", "\r\n\n"))
    assert read(tmp_path / "train.jsonl") == {"train": wanted["train"]}
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "part-00000-a.json").write_text(lines)
    (parts / "part-00001-a.json").write_text("")  # Spark writes one for an empty partition
    assert read(parts) == {"train": wanted["train"]}


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        (
            "a.json",
            lambda rows: "\n" + json.dumps(rows),
            r"a\.json is one JSON list.* jq -c '.\[\]' a\.json > rows",
        ),
        (
            "a.json",
            lambda rows: "\n".join(json.dumps(each, indent=2) for each in rows),
            r"a\.json is JSON objects over several lines.* jq -c \. a\.json > rows",
        ),
        (
            "a.json",
            lambda rows: json.dumps({key: [each[key] for each in rows] for key in rows[0]}),
            "whole columns.*orient='records', lines=True",
        ),
        (
            "a.json",
            lambda rows: json.dumps(
                {k: {str(n): r[k] for n, r in enumerate(rows * 200)} for k in rows[0]}
            ),
            "whole columns.*orient='records', lines=True",
        ),
        (
            "a.csv",
            lambda rows: pandas_csv(rows, doublequote=False, escapechar="\\"),
            "not readable CSV after row 0 .*written twice",
        ),
        ("a.jsonl", lambda _: "<!DOCTYPE html>\n<html>sign in</html>", "it is an HTML page"),
        ("a.parquet", lambda _: "\n<html>sign in</html>", "parquet file: it is an HTML page"),
        ("a.parquet", lambda _: "", "parquet file: it is empty"),
    ],
)
def test_what_other_programs_write_in_place_of_rows_is_named_with_the_way_out(
    name, write, said, read, rows, tmp_path
):
    given = [{**each, "prompt": each["prompt"].replace("stock", '"stock"')} for each in rows(TRAIN)]
    (tmp_path / name).write_text(write(given))
    with pytest.raises(DataError, match=said):
        read(tmp_path / name)


def pandas_csv(rows, **options):
    import pandas

    return pandas.DataFrame(rows).to_csv(index=False, **options)


def test_a_row_of_chat_messages_is_refused_as_a_row_and_not_as_columns(read, rows, tmp_path):
    chat = [{**each, "prompt": [{"role": "user"}]} for each in rows(TRAIN)]
    (tmp_path / "a.jsonl").write_text(text_of(chat))
    with pytest.raises(DataError, match="column 'prompt' holds list, not text"):
        read(tmp_path / "a.jsonl")


def test_the_marks_that_s3_consoles_put_for_folders_are_no_files(
    store, rows, monkeypatch, tmp_path
):
    class Marked(LocalStore):
        def keys(self, prefix=""):
            yield from ("", "data/", *super().keys(prefix))

    parquet(tmp_path / "bucket/data/train.parquet", rows(TRAIN))
    marked = Marked(tmp_path / "bucket")
    monkeypatch.setattr(freeze_module, "open_store", lambda _: marked)
    assert freeze_source(store, config("s3://bucket")).prep.source.startswith("raw/")
    (tmp_path / "bucket/data/train.parquet").rename(tmp_path / "bucket/notes.txt")
    with pytest.raises(MissingInputError, match=r"no rows, only notes\.txt"):
        freeze_source(store, config("s3://bucket"))


def test_one_json_list_says_how_to_make_lines_of_it(read, rows, tmp_path):
    (tmp_path / "train.json").write_text(json.dumps(rows(TRAIN), indent=1))
    with pytest.raises(DataError, match=r"one JSON list.*jq -c"):
        read(tmp_path / "train.json")


def test_a_folder_of_any_name_is_read_and_one_named_like_hub_rows_never_in_their_place(
    store, rows, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    revision = "a" * 40
    for place in (f"hub:owner/name@{revision}", f"owner/name@{revision}", "owner/name"):
        parquet(tmp_path / place / "train.parquet", rows(TRAIN))
    with pytest.raises(MissingInputError, match=f"make mirror DATA=hub:owner/name@{revision}"):
        freeze_source(store, config(f"hub:owner/name@{revision}"))
    for name in ("Bob's data", "week 1", "100%", "a#b", "häuser"):
        parquet(tmp_path / name / "train.parquet", rows(TRAIN))
        assert freeze_source(store, config(tmp_path / name)).prep.source.startswith("raw/")


@pytest.fixture
def bucket(store, monkeypatch):
    """s3:// is a folder beside the store; the function writes an object into it."""
    inside = freeze_module.open_store
    root = store.uri + "-bucket"
    for place in ("fingpt.runs.freeze.open_store", "fingpt.prep.source.open_store"):
        monkeypatch.setattr(
            place, lambda uri: inside(uri.replace("s3://bucket", root)), raising=False
        )
    return Path(root.removeprefix("file://"))


def test_equal_bytes_are_one_source_however_it_is_spelled(store, rows, bucket, tmp_path):
    parquet(bucket / "rows/train.parquet", rows(TRAIN))
    parquet(bucket / "rows/test.parquet", rows(TEST))
    spellings = ["s3://bucket/rows", "s3://bucket/rows/", "s3://bucket//rows", f"{bucket}/rows"]
    parquet(tmp_path / "elsewhere/train/train-00000-of-00001.parquet", rows(TRAIN))
    parquet(tmp_path / "elsewhere/test/part-00000-x.parquet", rows(TEST))
    frozen = {
        freeze_source(store, config(each)).prep.source
        for each in (*spellings, tmp_path / "elsewhere")
    }
    assert len(frozen) == 1
    assert freeze_source(store, config(*frozen)).prep.source == frozen.pop()


def test_replaced_objects_are_another_source_and_the_frozen_ones_stay(
    store, rows, wanted, bucket, read
):
    parquet(bucket / "rows/train.parquet", rows(TEST))
    first = freeze_source(store, config("s3://bucket/rows")).prep.source
    parquet(bucket / "rows/train.parquet", rows(TRAIN))
    second = freeze_source(store, config("s3://bucket/rows")).prep.source
    assert first != second
    assert read(first) == {"train": wanted["test"]}
    assert read(second) == read("s3://bucket/rows/train.parquet") == {"train": wanted["train"]}


def test_a_bucket_s_folder_is_looked_through_like_any_other(store, rows, bucket):
    parquet(bucket / "rows/data/train-00000-of-00001.parquet", rows(TRAIN))
    parquet(bucket / "rows/extra.parquet", rows(TRAIN))
    with pytest.raises(DataError, match=r"not be read: extra\.parquet"):
        freeze_source(store, config("s3://bucket/rows"))
    with pytest.raises(MissingInputError, match="holds no rows"):
        freeze_source(store, config("s3://bucket/elsewhere"))


def test_an_object_that_is_longer_than_a_file_of_rows_can_be_is_not_copied(
    store, rows, bucket, monkeypatch
):
    parquet(bucket / "rows/train.parquet", rows(TRAIN))
    monkeypatch.setattr(freeze_module, "MAX_TEXT_BYTES", 100)
    with pytest.raises(DataError, match=r"rows/train\.parquet has more than .* cut it"):
        freeze_source(store, config("s3://bucket/rows"))


def test_frozen_files_that_changed_are_refused(store, rows, tmp_path):
    jsonl(tmp_path / "rows/train.jsonl", rows(TRAIN))
    frozen = freeze_source(store, config(tmp_path / "rows")).prep.source
    root = Path(store.uri.removeprefix("file://"))
    for name in ("train.jsonl", "manifest.json"):
        victim = root / frozen / name
        data = victim.read_bytes()
        victim.chmod(0o644)
        victim.write_bytes(data[:-5] + b"?" + data[-4:])
        with pytest.raises(StorageError, match=name):
            list(read_rows(frozen, store, tmp_path / "scratch"))
        victim.write_bytes(data)


def test_prep_reads_frozen_rows_and_nothing_else(store, rows, tmp_path):
    jsonl(tmp_path / "rows/train.jsonl", rows(TRAIN))
    for source in (str(tmp_path / "rows"), "s3://bucket/rows", "hub:owner/name", "sample"):
        with pytest.raises(ConfigError, match="was not frozen"):
            list(read_rows(source, store, tmp_path / "scratch"))
    with pytest.raises(MissingInputError, match="not in"):
        list(read_rows("raw/0123456789abcdef", store, tmp_path / "scratch"))
    for name in ("raw/../x", "raw/xyz"):
        with pytest.raises(ConfigError, match="Source"):
            list(read_rows(name, store, tmp_path / "scratch"))


def test_any_flipped_byte_of_any_kind_of_file_gives_rows_or_a_sentence(rows, tmp_path):
    for name, write in (("a.parquet", parquet), ("a.arrow", arrow), ("a.csv", csv_file)):
        write(tmp_path / name, rows(TRAIN))
        whole = (tmp_path / name).read_bytes()
        for place in range(0, len(whole), max(1, len(whole) // 60)):
            broken = bytearray(whole)
            broken[place] ^= 0x55
            (tmp_path / name).write_bytes(broken)
            with suppress(FingptError):
                import_rows(read_file(tmp_path / name, "train"), 1.0)


def test_a_footer_that_tells_of_hindsight_becomes_a_note_of_every_row(tmp_path):
    names = ("prompt", "answer", "period", "label", "symbol")
    table = pa.table({name: ["x", "y"] for name in names})
    for number, footer in enumerate(({HINDSIGHT: "true"}, {"other": "true"})):
        path = tmp_path / f"train-{number}.parquet"
        pq.write_table(table.replace_schema_metadata(footer), path)
        told = [HINDSIGHT in row.values for row in noted(path, read_file(path, "train"))]
        assert told == [number == 0] * 2


def test_a_damaged_footer_is_the_reader_s_to_name(tmp_path):
    path = tmp_path / "train.parquet"
    path.write_bytes(b"PAR1 damaged PAR1")
    with pytest.raises(DataError, match="not a readable parquet file"):
        list(noted(path, read_file(path, "train")))
