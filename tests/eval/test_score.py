"""Which rows count, what a failure means, and the published numbers on the published answers."""

from __future__ import annotations

import pytest

from fingpt.errors import DataError
from fingpt.eval.score import REFERENCE_FAILED, Pair, score_robust, score_strict, summarise

HEAD = (
    "[Positive Developments]:\n1. Orders grew.\n\n[Potential Concerns]:\n1. Costs rose.\n\n"
    "[Prediction & Analysis]:\n"
)


def text(prediction: str) -> str:
    return f"{HEAD}Prediction: {prediction}\nAnalysis: It adds up."


UP, DOWN = text("Up by 2-3%"), text("Down by 0-1%")
WITHOUT_LINE = f"{HEAD}It goes up."


def strict_of(metrics, *pairs):
    return summarise(pairs=score_strict(pairs=pairs, metrics=metrics), metrics=metrics)


def robust_of(metrics, *pairs):
    return summarise(pairs=score_robust(pairs=pairs, metrics=metrics), metrics=metrics)


def test_failures_stay_in_the_denominator_of_the_all_scores(metrics):
    rows = [
        Pair(UP, UP, "up by 2-3%"),
        Pair("no idea", UP, "up by 2-3%"),
        Pair(DOWN, UP, "up by 2-3%"),
    ]
    scores = robust_of(metrics, *rows)
    assert (scores.n, scores.parsed, scores.valid) == (3, 2, 2)
    assert scores.binary_accuracy == 0.5
    assert scores.accuracy_all == pytest.approx(1 / 3)
    assert scores.mse == pytest.approx((0 + 3.0**2) / 2)
    assert scores.mse_all == pytest.approx((0 + 2.5**2 + 3.0**2) / 3)
    assert scores.failures == {"no prediction": 1}


def test_strict_truth_is_the_reference_text_and_robust_truth_is_the_label(metrics):
    row = Pair(UP, UP, "down by 0-1%")
    assert strict_of(metrics, row).binary_accuracy == 1.0
    assert robust_of(metrics, row).binary_accuracy == 0.0


def test_under_strict_a_pair_without_a_readable_reference_is_not_valid(metrics):
    scores = strict_of(metrics, Pair(UP, WITHOUT_LINE, "up by 2-3%"), Pair(UP, UP, "up by 2-3%"))
    assert (scores.n, scores.parsed, scores.valid) == (2, 2, 1)
    assert scores.failures == {REFERENCE_FAILED: 1}
    assert scores.accuracy_all == 1.0


def test_under_robust_a_reference_without_a_prediction_line_still_gives_rouge(metrics):
    scores = robust_of(metrics, Pair(UP, WITHOUT_LINE, "up by 2-3%"))
    assert scores.valid == 1
    assert scores.rouge["pros"].rouge1 == 1.0


def test_failures_add_up_to_the_rows_that_are_not_valid(metrics):
    rows = [Pair(answer, UP, "up by 2-3%") for answer in ("", "x", WITHOUT_LINE, UP, text("..."))]
    for scores in (strict_of(metrics, *rows), robust_of(metrics, *rows)):
        assert sum(scores.failures.values()) == scores.n - scores.valid


def test_when_nothing_parses_means_are_none_and_the_all_scores_stand(metrics):
    scores = robust_of(metrics, Pair("", UP, "up by 2-3%"))
    assert (scores.binary_accuracy, scores.mse, scores.rouge) == (None, None, {})
    assert (scores.accuracy_all, scores.mse_all) == (0.0, 6.25)


def test_a_forecast_without_a_size_counts_as_zero_in_the_error(metrics):
    scores = robust_of(metrics, Pair(text("Up"), UP, "up by 2-3%"))
    assert (scores.binary_accuracy, scores.mse) == (1.0, 6.25)


def test_reasoning_fails_strict_and_is_removed_on_request(metrics):
    rows = [Pair("<think>\n\n</think>\n\n" + UP, UP, "up by 2-3%")]
    assert strict_of(metrics, *rows).parsed == 0
    parsed = score_strict(pairs=rows, metrics=metrics, without_reasoning=True)
    assert summarise(pairs=parsed, metrics=metrics).valid == 1


def test_a_label_outside_the_grammar_is_refused(metrics):
    with pytest.raises(DataError, match="none of the twelve labels"):
        robust_of(metrics, Pair(UP, UP, "sideways"))
