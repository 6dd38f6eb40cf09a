"""The cutoff map, and the signs that a model knows the test weeks by heart."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from fingpt.models import MODELS, Cutoff, spec
from fingpt.report.memory import cutoff_map, memory
from fingpt.report.probabilities import LABEL_LOG_LOSS, MARGINS
from tests.report.world import Plan, make_examples, make_rows

TRAIN = make_examples(4, seed=8)
EXAMPLES = make_examples()
WEEKS = sorted({example.start for example in EXAMPLES})
MODEL = replace(spec("llama31"), cutoff=Cutoff(None, WEEKS[6], "says the test"))


def told(scores, knows):
    """Label scores that know a share of the truth."""
    rng = np.random.default_rng(int(10 * knows))
    near = -np.abs(MARGINS[None, :] - scores.truth[:, None]) * knows
    return near + rng.normal(0, 0.1, near.shape)


@pytest.fixture(scope="module")
def scores():
    rows = make_rows(EXAMPLES, Plan())
    return replace(
        rows,
        label_logp=told(rows, 1.0),
        anonymous_logp=told(rows, 0.1),
        recall_logp=told(rows, 0.8),
    )


def test_the_map_has_models_with_a_cutoff_and_splits_with_rows():
    found = cutoff_map(list(MODELS.values()), {"train": TRAIN, "validation": [], "test": EXAMPLES})
    assert [bar.model for bar in found.models] == ["Llama-3.1-8B", "DeepSeek-R1-Distill-Llama-8B"]
    assert [bar.stated for bar in found.models] == ["2023-12-31", None]
    assert [bar.clean_from for bar in found.models] == ["2024-01-01", "2025-02-01"]
    assert [(bar.split, bar.rows) for bar in found.splits] == [("train", 120), ("test", 300)]
    assert (found.splits[1].first, found.splits[1].last) == ("2030-01-06", "2030-03-17")


def test_names_that_tell_and_a_question_that_is_remembered_show(scores):
    found = memory(MODEL, scores, TRAIN)
    assert (found.before, found.after) == (180, 120)
    assert found.without_names.low > 0
    assert found.recall.high < 0
    blind = replace(scores, anonymous_logp=scores.label_logp, recall_logp=told(scores, 0.0))
    found = memory(MODEL, blind, TRAIN)
    assert found.without_names.value == 0
    assert found.recall.value > 0


def test_rows_before_and_after_the_cutoff_are_scored_apart(scores):
    early = np.array([date.fromisoformat(week) < WEEKS[6] for week in scores.week])
    logp = np.where(early[:, None], scores.label_logp, 0.0)
    found = memory(MODEL, replace(scores, label_logp=logp), TRAIN)
    assert found.log_loss_after.value == pytest.approx(np.log(12))
    assert found.log_loss_before.value < 2
    assert (found.log_loss_before.n, found.log_loss_before.weeks) == (180, 6)
    assert found.accuracy_before.value > found.accuracy_after.value
    whole = LABEL_LOG_LOSS.of(replace(scores, label_logp=logp)).value
    parts = 180 * found.log_loss_before.value + 120 * found.log_loss_after.value
    assert whole == pytest.approx(parts / 300)


def test_a_side_without_rows_and_arms_without_scores_are_none(scores):
    late = replace(MODEL, cutoff=Cutoff(None, date(2025, 2, 1), ""))
    found = memory(late, replace(scores, anonymous_logp=None, recall_logp=None), TRAIN)
    assert (found.before, found.log_loss_before, found.accuracy_before) == (0, None, None)
    assert (found.without_names, found.recall) == (None, None)
    assert memory(spec("tiny-llama31"), scores, TRAIN) is None
    assert memory(MODEL, replace(scores, label_logp=None), TRAIN) is None
