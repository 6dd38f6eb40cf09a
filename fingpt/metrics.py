"""The definitions of the metrics, shared by eval and the report: what a row contributes, and the figure of the sums.

A metric is a sum over rows divided by another: `correct` over rows is binary accuracy, `squared_error` over rows is
MSE, negative log-likelihood over answer tokens is the loss, F-measures over rows are ROUGE. The figure depends on the
rows through their sums alone, so that the report can sum each week once and resample weeks. Which rows count is the
caller's.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Number = TypeVar("Number", float, Floats)


def correct(direction: Floats, truth: Floats) -> Floats:
    """1 where the forecast direction (+1, 0, -1) is the true one, else 0; NaN, an unread direction, is never right."""
    right: Floats = (direction == truth).astype(np.float64)
    return right


def squared_error(margin: Floats, truth: Floats) -> Floats:
    """Squared percentage points between forecast and true move; NaN, no stated size, counts as a forecast of 0."""
    error: Floats = (np.nan_to_num(margin) - truth) ** 2
    return error


def mean(total: Number, count: Number) -> Number:
    """The mean, from a sum over rows and the number that it is taken over (rows, or tokens for the loss)."""
    return total / count


def accuracy(direction: Floats, truth: Floats) -> float:
    """Binary accuracy over one or more rows, 0 to 1."""
    return mean(float(correct(direction, truth).sum()), float(len(truth)))


def mse(margin: Floats, truth: Floats) -> float:
    """Mean squared error over one or more rows, in squared percentage points."""
    return mean(float(squared_error(margin, truth).sum()), float(len(truth)))
