"""The bucket alone tells how far a run is, who worked on it, and how that ended."""

from __future__ import annotations

import os
import re
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from fingpt import log
from fingpt.errors import DataError, MissingInputError
from fingpt.runs.attempt import ProcessIdentity
from fingpt.runs.run import Stage, claim_key, commit_key, complete_key, run_key
from fingpt.runs.state import newest_run, read_run, run_ids, seconds_since
from tests.made_run import MadeRun

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def made(store, tmp_path) -> MadeRun:
    return MadeRun(store, tmp_path)


def overwrite(store, tmp_path, key: str, change) -> None:
    path = tmp_path / "store" / key
    path.write_bytes(change(path.read_bytes()))


def test_a_run_that_is_frozen_only_stands_at_prep(made, store):
    record = read_run(store, made.id)
    assert [stage.stage for stage in record.stages] == list(Stage)
    assert record.current.stage is Stage.PREP
    assert not record.complete
    assert record.current.attempts == ()
    assert record.started == ""


def test_an_unknown_run_is_said_to_be_missing(store):
    with pytest.raises(MissingInputError, match="tiny-llama31-00000000"):
        read_run(store, "tiny-llama31-00000000")


def test_attempts_tell_where_they_ran_and_how_they_ended(made, store):
    made.prep()
    made.attempt(Stage.TRAIN, 1, code=143, message="SIGTERM honoured", pod="a-1", node="gpu-1")
    made.attempt(Stage.TRAIN, 2, code=None, at=NOW, beats=3, pod="a-2", node="gpu-2")
    first, second = read_run(store, made.id).stages[1].attempts
    assert (first.number, first.code, first.message) == (1, 143, "SIGTERM honoured")
    assert (first.pod, first.node) == ("a-1", "gpu-1")
    assert first.state(NOW) == "ended"
    assert second.code is None
    assert second.node == "gpu-2"
    assert second.state(NOW + timedelta(seconds=20)) == "working"
    assert second.state(NOW + timedelta(hours=1)) == "silent"


def test_an_attempt_without_any_time_is_unknown_and_not_dead(made, store):
    store.create(claim_key(made.id, Stage.PREP, 1), b"{}")
    assert read_run(store, made.id).current.attempts[0].state(NOW) == "unknown"


def test_a_process_of_this_machine_that_is_gone_has_died(made, store):
    here = ProcessIdentity.current()
    place = {"host": here.host, "boot": here.boot, "pid": 2**22 + 1, "born": "1"}
    made.attempt(Stage.PREP, 1, code=None, at=NOW, place=place)
    assert read_run(store, made.id).current.attempts[0].state(NOW) == "died"


def test_training_shows_step_total_loss_and_time_left_of_the_newest_commit(made, store):
    made.prep()
    made.attempt(Stage.TRAIN, 1, code=None)
    assert read_run(store, made.id).current.progress.done == 0
    assert read_run(store, made.id).current.progress.total == 12  # 24 rows, 2 a step
    made.commit(4)
    made.commit(8)
    reached = read_run(store, made.id).current.progress
    assert (reached.done, reached.total, reached.commit, reached.committed) == (8, 12, 2, 8)
    assert reached.loss == pytest.approx(1.92)
    assert reached.seconds_left == pytest.approx(4 * 0.5)


def test_a_damaged_commit_is_passed_over_as_a_resume_does(made, store, tmp_path):
    made.prep()
    made.commit(4)
    made.commit(8)
    overwrite(store, tmp_path, commit_key(made.id, 2), lambda data: data[:-5])
    assert read_run(store, made.id).stages[1].progress.committed == 4


def test_evaluation_counts_rows_and_not_chunks(made, store):
    made.prep()
    made.train()
    made.chunks("base", 3)
    made.chunks("tuned", 1)
    record = read_run(store, made.id)
    assert record.current.stage is Stage.EVAL
    # 20 rows in batches of 8: all of them answered by the base, 8 by the adapter.
    assert (record.current.progress.done, record.current.progress.total) == (14, 20)
    made.chunks("tuned", 3)
    assert read_run(store, made.id).current.progress.done == 20


def test_a_whole_run_is_complete_and_keeps_its_figures(made, store):
    made.whole()
    record = read_run(store, made.id)
    assert record.complete
    assert record.current.stage is Stage.EVAL
    train = record.stages[1]
    assert train.finished_at
    assert (train.progress.done, train.progress.total, train.progress.loss) == (12, 12, 1.25)
    assert train.progress.seconds_left is None


def test_a_damaged_complete_is_a_fault_and_not_complete(made, store, tmp_path):
    made.whole()
    key = complete_key(made.id, Stage.TRAIN)
    overwrite(store, tmp_path, key, lambda data: data.replace(b"1.25", b"1.15"))
    record = read_run(store, made.id)
    assert not record.stages[1].complete
    assert key in record.stages[1].fault


def test_damaged_attempt_records_are_empty_and_break_nothing(made, store):
    store.create(claim_key(made.id, Stage.PREP, 1), b"\xff not json")
    store.create(claim_key(made.id, Stage.PREP, 2), b"[1]")
    assert len(read_run(store, made.id).current.attempts) == 2


def test_runs_are_found_by_their_run_json(made, store, tmp_path):
    other = MadeRun(store, tmp_path, seed=7)
    assert sorted(run_ids(store)) == sorted([made.id, other.id])


@pytest.mark.parametrize("text", ["", "yesterday", "2030-01-01T12:00:00"])
def test_a_time_that_is_none_has_no_age(text):
    assert seconds_since(text, NOW) is None


def test_a_folder_with_a_name_that_no_run_has_is_passed_over_with_a_warning(
    made, store, tmp_path, capsys
):
    log.setup()
    for name in (b"evil\x1b[31m", b"new\nline", b"no-utf\xff", "rtl\u202eabc".encode()):
        folder = tmp_path / "store" / "runs" / os.fsdecode(name)
        folder.mkdir()
        shutil.copy(tmp_path / "store" / run_key(made.id), folder)
    assert list(run_ids(store)) == [made.id]
    assert newest_run(store) == made.id
    said = capsys.readouterr().err
    assert said.count("no run has such a name") == 8
    assert "\x1b" not in said


def test_a_run_json_that_cannot_be_read_is_named_with_its_place(made, store):
    store.create("runs/other/run.json", b"[]")
    with pytest.raises(
        DataError, match=rf"^{re.escape(store.uri)}/runs/other/run\.json is not a run"
    ):
        read_run(store, "other")
