"""Submit freezes bytes: same bytes, same run. Layouts and encodings are tests/prep/test_source.py's."""

import json
from collections import Counter

import pytest

from fingpt.config import RunConfig
from fingpt.errors import ConfigError, MissingInputError, RunConflictError
from fingpt.record import canonical_json
from fingpt.runs.freeze import create_run, freeze_source, located
from fingpt.runs.raw import read_raw_manifest
from fingpt.runs.recent import newest_first
from fingpt.runs.run import Run, run_key
from fingpt.runs.stage import load_run
from fingpt.storage import open_store


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


def test_frozen_rows_are_a_source_of_their_own_name_and_one_that_is_gone_is_missing(store, folder):
    first = freeze_source(store, config(folder))
    assert freeze_source(store, config(f"{first.prep.source}/")) == first
    with pytest.raises(MissingInputError, match="raw/0123456789abcdef are not in"):
        freeze_source(store, config("raw/0123456789abcdef"))
    with pytest.raises(ConfigError, match="raw/0123'"):
        freeze_source(store, config("raw/0123"))


def test_an_interrupted_freeze_is_finished_by_the_next_one(store, folder, tmp_path):
    first = freeze_source(store, config(folder)).prep.source
    manifest = read_raw_manifest(store, first)
    (tmp_path / "store" / first / "manifest.json").unlink()
    (tmp_path / "store" / first / "test.jsonl").unlink()
    assert freeze_source(store, config(folder)).prep.source == first
    assert read_raw_manifest(store, first) == manifest


def test_the_shipped_sample_is_a_source_like_any_other(store):
    assert freeze_source(store, config("sample")).prep.source.startswith("raw/")


def test_hub_rows_that_no_mirror_brought_are_missing_with_the_command_that_does(store, tmp_path):
    for model, words in (("llama31", "MODEL=llama31 "), ("tiny-llama31", "")):
        wanted = config("hub:owner/name@v1").model_copy(update={"model": model})
        with pytest.raises(MissingInputError) as caught:
            freeze_source(store, wanted)
        command = f"make mirror {words}DATA=hub:owner/name@v1 STORE={tmp_path / 'store'}"
        assert str(caught.value).endswith(command)
    assert list(store.keys()) == []


@pytest.mark.parametrize("source", ["hub:", "hub:no-owner", "hub:a/b@", "hub:a/b@x/../y", "s3://"])
def test_malformed_names_are_configuration_errors(store, source):
    with pytest.raises(ConfigError):
        freeze_source(store, config(source))


@pytest.mark.parametrize("name", ["no-such-folder", "notes.txt", "."])
def test_a_source_that_is_not_there_says_what_would_be(folder, name):
    if name == ".":
        for file in folder.glob("*.jsonl"):
            file.unlink()
    with pytest.raises(MissingInputError, match=r"parquet"):
        freeze_source(open_store((folder.parent / "store").as_uri()), config(folder / name))


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


def meeting() -> list[Run]:
    """Three runs with the same short id, once that has one digit."""
    runs = [Run.of(RunConfig(model="tiny-llama31", seed=seed), {}) for seed in range(33)]
    ((shared, _),) = Counter(run.id for run in runs).most_common(1)
    return [run for run in runs if run.id == shared][:3]


def test_a_run_whose_short_id_another_one_had_first_gets_a_longer_one(store, monkeypatch):
    monkeypatch.setattr("fingpt.runs.run._SHORT", 1)
    runs = meeting()
    assert [located(store, run).id for run in runs] == [runs[0].id] * 3
    frozen = [create_run(store, run) for run in runs]
    assert [run.id for run in frozen] == [runs[0].id, runs[1].longer.id, runs[2].longer.id]
    assert [load_run(store, run.id).sha256 for run in frozen] == [run.sha256 for run in runs]
    assert [create_run(store, run) for run in runs] == frozen
    assert [located(store, run) for run in runs] == frozen
    assert sorted(newest_first(store, "tiny-llama31")) == sorted(run.id for run in frozen)


def test_a_longer_id_that_holds_something_else_is_a_conflict(store, monkeypatch):
    monkeypatch.setattr("fingpt.runs.run._SHORT", 1)
    first, second, _ = meeting()
    create_run(store, first)
    store.create(run_key(second.longer.id), first.encode())
    with pytest.raises(RunConflictError, match="another specification"):
        create_run(store, second)


def test_another_run_under_the_same_short_id_is_a_conflict(store):
    run = Run.of(RunConfig(model="tiny-llama31"), {})
    other = run.model_copy(update={"images": {"train": "registry.example/other"}})
    store.create(run_key(run.id), other.encode())
    with pytest.raises(RunConflictError, match="another specification"):
        create_run(store, run)
