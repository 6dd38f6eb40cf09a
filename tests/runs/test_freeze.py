"""Submit freezes bytes: same bytes, same run."""

import json

import pytest

from fingpt.config import RunConfig
from fingpt.errors import MissingInputError, RunConflictError
from fingpt.record import canonical_json
from fingpt.runs.freeze import create_run, freeze_source, source_files
from fingpt.runs.run import Run, run_key


def config(source):
    return RunConfig.model_validate({"model": "tiny-llama31", "prep": {"source": str(source)}})


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "train.jsonl").write_text("{}\n")
    (folder / "test.jsonl").write_text("{}\n{}\n")
    (folder / "notes.txt").write_text("not rows")
    return folder


def test_the_same_rows_in_another_folder_are_the_same_source(store, folder, tmp_path):
    first = freeze_source(store, config(folder))
    other = folder.rename(tmp_path / "elsewhere")
    assert freeze_source(store, config(other)) == first
    assert store.read(f"{first.prep.source}/test.jsonl") == b"{}\n{}\n"


def test_changed_rows_are_another_source(store, folder):
    first = freeze_source(store, config(folder))
    (folder / "test.jsonl").write_text("{}\n")
    assert freeze_source(store, config(folder)).prep.source != first.prep.source


@pytest.mark.parametrize("source", ["s3://bucket/rows", "hub:owner/name@main", "raw/0123"])
def test_remote_sources_stay_as_they_are(store, source):
    assert freeze_source(store, config(source)).prep.source == source


def test_the_shipped_sample_is_a_source_like_any_other(store):
    assert freeze_source(store, config("sample")).prep.source.startswith("raw/")


def test_a_single_file_of_any_name_is_the_train_split(folder):
    (folder / "all.jsonl").write_text("{}\n")
    assert [name for name, _ in source_files(folder / "all.jsonl")] == ["train.jsonl"]


@pytest.mark.parametrize("name", ["no-such-folder", "notes.txt", "."])
def test_a_source_that_is_not_there_says_what_would_be(folder, name, monkeypatch):
    target = folder / name
    if name == ".":
        for file in folder.glob("*.jsonl"):
            file.unlink()
    with pytest.raises(MissingInputError, match=r"parquet"):
        source_files(target)


def test_submitting_twice_is_a_resume(store):
    run = Run.of(config("sample"), {})
    create_run(store, run)
    create_run(store, run)
    assert Run.decode(store.read(run_key(run.id))) == run


def test_another_specification_under_the_same_id_is_refused_and_kept(store):
    run = Run.of(config("sample"), {})
    store.create(run_key(run.id), b"something else")
    with pytest.raises(RunConflictError) as caught:
        create_run(store, run)
    assert caught.value.exit_code == 73
    assert store.read(run_key(run.id)) == b"something else"


def test_a_run_frozen_before_run_json_held_the_whole_hash_is_resumed(store):
    run = Run.of(RunConfig(model="tiny-llama31"), {})
    fields = json.loads(run.encode())
    del fields["sha256"]
    store.create(run_key(run.id), canonical_json(fields))
    create_run(store, run)


def test_another_run_under_the_same_short_id_is_a_conflict(store):
    run = Run.of(RunConfig(model="tiny-llama31"), {})
    other = run.model_copy(update={"images": {"train": "registry.example/other"}})
    store.create(run_key(run.id), other.encode())
    with pytest.raises(RunConflictError, match="another specification"):
        create_run(store, run)
