"""Collecting: everything that a run has reached, verified, all of it or nothing, and nothing overwritten."""

from __future__ import annotations

import json

import pytest

from fingpt import log
from fingpt.errors import ConfigError, DataError, MissingInputError, StorageError
from fingpt.record import sha256_file
from fingpt.runs.collect import collect
from fingpt.runs.run import Stage, complete_key, run_key
from tests.made_run import MadeRun


@pytest.fixture
def made(store, tmp_path) -> MadeRun:
    return MadeRun(store, tmp_path)


def below(folder):
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_whole_run_is_copied_byte_for_byte_without_adapter_rows_and_checkpoints(
    made, store, tmp_path
):
    made.whole()
    folder = collect(store, made.id, tmp_path / "new" / "out", adapter=False)
    names = below(folder)
    assert {"run.json", "train/metrics.jsonl", "eval/scores.parquet"} <= set(names)
    assert {f"{stage}/COMPLETE.json" for stage in Stage} <= set(names)
    assert sum(name.startswith("eval/predictions/") for name in names) == 6
    assert {name.split("/")[0] for name in names} == {
        *("run.json", "prep", "train", "eval", "datasets", "models", "reports")
    }
    assert not [name for name in names if "adapter" in name or "ckpt" in name]
    assert [name for name in names if name.startswith("datasets/")] == [
        f"datasets/{made.dataset}/manifest.json"
    ]
    for name, sha256 in names.items():
        shared = name.split("/")[0] in ("datasets", "models", "reports")
        key = name if shared else f"runs/{made.id}/{name}"
        assert sha256_file(tmp_path / "store" / key) == sha256
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def test_the_adapter_is_brought_on_request_in_a_folder_of_its_own(made, store, tmp_path):
    made.whole()
    collect(store, made.id, tmp_path / "out", adapter=False)
    folder = collect(store, made.id, tmp_path / "out", adapter=True)  # what is there stays
    assert sorted(path.name for path in (folder / "train" / "adapter").iterdir()) == [
        *("README.md", "adapter_config.json", "adapter_model.safetensors"),
        *("chat_template.jinja", "tokenizer_reference.json"),
    ]


def test_what_has_not_finished_is_said_and_the_rest_is_brought(made, store, tmp_path, capsys):
    log.setup()
    made.prep()
    folder = collect(store, made.id, tmp_path / "out", adapter=True)
    said = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert [event for event in said if "has not finished" in event] == [
        f"Stage {stage} has not finished; what it makes is not collected."
        for stage in ("train", "eval")
    ]
    assert {"run.json", "prep/COMPLETE.json"} <= set(below(folder))

    made.train()  # and what is finished since comes with the same command
    assert "train/metrics.jsonl" in below(collect(store, made.id, folder, adapter=True))


def test_nothing_to_collect_is_a_missing_input(made, store, tmp_path):
    with pytest.raises(MissingInputError, match="No stage of"):
        collect(store, made.id, tmp_path / "out", adapter=False)
    with pytest.raises(MissingInputError, match="There is no run"):
        collect(store, "llama31-00000000", tmp_path / "out", adapter=False)
    assert not (tmp_path / "out").exists()


def test_a_file_with_other_bytes_is_neither_overwritten_nor_joined_by_others(made, store, tmp_path):
    made.whole()
    mine = tmp_path / "out" / "train" / "metrics.jsonl"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(ConfigError, match=r"metrics\.jsonl is there already with other bytes"):
        collect(store, made.id, tmp_path / "out", adapter=False)
    assert list(below(tmp_path / "out")) == ["train/metrics.jsonl"]
    assert mine.read_text() == "mine"


def test_a_damaged_object_is_found_and_nothing_half_done_is_left(made, store, tmp_path):
    made.whole()
    damaged = tmp_path / "store" / "runs" / made.id / "eval" / "scores.parquet"
    damaged.chmod(0o644)
    damaged.write_bytes(b"other")
    with pytest.raises(StorageError, match=r"eval/scores\.parquet"):
        collect(store, made.id, tmp_path / "place" / "out", adapter=False)
    assert not [path for path in (tmp_path / "place").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("key", "was", "becomes", "error"),
    [
        (run_key, b'"seed":42', b'"seed":43', DataError),
        (lambda run: complete_key(run, Stage.TRAIN), b"1.25", b"1.24", StorageError),
        (lambda run: complete_key(run, Stage.EVAL), b"greedy", b"sample", StorageError),
    ],
)
def test_a_changed_record_is_not_collected(made, store, tmp_path, key, was, becomes, error):
    made.whole()
    path = tmp_path / "store" / key(made.id)
    assert was in path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(was, becomes))
    with pytest.raises(error):
        collect(store, made.id, tmp_path / "out", adapter=False)
    assert not (tmp_path / "out").exists()


def test_a_report_on_other_runs_is_left_where_it_is(made, store, tmp_path):
    made.whole()
    other = MadeRun(store, tmp_path, seed=43)
    other.prep()
    other.train()
    other.eval()
    theirs, both = other.report(), other.report(made)
    names = below(collect(store, made.id, tmp_path / "out", adapter=False))
    assert f"reports/{both}/report.html" in names
    assert not [name for name in names if theirs in name]
