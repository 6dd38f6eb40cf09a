import json
from pathlib import Path

import pytest

from fingpt.config import PrepConfig, RunConfig
from fingpt.errors import ConfigError, DataError, MissingInputError, StorageError, TransientError
from fingpt.prep import source as source_module
from fingpt.prep.source import read_rows
from fingpt.runs.freeze import freeze_source
from fingpt.storage import put


@pytest.fixture
def folder(row, write_parquet, tmp_path) -> Path:
    """Test as JSONL, train as parquet, and files that are no splits."""
    write_parquet([row(number=n) for n in range(4)], "src/train.parquet")
    path = tmp_path / "src"
    (path / "test.jsonl").write_text("\n".join(json.dumps(row(number=n)) for n in range(6, 9)))
    (path / "README.md").write_text("no rows")
    return path


def splits(rows) -> list[tuple[str, int]]:
    return [(found.split, found.line) for found in rows]


WANTED = [
    ("train", 1),
    ("train", 2),
    ("train", 3),
    ("train", 4),
    ("test", 1),
    ("test", 2),
    ("test", 3),
]


def test_a_folder_gives_its_split_files_train_first(folder, store, tmp_path):
    assert splits(read_rows(str(folder), store, tmp_path)) == WANTED


def test_a_single_file_of_any_name_is_pooled_as_train(row, write_parquet, store, tmp_path):
    path = write_parquet([row()], "rows.parquet")
    assert splits(read_rows(str(path), store, tmp_path)) == [("train", 1)]


def test_frozen_files_are_read_back_from_the_store(folder, store, tmp_path):
    config = RunConfig(model="tiny-llama31", prep=PrepConfig(source=str(folder)))
    frozen = freeze_source(store, config).prep.source
    assert frozen.startswith("raw/")
    assert splits(read_rows(frozen, store, tmp_path / "scratch")) == WANTED


def test_frozen_files_that_changed_are_refused(folder, store, tmp_path):
    config = RunConfig(model="tiny-llama31", prep=PrepConfig(source=str(folder)))
    frozen = freeze_source(store, config).prep.source
    root = Path(store.uri.removeprefix("file://"))
    victim = root / frozen / "test.jsonl"
    data = victim.read_bytes()
    victim.chmod(0o644)
    victim.write_bytes(data[:-5] + b"?" + data[-4:])
    with pytest.raises(StorageError, match="was changed"):
        list(read_rows(frozen, store, tmp_path / "scratch"))
    victim.write_bytes(data)
    put(store, f"{frozen}/validation.jsonl", b"{}")
    with pytest.raises(StorageError, match="added"):
        list(read_rows(frozen, store, tmp_path / "scratch"))


def test_another_bucket_is_read_by_prefix_or_by_file(folder, store, tmp_path, monkeypatch):
    for path in sorted(folder.iterdir()):
        put(store, f"rows/{path.name}", path.read_bytes())
    inside = source_module.open_store
    root = store.uri
    monkeypatch.setattr(
        source_module, "open_store", lambda uri: inside(uri.replace("s3://bucket", root))
    )
    assert splits(read_rows("s3://bucket/rows/", store, tmp_path / "a")) == WANTED
    assert splits(read_rows("s3://bucket/rows/test.jsonl", store, tmp_path / "b")) == WANTED[4:]
    with pytest.raises(MissingInputError, match="no split file"):
        list(read_rows("s3://bucket/elsewhere", store, tmp_path / "c"))


def test_sources_that_are_not_there_are_missing_inputs(store, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "rows.csv").write_text("a,b")
    for name in ("nowhere", "empty", "rows.csv"):
        with pytest.raises(MissingInputError, match=name):
            list(read_rows(str(tmp_path / name), store, tmp_path))
    with pytest.raises(MissingInputError, match="no split file"):
        list(read_rows("raw/0123456789abcdef", store, tmp_path / "scratch"))


def test_malformed_names_are_configuration_errors(store, tmp_path):
    for name in ("raw/../x", "raw/xyz", "hub:", "hub:no-owner"):
        with pytest.raises(ConfigError, match="Source"):
            list(read_rows(name, store, tmp_path))


def test_an_unreachable_hub_is_one_transient_sentence(store, tmp_path, monkeypatch):
    import datasets

    def offline(*args, **kwargs):
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub (OfflineModeIsEnabled)")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(TransientError, match="hub cannot be reached for owner/name@v1"):
        list(read_rows("hub:owner/name@v1", store, tmp_path))


def test_the_library_itself_says_so_when_it_may_not_go_out(store, tmp_path):
    """The tests' environment keeps the hub offline, so the whole path runs."""
    with pytest.raises(TransientError, match="hub cannot be reached"):
        list(read_rows("hub:fingpt-jobs/nothing@v1", store, tmp_path))


def test_hub_tables_become_rows(row, drop, store, tmp_path, monkeypatch):
    import datasets

    tables = {
        "test": datasets.Dataset.from_list([row(number=9)]),
        "train": datasets.Dataset.from_list([row(number=n) for n in range(3)]),
    }
    asked = {}

    def load(name, **options):
        asked.update(options, name=name)
        return datasets.DatasetDict(tables)

    monkeypatch.setattr(datasets, "load_dataset", load)
    found = list(read_rows("hub:owner/name@abc", store, tmp_path))
    assert splits(found) == [("train", 1), ("train", 2), ("train", 3), ("test", 1)]
    assert found[0].values == row(number=0)
    assert (asked["name"], asked["revision"]) == ("owner/name", "abc")
    tables["train"] = datasets.Dataset.from_list([drop(row(), "answer")])
    with pytest.raises(DataError, match="no column 'answer'"):
        list(read_rows("hub:owner/name@abc", store, tmp_path))
