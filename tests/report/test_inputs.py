"""Reading runs: the newest of each model, every byte verified, one sentence for what is wrong."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fingpt.errors import ConfigError, DataError, MissingInputError, StorageError
from fingpt.report.inputs import read_curve, read_runs
from fingpt.report.score_arrays import read_scores
from fingpt.runs.run import Stage, complete_key, stage_prefix
from tests.report.world import table


def stamp(day):
    return f"2030-06-{day:02d}T00:00:00+00:00"


def local(store, key):
    return Path(store.uri.removeprefix("file://")) / key


def test_two_runs_of_one_model_get_titles_that_differ(world, plan):
    ids = [world.add("llama31", plan(code=code, run_seed=1)) for code in ("one", "two")]
    titles = [side.title for side in read_runs(world.store, ids).sides]
    assert titles == [f"Llama-3.1-8B ({run[-8:]})" for run in ids]


def test_a_run_named_twice_or_unknown_or_unfinished_is_refused(world, plan):
    run = world.add("llama31", plan())
    with pytest.raises(ConfigError, match="named twice"):
        read_runs(world.store, [run, run])
    with pytest.raises(MissingInputError):
        read_runs(world.store, ["llama31-00000000"])
    local(world.store, complete_key(run, Stage.EVAL)).unlink()
    with pytest.raises(MissingInputError, match="has not finished eval"):
        read_runs(world.store, [run])


@pytest.mark.parametrize(
    "name", ["eval/scores.parquet", "train/metrics.jsonl", "eval/COMPLETE.json"]
)
def test_a_flipped_byte_is_found(world, plan, name):
    run = world.add("llama31", plan())
    path = local(world.store, f"runs/{run}/{name}")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))
    with pytest.raises(StorageError, match=name.split("/")[1]):
        read_runs(world.store, [run])


def test_all_that_was_read_is_named_with_its_hash(world, plan):
    run = world.add("llama31", plan())
    inputs = read_runs(world.store, [run]).inputs
    assert len(inputs) == 4
    assert f"{stage_prefix(run, Stage.EVAL)}/COMPLETE.json" in inputs


def test_curves_are_in_order_and_the_last_word_on_a_step_wins():
    data = b'{"step": 2, "loss": 1.0}\n{"step": 1, "loss": 3.0, "eval_loss": 2.5}\n{"step": 2, "loss": 0.5}\n'
    assert [(s.step, s.loss, s.eval_loss) for s in read_curve(data, "x")] == [
        (1, 3.0, 2.5),
        (2, 0.5, None),
    ]
    with pytest.raises(DataError, match="line 2"):
        read_curve(b'{"step": 1}\n[]\n', "metrics.jsonl")


def test_scores_that_are_no_scores_are_refused_in_one_sentence():
    with pytest.raises(DataError, match="not a table of scores"):
        read_scores(b"PAR1 nonsense", "scores.parquet")
    sink = io.BytesIO()
    pq.write_table(pa.table({"variant": ["tuned"], "example": ["a"]}), sink)
    with pytest.raises(DataError, match=r"scores\.parquet"):
        read_scores(sink.getvalue(), "scores.parquet")


def test_scores_of_an_eval_that_did_not_store_what_is_valid_say_what_to_do(examples, plan, rows_of):
    whole = pq.read_table(io.BytesIO(table({"tuned": rows_of(examples, plan())})))
    sink = io.BytesIO()
    pq.write_table(whole.drop_columns("valid"), sink)
    with pytest.raises(DataError, match=r"lacks the column\(s\) valid: .*make run MODEL="):
        read_scores(sink.getvalue(), "scores.parquet")
