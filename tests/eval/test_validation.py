"""An evaluation on validation rows alone: what it scores, what it never touches, and how it goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass

import numpy as np
import pytest

from fingpt.config import PrepConfig, RunConfig, parse_config
from fingpt.errors import ConfigError, DataError, Interrupted
from fingpt.eval import arms, chunks, scoring, validation
from fingpt.eval.arms import week_of
from fingpt.eval.stage import body
from fingpt.metrics import anchored, fit_temperature, label_shares, log_loss
from fingpt.prompts.examples import LABELS
from fingpt.runs import openings
from fingpt.runs.run import Run, Stage, dataset_prefix, stage_prefix
from fingpt.storage import ObjectStore
from tests.eval.invented import example


@dataclass
class Guarded:
    """A store that gives everything but the test rows; `asked` are the keys that were read."""

    store: ObjectStore
    asked: list[str]

    def __getattr__(self, name):
        real = getattr(self.store, name)
        if not callable(real):
            return real

        def call(*args, **options):
            for argument in args:
                assert not str(argument).endswith("/test.jsonl"), f"{name} of {argument}"
            self.asked += [str(argument) for argument in args[:1]]
            return real(*args, **options)

        return call


def on_validation(world, name="scratch"):
    """The world's run with `eval.split=validation`, and its context on a store without test rows."""
    run = world.run()
    settings = run.config.eval.model_copy(update={"split": "validation"})
    context = world.context(run, name)
    context.run = run.model_copy(
        update={"config": run.config.model_copy(update={"eval": settings})}
    )
    context.store = Guarded(world.store, [])
    return context


def weeks_of_their_own(monkeypatch):
    """Two validation rows in each of two weeks."""
    for module in (arms, validation):
        monkeypatch.setattr(module, "week_of", lambda row: f"week {int(row.symbol[1:]) % 2}")


def test_validation_rows_alone_are_scored_and_the_test_stays_closed(world, monkeypatch):
    weeks_of_their_own(monkeypatch)
    context = on_validation(world)
    manifest = body(context)
    found = manifest.validation
    assert (manifest.split, manifest.scores, found.n, found.weeks) == ("validation", {}, 4, 2)
    assert f"{dataset_prefix('invented')}/validation.jsonl" in context.store.asked
    assert openings.count(world.store, "invented") == 0
    names = sorted(file.name for file in manifest.files)
    assert [name for name in names if "timing" not in name] == [
        "engine.json",
        "labels/tuned/prior-0000.jsonl",
        "labels/tuned/validation-0000.jsonl",
        "losses/tuned-validation.jsonl",
    ]
    assert not list(world.store.keys(f"{stage_prefix(context.run.id, Stage.EVAL)}/predictions"))
    assert "max_new_tokens" not in manifest.decoding
    assert "not opened" in manifest.warnings[0]


def test_the_label_log_loss_judges_each_week_with_the_temperature_of_the_others(world, monkeypatch):
    weeks_of_their_own(monkeypatch)
    context = on_validation(world)
    manifest = body(context)
    prefix = stage_prefix(context.run.id, Stage.EVAL)

    def stored(name):
        lines = world.store.read(f"{prefix}/{name}").splitlines()[1:]
        return {(one := json.loads(line))["example"]: one for line in lines}

    logp = stored("labels/tuned/validation-0000.jsonl")
    prior = next(iter(stored("labels/tuned/prior-0000.jsonl").values()))["logp"]
    rows = [example(n) for n in range(200, 204)]
    told = np.array([logp[row.id]["logp"] for row in rows]) - np.array(prior)
    outcome = np.array([float(LABELS.index(row.label)) for row in rows])
    shares = label_shares((example(n).label for n in range(100, 105)), LABELS)
    total = 0.0
    for week in (0, 1):
        mine = np.array([n % 2 == week for n in range(200, 204)])
        temperature = fit_temperature(told[~mine], outcome[~mine], shares)
        own = anchored(told[mine], shares, temperature, np.zeros(12))
        total += float(log_loss(own, outcome[mine]).sum())
    assert manifest.validation.label_log_loss == pytest.approx(total / 4)
    assert manifest.validation.label_log_loss != manifest.validation.label_log_loss_as_scored
    losses = stored("losses/tuned-validation.jsonl")
    assert set(losses) == {row.id for row in rows}


def test_an_evaluation_of_the_test_says_the_same_of_the_validation_rows(world, monkeypatch):
    weeks_of_their_own(monkeypatch)
    alone = body(on_validation(world)).validation
    run = world.run()  # of the same id here, where nothing is frozen anew
    shutil.rmtree(world.folder / "store" / stage_prefix(run.id, Stage.EVAL))
    whole = body(world.context(run, "whole"))
    assert whole.split == "test"
    assert whole.validation is None
    assert whole.scores["tuned"].label_validation_loss == pytest.approx(alone.label_log_loss)
    assert whole.scores["base"].label_validation_loss != pytest.approx(alone.label_log_loss)


def test_an_interrupted_one_goes_on_and_measures_nothing_twice(world, monkeypatch):
    weeks_of_their_own(monkeypatch)
    real, calls = scoring.answer_nll, []

    def stop(*_):
        raise Interrupted("stopped")

    monkeypatch.setattr(scoring, "answer_nll", stop)
    context = on_validation(world)
    with pytest.raises(Interrupted):
        body(context)
    monkeypatch.setattr(scoring, "answer_nll", lambda *args: calls.append(1) or real(*args))
    first = body(context)
    assert body(context).files == first.files
    assert calls == [1]
    assert any("labels/tuned/validation" in key for key in context.store.asked)
    assert chunks.timing_key("a.jsonl") == "a.timing.json"


def test_too_few_weeks_end_before_weights_load(world, monkeypatch):
    monkeypatch.setattr(validation, "week_of", lambda _: "one")
    monkeypatch.setattr(
        validation.Validation, "load_model", lambda _: pytest.fail("weights were loaded")
    )
    with pytest.raises(DataError, match=r"1 validation week.*prep\.validation_weeks"):
        body(on_validation(world))


def test_rows_of_several_days_share_a_week():
    assert week_of(example(0)) == "2024-W01"  # a Sunday, the last day of its week


def test_a_run_from_before_keeps_its_identity_and_nonsense_is_refused():
    plain = RunConfig(model="tiny-llama31")
    assert b"split" not in Run.of(plain, {}).config.eval.model_dump_json().encode()
    with pytest.raises(ConfigError, match=r"prep\.validation_weeks ≥ 2, not 1"):
        parse_config(
            {
                "model": "tiny-llama31",
                "prep": {"validation_weeks": 1},
                "eval": {"split": "validation"},
            },
            "here",
        )
    with pytest.raises(ConfigError, match="makes none"):
        parse_config(
            {"model": "tiny-llama31", "eval": {"split": "validation", "answer_rows": 3}}, "here"
        )
    assert PrepConfig().validation_weeks >= 2
