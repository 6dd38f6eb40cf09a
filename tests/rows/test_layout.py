"""Names alone say which files hold which split; folders with files in them are tests/prep/test_source.py's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingpt.errors import DataError, MissingInputError
from fingpt.rows.layout import find_layout, kind_of, single_file, split_of


def layout(*names):
    return dict(find_layout(names, "here").files)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["dow30-train.parquet", "dow30-test.parquet"], {"train": 1, "test": 1}),
        (["TRAIN.CSV", "Test.csv", "val.csv"], {"train": 1, "validation": 1, "test": 1}),
        (["default/train/0000.parquet", "default/test/0000.parquet"], {"train": 1, "test": 1}),
        (["latest.parquet"], {"train": 1}),
        (["train_1.csv", "train_2.csv"], {"train": 2}),
        (["train-1-of-2.csv", "train-2-of-2.csv"], {"train": 2}),
        (["train/AAPL.jsonl", "train/MSFT.jsonl"], {"train": 2}),
        (["train.jsonl", "README.md", "LICENSE", "notes.txt", "logo.png"], {"train": 1}),
        (["train.jsonl", "train.py", "test.ipynb", "train.log", "test.jsonl.sha256"], {"train": 1}),
        (["train.parquet", "train.parquet.dvc", "data.dvc"], {"train": 1}),
        ([f"train_{'9' * 5000}.csv", "train_2.csv"], {"train": 2}),
    ],
)
def test_each_name_has_its_split(names, wanted):
    assert {split: len(files) for split, files in layout(*names).items()} == wanted


def test_frozen_names_say_split_place_and_kind_and_nothing_else():
    found = find_layout(
        ["x/train-00000-of-00002.NDJSON", "x/train-00001-of-00002.NDJSON", "test.csv.gz"], "here"
    )
    assert [name for name, _ in found.frozen_names()] == [
        "train-00000-of-00002.jsonl",
        "train-00001-of-00002.jsonl",
        "test.csv.gz",
    ]
    assert [split_of(name) for name, _ in found.frozen_names()] == ["train", "train", "test"]
    assert single_file("all.JSON").frozen_names() == [("train.jsonl", "all.JSON")]
    assert single_file("dow30_test.parquet").files == {"test": ("dow30_test.parquet",)}


def test_many_shards_are_read_in_the_order_of_their_numbers():
    (names,) = layout(*(f"train_{number}.csv" for number in (10, 9, 100, 1))).values()
    assert names == ("train_1.csv", "train_9.csv", "train_10.csv", "train_100.csv")


def test_nothing_that_is_read_is_said_with_what_is_there():
    with pytest.raises(MissingInputError, match=r"holds no rows, only README\.md"):
        layout("README.md", ".hidden.parquet")
    with pytest.raises(MissingInputError, match=r"rows\.xlsx is no file of rows"):
        single_file("rows.xlsx")


def test_what_a_saved_data_set_keeps_for_itself_is_not_read():
    saved = ["train/data-00000-of-00001.arrow", "train/state.json", "train/dataset_info.json"]
    caches = ["train/cache-8544e9c5e772a554.arrow", "train/cache-8544e9c5_00000_of_00002.arrow"]
    assert layout(*saved, *caches, "Thumbs.db") == {"train": (saved[0],)}
    with pytest.raises(DataError, match="2 sources of split train"):
        layout(saved[0], caches[0])  # nothing says who wrote these


def test_a_source_that_is_partitioned_by_folders_names_the_column_that_no_file_holds():
    names = [f"train/symbol={symbol}/part-0.parquet" for symbol in ("AAAA", "BBBB")]
    with pytest.raises(DataError, match=r"is partitioned: train/symbol=AAAA.* value of 'symbol'"):
        layout(*names, "test.parquet")


@pytest.mark.parametrize(
    "name", ["test.txt", "test", "test.csv.old", "test.jsonl~", "test-00000-of-00001", "val.html2"]
)
def test_a_file_that_a_split_names_is_data_whatever_its_ending(name):
    with pytest.raises(DataError, match=f"would not be read: {name}"):
        layout("train.jsonl", name)


@pytest.mark.parametrize(
    ("name", "folder", "own"),
    [
        ("eval/train.csv", "test", "train"),
        ("train/AAPL-val.jsonl", "train", "validation"),
        ("train.parquet/test-00000-of-00001.parquet", "train", "test"),
    ],
)
def test_a_file_whose_folder_says_another_split_than_its_name_is_refused(name, folder, own):
    with pytest.raises(
        DataError, match=f"holds {name}, whose folder says {folder} and whose name says {own}"
    ):
        layout(name, "test.csv")


def test_shards_whose_numbers_repeat_are_refused():
    names = ["train-0-of-2.csv", "train-00-of-2.csv", "train-1-of-2.csv"]
    with pytest.raises(DataError, match=r"3 files for 2 shards, train-0-of-2\.csv, train-00-of-2"):
        layout(*names)


_PARTS = st.sampled_from(
    "train test val data x part-00000-a train-00000-of-00002 train-00001-of-00002 rows_1 rows_2 cache-1".split()
)
_ENDS = st.sampled_from(".parquet .jsonl .csv.gz .arrow .xlsx .md .zip".split())
_FILES = st.lists(
    st.tuples(st.lists(_PARTS, min_size=1, max_size=3), _ENDS).map(lambda t: "/".join(t[0]) + t[1]),
    max_size=6,
    unique=True,
)


@given(_FILES)
def test_every_data_file_is_read_once_or_the_source_is_refused(names):
    try:
        found = find_layout(names, "here")
    except (DataError, MissingInputError):
        return
    read = [name for files in found.files.values() for name in files]
    assert sorted(read) == sorted(name for name in names if not name.endswith(".md"))
    assert len({kind_of(name) for name in found.files.get("train", ())}) <= 1
    assert len({name for name, _ in found.frozen_names()}) == len(read)
