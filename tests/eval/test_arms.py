"""Losses that come out of the labels' passes are stored with them, and are the ones that a table and a resume have."""

from __future__ import annotations

import json

import pytest

from fingpt.errors import Interrupted
from fingpt.eval import arms, scoring, variant
from fingpt.eval.scoring import TransformersScoring
from fingpt.eval.stage import body
from fingpt.runs.run import Stage, stage_prefix
from tests.eval.test_stage import table_of
from tests.eval.test_validation import on_validation, weeks_of_their_own


class OnePass(TransformersScoring):
    """Gives losses with the labels, as the fast layers do, if they are wanted; `asked` is what is left to `losses`."""

    asked: list[list[str]] = []  # noqa: RUF012

    def labels(self, variant, prompts, tree, done, *, answers=False):
        found = super().labels(variant, prompts, tree, done)
        if not answers:
            return found
        losses = super().losses(variant, prompts, done)
        return [one.model_copy(update={"nll": losses[one.example]}) for one in found]

    def losses(self, variant, prompts, done):
        OnePass.asked.append([prompt.example.symbol for prompt in prompts])
        return super().losses(variant, prompts, done)


@pytest.fixture
def one_pass(monkeypatch):
    monkeypatch.setattr(OnePass, "asked", [])
    monkeypatch.setattr(scoring, "fast_scoring", lambda model, _: (OnePass(model, 3), "a pass"))
    return OnePass.asked


def stored(world, run):
    prefix = stage_prefix(run.id, Stage.EVAL)
    return {
        key.removeprefix(f"{prefix}/"): world.store.read(key) for key in world.store.keys(prefix)
    }


def records(data: bytes):
    return [json.loads(line) for line in data.splitlines()[1:]]


def test_losses_of_test_rows_come_with_their_labels_and_no_other_arm_s_are_measured(
    world, one_pass
):
    run = world.run()
    body(world.context(run))
    # What is left are train rows, of either variant.
    train = sorted(prompt for asked in one_pass for prompt in asked)
    assert len(train) == 2 * 5
    assert [asked for asked in one_pass if not asked] == [[], []]
    for name, data in stored(world, run).items():
        if name.startswith("labels/") and name.endswith(".jsonl"):
            measured = {one["nll"] is not None for one in records(data)}
            assert measured == {"/test-" in name}, name


def test_a_table_has_the_losses_that_were_stored_with_labels(world, one_pass):
    run = world.run()
    body(world.context(run))
    files = stored(world, run)
    for row in table_of(world, run):
        found = records(files[f"labels/{row['variant']}/test-0000.jsonl"])
        assert row["nll"] == next(one["nll"] for one in found if one["example"] == row["example"])


def test_an_evaluation_that_was_killed_between_labels_and_losses_ends_with_the_same_bytes(
    world, one_pass, monkeypatch
):
    run = world.run()
    monkeypatch.setattr(arms, "CHUNK_ROWS", 4)
    whole = stored_of_whole_run(world, run)
    real, calls = OnePass.labels, []

    def stop_at_the_third(self, *args, **options):
        if len(calls) == 2:
            raise Interrupted("stopped")
        calls.append(args)
        return real(self, *args, **options)

    monkeypatch.setattr(OnePass, "labels", stop_at_the_third)
    with pytest.raises(Interrupted):
        body(world.context(run, "killed"))
    monkeypatch.setattr(OnePass, "labels", real)
    monkeypatch.setattr(variant.Evaluation, "_answers", stop)
    with pytest.raises(Interrupted):
        body(world.context(run, "killed again"))
    monkeypatch.undo()
    monkeypatch.setattr(scoring, "fast_scoring", lambda model, _: (OnePass(model, 3), "a pass"))
    monkeypatch.setattr(arms, "CHUNK_ROWS", 4)
    body(world.context(run, "again"))
    again = stored(world, run)
    for name, data in whole.items():
        if name.startswith("losses/"):
            one, two = json.loads(data), json.loads(again[name])
            assert (one["test"], one["train"]) == (two["test"], two["train"])
        elif not name.endswith((".timing.json", "scores.parquet")):
            assert again[name] == data, name


def stop(*_):
    raise Interrupted("stopped")


def stored_of_whole_run(world, run):
    """What an undisturbed evaluation stores; its prefix is empty again afterwards."""
    body(world.context(run, "whole"))
    found = stored(world, run)
    for name in found:
        (world.folder / "store" / stage_prefix(run.id, Stage.EVAL) / name).unlink()
    return found


def test_validation_rows_that_are_scored_alone_have_their_losses_with_their_labels(
    world, one_pass, monkeypatch
):
    weeks_of_their_own(monkeypatch)
    context = on_validation(world)
    manifest = body(context)
    assert one_pass == [[]]
    files = stored(world, context.run)
    losses = {one["example"]: one["nll"] for one in records(files["losses/tuned-validation.jsonl"])}
    labels = records(files["labels/tuned/validation-0000.jsonl"])
    assert losses == {one["example"]: one["nll"] for one in labels}
    assert manifest.validation.loss > 0
