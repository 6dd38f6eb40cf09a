"""The metrics' definitions against scikit-learn, to the last digit, and what unread answers count as."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, mean_squared_error

from fingpt.metrics import accuracy, correct, mean, mse, squared_error


@pytest.mark.parametrize("n", [1, 2, 7, 130, 300, 5000])
def test_accuracy_and_mse_are_scikit_learns(n):
    rng = np.random.default_rng(n)
    direction, truth = rng.integers(-1, 2, n).astype(float), rng.integers(-1, 2, n).astype(float)
    margin, moved = rng.normal(0, 3, n), rng.normal(0, 3, n)
    assert accuracy(direction, truth) == accuracy_score(truth, direction)
    assert mse(margin, moved) == mean_squared_error(moved, margin)


def test_an_unread_direction_is_wrong_and_an_unread_size_is_a_forecast_of_0():
    nan = np.array([np.nan])
    for truth in (-1.0, 0.0, 1.0):
        assert correct(nan, np.array([truth])).tolist() == [0]
    assert squared_error(nan, np.array([2.5])).tolist() == [6.25]


def test_a_mean_takes_sums_of_one_sample_or_of_many():
    assert mean(3.0, 4.0) == 0.75
    assert mean(np.array([3.0, 1.0]), np.array([4.0, 4.0])).tolist() == [0.75, 0.25]
