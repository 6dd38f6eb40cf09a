"""The whole stage on a small world: what it writes, what it refuses, and how it goes on after an interruption."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow.parquet as pq
import pytest

from fingpt.errors import DataError, Interrupted, MissingInputError, StorageError
from fingpt.eval import (
    arms,
    engine_transformers,
    inputs,
    loaded,
    model,
    scoring,
    stage,
    variant,
)
from fingpt.eval.stage import body
from fingpt.metrics import fit_temperature
from fingpt.models import Cutoff
from fingpt.prompts.examples import LABELS
from fingpt.record import sha256_bytes
from fingpt.report.score_arrays import read_scores
from fingpt.runs import openings
from fingpt.runs.manifest import encode
from fingpt.runs.run import Stage, complete_key, stage_prefix
from tests.eval.invented import MODEL, example


def table_of(world, run):
    data = world.store.read(f"{stage_prefix(run.id, Stage.EVAL)}/scores.parquet")
    return pq.read_table(io.BytesIO(data)).to_pylist()


def test_a_run_leaves_a_table_and_a_manifest_that_agree(world):
    run = world.run()
    manifest = body(world.context(run))
    rows = table_of(world, run)
    assert [row["variant"] for row in rows] == ["base"] * 7 + ["tuned"] * 7
    for name, scores in manifest.scores.items():
        mine = [row for row in rows if row["variant"] == name]
        assert scores.n == len(mine) == 7
        assert scores.loss == pytest.approx(
            sum(r["nll"] for r in mine) / sum(r["answer_tokens"] for r in mine)
        )
        assert scores.robust.parsed == sum(row["parsed"] for row in mine)
        assert scores.samples_per_second == pytest.approx(7 / sum(row["seconds"] for row in mine))
        assert set(scores.seconds) == {"load", "labels", "loss", "generate", "score"}
        assert scores.train_loss is not None
    assert manifest.scores["base"].loss != manifest.scores["tuned"].loss
    assert rows[0]["failure"] == "no prediction"
    assert (rows[0]["week"], rows[1]["truth"]) == ("2024-01-07", 2.5)
    for file in manifest.files:
        stored = world.store.read(f"{stage_prefix(run.id, Stage.EVAL)}/{file.name}")
        assert (len(stored), sha256_bytes(stored)) == (file.size, file.sha256)
    assert encode(manifest)


def test_an_evaluation_that_was_interrupted_ends_with_the_same_bytes(world, monkeypatch):
    run = world.run()
    real, calls = engine_transformers.generate_batch, []

    def stop_after_two(*args):
        if len(calls) == 2:
            raise Interrupted("stopped")
        calls.append(args)
        return real(*args)

    monkeypatch.setattr(engine_transformers, "generate_batch", stop_after_two)
    with pytest.raises(Interrupted):
        body(world.context(run))
    before = {
        key: world.store.read(key) for key in world.store.keys(stage_prefix(run.id, Stage.EVAL))
    }
    monkeypatch.setattr(
        engine_transformers, "generate_batch", lambda *args: calls.append(args) or real(*args)
    )
    manifest = body(world.context(run, "again"))
    assert len(calls) == 6  # 7 rows in batches of 3, two variants: none was made twice
    assert all(world.store.read(key) == data for key, data in before.items())
    again = body(world.context(run, "third"))
    assert again.files == manifest.files
    assert len(calls) == 6
    assert openings.count(world.store, manifest.dataset) == 1


def stored_labels(world, run, name):
    data = world.store.read(f"{stage_prefix(run.id, Stage.EVAL)}/labels/{name}-0000.jsonl")
    return {(one := json.loads(line))["example"]: one["logp"] for line in data.splitlines()[1:]}


def test_labels_of_base_and_tuned_are_in_the_table_and_the_temperature_is_of_validation_rows(world):
    run = world.run()
    manifest = body(world.context(run))
    rows = table_of(world, run)
    for name, scores in manifest.scores.items():
        test, validation = (
            stored_labels(world, run, f"{name}/{arm}") for arm in ("test", "validation")
        )
        mine = {row["example"]: row["label_logp"] for row in rows if row["variant"] == name}
        assert mine == test
        assert len(mine) == 7
        examples = {example(n).id: example(n) for n in range(200, 204)}
        assert set(validation) == set(examples)
        wanted = fit_temperature(
            np.array(list(validation.values())),
            np.array([LABELS.index(examples[one].label) for one in validation], dtype=float),
        )
        assert scores.label_temperature == pytest.approx(wanted)
        told = np.array(list(validation.values())) - np.array(scores.label_prior)
        outcomes = np.array([LABELS.index(examples[one].label) for one in validation], dtype=float)
        fitted = fit_temperature(told, outcomes, np.array(scores.label_shares))
        assert scores.label_anchor_temperature == pytest.approx(fitted)
        assert sum(scores.label_shares) == pytest.approx(1)
        assert [list(scores.label_prior)] == list(
            stored_labels(world, run, f"{name}/prior").values()
        )
    base, tuned = manifest.scores["base"], manifest.scores["tuned"]
    assert base.label_prior != tuned.label_prior
    assert {"labels/base/test-0000.jsonl", "labels/tuned/prior-0000.timing.json"} <= {
        file.name for file in manifest.files
    }


def test_without_validation_weeks_there_is_no_temperature(world, monkeypatch):
    monkeypatch.setattr(variant, "read_validation", lambda *_: [])
    run = world.run()
    manifest = body(world.context(run))
    assert [one.label_temperature for one in manifest.scores.values()] == [None, None]
    assert all(row["label_logp"] for row in table_of(world, run))


def test_a_return_that_some_prompt_states_stands_beside_its_row(world, monkeypatch):
    moves = {("S3", "2024-01-07 to 2024-01-14"): 2.25, ("S3", "2024-01-14 to 2024-01-21"): 9.0}
    monkeypatch.setattr(variant, "stated_moves", lambda _: moves)
    run = world.run()
    body(world.context(run))
    found = {row["symbol"]: row["realised"] for row in table_of(world, run)}
    assert found == {f"S{n}": (2.25 if n == 3 else None) for n in range(7)}


def test_weeks_that_the_base_may_know_are_scored_without_names_and_from_the_bare_question(
    world, monkeypatch
):
    known = replace(MODEL, cutoff=Cutoff(None, date(2024, 1, 8), "says the test"))
    monkeypatch.setattr(inputs, "spec", lambda _: known)
    monkeypatch.setattr(arms, "anonymise", lambda one: replace(one, user=f"Company A. {one.user}"))
    run = world.run()
    manifest = body(world.context(run))
    assert manifest.before_cutoff == 7
    assert any("7 of 7 test weeks begin before 2024-01-08" in text for text in manifest.warnings)
    for row in table_of(world, run):
        columns = [row[name] for name in ("label_logp", "anonymous_logp", "recall_logp")]
        assert [len(column) for column in columns] == [12, 12, 12]
        assert len({tuple(column) for column in columns}) == 3


def test_prose_may_be_asked_for_a_part_of_the_rows_and_labels_are_scored_for_all(world):
    run = world.run()
    settings = run.config.eval.model_copy(update={"answer_rows": 3})
    context = world.context(run)
    context.run = run.model_copy(
        update={"config": run.config.model_copy(update={"eval": settings})}
    )
    manifest = body(context)
    rows = [row for row in table_of(world, run) if row["variant"] == "tuned"]
    asked = [row for row in rows if row["new_tokens"] is not None]
    assert (len(rows), len(asked)) == (7, 3)
    scores = manifest.scores["tuned"]
    assert (scores.n, scores.robust.n, scores.strict.n) == (7, 3, 3)
    assert sum(scores.robust.failures.values()) + scores.robust.valid == 3
    assert all(row["label_logp"] and row["nll"] for row in rows)
    for row in rows:
        if row not in asked:
            assert (row["failure"], row["seconds"], row["direction"]) == (None, None, None)
            assert (row["parsed"], row["valid"]) == (False, False)
    assert scores.samples_per_second == pytest.approx(3 / scores.seconds["generate"])
    assert any("3 of 7 test rows" in text for text in manifest.warnings)
    table = world.store.read(f"{stage_prefix(run.id, Stage.EVAL)}/scores.parquet")
    assert read_scores(table, "scores")["tuned"].asked.sum() == 3


def test_a_base_that_knows_nothing_of_the_world_has_no_such_arms(world):
    run = world.run()
    manifest = body(world.context(run))
    assert manifest.before_cutoff == 0
    assert {row["anonymous_logp"] for row in table_of(world, run)} == {None}
    assert not [file.name for file in manifest.files if "recall" in file.name]


def test_labels_that_are_stored_are_not_measured_again(world, monkeypatch):
    run = world.run()
    calls, real = [], scoring.label_logp
    monkeypatch.setattr(arms, "CHUNK_ROWS", 4)

    def stop_in_the_second_chunk(model, prompts, *rest):
        if len(calls) == 1:
            raise Interrupted("stopped")
        calls.append(len(prompts))
        return real(model, prompts, *rest)

    monkeypatch.setattr(scoring, "label_logp", stop_in_the_second_chunk)
    with pytest.raises(Interrupted):
        body(world.context(run))
    monkeypatch.setattr(
        scoring, "label_logp", lambda *args: calls.append(len(args[1])) or real(*args)
    )
    first = body(world.context(run, "again"))
    # Test rows in chunks of 4 and 3, validation in one, the prompt without content; twice.
    assert sorted(calls) == sorted([4, 3, 4, 1] * 2)
    assert body(world.context(run, "third")).files == first.files
    assert len(calls) == 8


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"base": "someone/else@v1"}, "another base model"),
        ({"base_sha256": "0" * 64}, "another base weights"),
        ({"template_sha256": "0" * 64}, "another chat template"),
        ({"dataset": "other"}, "another data set"),
        ({"files": ()}, "no adapter file"),
    ],
)
def test_an_adapter_that_does_not_belong_here_is_refused_before_weights_load(
    world, monkeypatch, changes, what
):
    monkeypatch.setattr(loaded, "open_base", lambda *_: pytest.fail("weights were loaded"))
    with pytest.raises(DataError, match=what):
        body(world.context(world.run(**changes)))


def test_a_stage_that_has_not_run_is_named(world):
    run = world.run()
    key = complete_key(run.id, Stage.TRAIN)
    (world.folder / "store" / key).unlink()
    with pytest.raises(MissingInputError, match="train"):
        body(world.context(run))


def test_a_flipped_byte_in_a_stored_chunk_ends_with_one_sentence(world):
    run = world.run()
    body(world.context(run))
    key = f"{stage_prefix(run.id, Stage.EVAL)}/predictions/tuned/0001.jsonl"
    path = world.folder / "store" / key
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(StorageError, match=r"0001\.jsonl .*delete it and run eval again"):
        body(world.context(run, "again"))


def test_an_adapter_with_a_pickle_is_not_loaded(world, tmp_path, base_folder):
    import torch

    folder = tmp_path / "alien"
    folder.mkdir()
    (folder / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"adapter_model\.bin"):
        model.load(base_folder, folder, torch.device("cpu"), torch.float32)


def test_an_adapter_of_another_shape_is_refused(world, tmp_path, adapter_folder, small_model):
    import torch
    from transformers import LlamaForCausalLM

    config = small_model.config.__class__(
        **{**small_model.config.to_dict(), "hidden_size": 32, "head_dim": 8}
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "wide")
    with pytest.raises(DataError, match="does not fit the base"):
        model.load(tmp_path / "wide", adapter_folder, torch.device("cpu"), torch.float32)


def test_without_the_base_only_the_tuned_variant_is_scored(world):
    run = world.run()
    settings = run.config.eval.model_copy(update={"include_base": False})
    context = world.context(run)
    context.run = run.model_copy(
        update={"config": run.config.model_copy(update={"eval": settings})}
    )
    assert list(stage.body(context).scores) == ["tuned"]
