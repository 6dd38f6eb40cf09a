"""Metrics of label probabilities: each is the field's own figure, baselines and readings go through the same ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    matthews_corrcoef,
    mean_squared_error,
)

from fingpt.prompts.examples import LABELS, parse_label
from fingpt.report.probabilities import (
    LABEL_LOG_LOSS,
    MARGINS,
    METRICS,
    anonymous,
    base_rate,
    direction_right,
    expected_move,
    outcome,
    probabilities,
    probability_up,
    readings,
    recalled,
    uniform,
    with_temperature,
    without_prior,
)
from fingpt.report.reliability import reliability
from fingpt.report.stats import WeekBootstrap
from tests.made_run import _scores
from tests.report.world import Plan, make_examples, make_rows

BY_KEY = {metric.key: metric for metric in METRICS}
EXAMPLES = make_examples()


def scored(signal=1.0, seed=3, sharpness=1.0):
    """300 rows in ten weeks whose label probabilities know something of the truth; half of the prose is not read."""
    rows = make_rows(EXAMPLES, Plan(unread=0.5))
    rng = np.random.default_rng(seed)
    near = -np.abs(MARGINS[None, :] - rows.truth[:, None]) * signal
    return replace(rows, label_logp=sharpness * (near + rng.normal(0, 2, near.shape)) - 30)


@pytest.fixture(scope="module")
def scores():
    return scored()


def value(key, scores):
    return BY_KEY[key].of(scores).value


def test_the_outcome_is_the_label_of_the_row(scores):
    labels = {example.id: example.label for example in EXAMPLES}
    assert [LABELS[int(n)] for n in outcome(scores)] == [labels[one] for one in scores.example]


def test_every_metric_is_the_field_s_own_figure(scores):
    p, truth = probabilities(scores), outcome(scores)
    up, happened = probability_up(scores), scores.truth > 0
    said, move = up >= 0.5, p @ [parse_label(label).margin for label in LABELS]
    hit, weeks = np.eye(12)[truth.astype(int)], np.array(scores.week)
    wanted = {
        "label_log_loss": log_loss(truth, p, labels=np.arange(12)),
        "label_brier": 12 * mean_squared_error(hit, p),
        "label_rps": ((np.cumsum(p, 1) - np.cumsum(hit, 1))[:, :11] ** 2).mean(),
        "up_brier": brier_score_loss(happened, up),
        "label_accuracy": (said == happened).mean(),
        "label_balanced_accuracy": balanced_accuracy_score(happened, said),
        "label_mcc": matthews_corrcoef(happened, said),
        "label_mse": mean_squared_error(scores.truth, move),
        "rank_ic": np.mean(
            [spearmanr(move[weeks == w], scores.truth[weeks == w]).statistic for w in set(weeks)]
        ),
    }
    for key, figure in wanted.items():
        assert value(key, scores) == pytest.approx(float(figure)), key
    sure = np.argsort(-np.abs(up - 0.5))[:150]
    assert value("surest_accuracy", scores) == pytest.approx((said == happened)[sure].mean())


def test_calibration_and_refinement_are_parts_of_the_brier_score_of_up(scores):
    parts = value("up_calibration", scores) + value("up_refinement", scores)
    assert parts == pytest.approx(value("up_brier", scores), abs=0.01)
    bins = reliability(scores).bins
    assert value("up_ece", scores) == pytest.approx(
        sum(one.n * abs(one.forecast - one.happened.value) for one in bins) / 300
    )
    assert value("up_ece", scores) < value("up_ece", scored(signal=0.0, sharpness=3))


def test_every_metric_has_an_interval_and_is_paired_like_any_other(scores):
    other = scored(signal=0.0, seed=4)
    for metric in METRICS:
        if metric.key == "label_mse_return":
            continue
        own = metric.of(scores)
        assert own.low < own.value < own.high, metric.key
        gap = WeekBootstrap(scores.week).difference(
            metric.statistic, metric.columns(scores), metric.columns(other)
        )
        assert gap.value == pytest.approx(metric.of(other).value - own.value), metric.key
        assert gap.low < gap.value < gap.high, metric.key


def test_prose_that_was_not_read_changes_no_figure_of_the_labels(scores):
    silent = replace(scores, valid=np.zeros(300), direction=np.full(300, np.nan))
    for metric in METRICS:
        assert metric.of(silent) == metric.of(scores), metric.key


def test_only_rows_whose_return_is_known_have_an_error_against_it(scores):
    assert value("label_mse_return", scores) is None
    realised = np.where(np.arange(300) % 3 == 0, scores.truth + 0.2, np.nan)
    known = replace(scores, realised=realised)
    gaps = (expected_move(scores) - realised)[::3]
    assert value("label_mse_return", known) == pytest.approx(float((gaps**2).mean()))


def test_all_labels_alike_lose_the_logarithm_of_twelve(scores):
    assert value("label_log_loss", uniform(scores)) == pytest.approx(np.log(12))
    assert value("up_calibration", uniform(scores)) == pytest.approx(
        (0.5 - (scores.truth > 0).mean()) ** 2
    )


def test_the_base_rate_is_the_training_labels_and_leaves_no_label_impossible(scores):
    train = [one for one in make_examples(4, seed=8) if one.label != LABELS[0]]
    p = probabilities(base_rate(scores, train))[0]
    counts = np.array([sum(one.label == label for one in train) for label in LABELS])
    assert p == pytest.approx((counts + 1) / (len(train) + 12))
    assert p[0] > 0
    rate = base_rate(scores, train)
    gain = WeekBootstrap(scores.week).difference(
        LABEL_LOG_LOSS.statistic, LABEL_LOG_LOSS.columns(rate), LABEL_LOG_LOSS.columns(scored(3.0))
    )
    assert gain.high < 0, "probabilities that know the label beat the base rate"


def test_a_reading_is_offered_only_where_eval_fitted_what_it_needs(scores):
    own = _scores()
    assert list(readings(scores, own)) == ["as scored"]
    fitted = own.model_copy(update={"label_temperature": 2.0, "label_prior": (0.0,) * 12})
    found = readings(scores, fitted)
    assert list(found) == ["as scored", "with temperature", "less the prior"]
    assert found["with temperature"].label_logp == pytest.approx(
        with_temperature(scores, 2.0).label_logp
    )
    assert value("label_log_loss", found["less the prior"]) == value("label_log_loss", scores)


def test_a_model_that_says_the_same_of_every_row_is_uniform_without_its_prior(scores):
    habit = np.linspace(-9, -1, 12)
    same = replace(scores, label_logp=np.tile(habit, (300, 1)))
    assert value("label_log_loss", without_prior(same, habit)) == pytest.approx(np.log(12))


def test_sharp_probabilities_gain_from_the_temperature_that_flattens_them(scores):
    sharp = scored(sharpness=4.0)
    assert value("label_log_loss", with_temperature(sharp, 4.0)) < value("label_log_loss", sharp)


def test_arms_that_were_not_measured_are_none(scores):
    assert (anonymous(scores), recalled(scores)) == (None, None)
    assert scores.label_logp is not None
    masked = anonymous(replace(scores, anonymous_logp=scores.label_logp * 0))
    assert masked is not None
    assert value("label_log_loss", masked) == pytest.approx(np.log(12))


def test_the_chart_numbers_are_of_all_rows(scores):
    found = reliability(scores)
    assert sum(one.n for one in found.bins) == 300
    assert {one.n for one in found.bins} == {30}
    assert [one.forecast for one in found.bins] == sorted(one.forecast for one in found.bins)
    for one in found.bins:
        assert 0 <= one.happened.low <= one.happened.value <= one.happened.high <= 1
        assert one.happened.n == one.n
    assert found.coverage[-1].coverage == 1.0
    assert found.coverage[-1].risk == pytest.approx(1 - direction_right(scores).mean())
    assert found.coverage[29].risk < found.coverage[-1].risk, "the surest rows are right more often"
    assert [week.week for week in found.weeks] == sorted(set(scores.week))
    assert {week.n for week in found.weeks} == {30}
    assert found.ic_mean == pytest.approx(value("rank_ic", scores))
    assert found.ic_t > 2


def test_a_few_weeks_have_no_t_of_their_rank_correlation():
    few = make_examples(7)
    rows = make_rows(few, Plan())
    rng = np.random.default_rng(1)
    found = reliability(replace(rows, label_logp=rng.normal(size=(rows.n, 12))))
    assert (len(found.weeks), found.ic_t) == (7, None)
