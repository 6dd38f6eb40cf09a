"""What forecasts without any model score on the same rows. Pure.

Each baseline is per-row expectations (right direction, right side of the week's mean, squared error), so that random
forecasts are exact instead of drawn. Past prices are read from the prompts. Skill over them is `skill`'s.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from fingpt.metrics import Floats, correct, label_shares, mean, squared_error
from fingpt.prompts.examples import LABELS, Example, parse_label
from fingpt.record import Frozen
from fingpt.report.measures import relative_direction
from fingpt.report.stats import Estimate, WeekBootstrap, per_row

_HEAD = re.compile(
    r"^From \d{4}-\d\d-\d\d to (\d{4}-\d\d-\d\d), .{1,40}?'s (?:stock|fund|cryptocurrency) price \w+ "
    r"from (\d+(?:\.\d+)?) to (\d+(?:\.\d+)?)\.",
    re.MULTILINE,
)
_OPEN_BIN = 6


@dataclass(frozen=True, eq=False)
class Baseline:
    """A forecast without a model, one entry per row in the order of the examples it was made from.

    `correct`: chance of the right direction, None where no direction is forecast. `squared_error`: expected squared
    percentage points. `relative`: chance of the right side of the week's mean, a half for forecasts that do not tell
    stocks apart. `log_loss`: of the twelve labels, in nats, None where there are no probabilities. `trivial`: False for
    the oracle, which knows the outcome and is a ceiling, not a rival.
    """

    key: str
    title: str
    correct: Floats | None
    squared_error: Floats
    relative: Floats
    trivial: bool = True
    log_loss: Floats | None = None


class BaselineScore(Frozen):
    """A baseline's scores with week-clustered intervals."""

    key: str
    title: str
    trivial: bool
    accuracy: Estimate | None
    mse: Estimate


def last_move(example: Example) -> float | None:
    """Bin midpoint, in percentage points, of the newest past week that the prompt states; None where there is none.

    The bin follows the published rule: ceil of the absolute percentage, an unchanged price counts as up by 0-1%.
    """
    heads = _HEAD.findall(example.user)
    if not heads:
        return None
    _, before, after = max(heads, key=lambda head: head[0])
    if Decimal(before) == 0:
        return None
    percent = (Decimal(after) / Decimal(before) - 1) * 100
    number = min(max(math.ceil(abs(percent)), 1), _OPEN_BIN)
    return math.copysign(number - 0.5, float(percent))


def baselines(test: Sequence[Example], train: Sequence[Example]) -> tuple[Baseline, ...]:
    """All baselines over `test`; `train` gives its commonest label and its mean. Without a past price the move is 0."""
    truth = np.array([example.margin for example in test])
    last = np.array([_or_nan(last_move(example)) for example in test])
    weeks = [example.start.isoformat() for example in test]
    small = np.full(len(test), 0.5)
    found = [
        _fixed("always-down", "always “down by 0-1%”", truth, -small),
        _fixed("always-up", "always “up by 0-1%”", truth, small),
        Baseline("zero", "no change (forecast 0)", None, truth**2, small),
        Baseline(
            "coin", "coin flip, ±0.5", small, ((truth - 0.5) ** 2 + (truth + 0.5) ** 2) / 2, small
        ),
        _told_apart(
            "persistence-sign", "last week's direction, ±0.5", truth, np.sign(last) * 0.5, weeks
        ),
        _told_apart("persistence-bin", "last week's move", truth, last, weeks),
        _told_apart(
            "reversal-sign",
            "last week's direction reversed, ±0.5",
            truth,
            np.sign(last) * -0.5,
            weeks,
        ),
        _told_apart("reversal-bin", "last week's move, reversed", truth, -last, weeks),
        _draw(truth),
        replace(
            _fixed("uniform", "every label alike", truth, np.zeros(len(test))),
            correct=None,
            log_loss=np.full(len(test), math.log(len(LABELS))),
        ),
    ]
    if train:
        label, _ = Counter(example.label for example in train).most_common(1)[0]
        move = np.full(len(test), parse_label(label).margin)
        found.append(_fixed("train-majority", f"commonest training label (“{label}”)", truth, move))
        drift = float(np.mean([example.margin for example in train]))
        title = f"training labels: their mean ({drift:+.2f}), their shares"
        shares = label_shares((example.label for example in train), LABELS)
        chance = shares[[LABELS.index(example.label) for example in test]]
        constant = _fixed("train-mean", title, truth, np.full(len(test), drift))
        found.append(replace(constant, log_loss=-np.log(chance)))
    oracle = _fixed(
        "oracle-market", "oracle: each week's majority, ±0.5", truth, _market(weeks, truth)
    )
    return (*found, replace(oracle, trivial=False))


def score(baseline: Baseline, bootstrap: WeekBootstrap, rows: NDArray[np.bool_]) -> BaselineScore:
    """Accuracy and MSE of a baseline over those of its rows that `rows` picks and `bootstrap` was made for."""
    return BaselineScore(
        key=baseline.key,
        title=baseline.title,
        trivial=baseline.trivial,
        accuracy=None
        if baseline.correct is None
        else bootstrap.estimate(mean, per_row(baseline.correct[rows])),
        mse=bootstrap.estimate(mean, per_row(baseline.squared_error[rows])),
    )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _fixed(key: str, title: str, truth: Floats, move: Floats) -> Baseline:
    right = correct(np.sign(move), np.sign(truth))
    return Baseline(key, title, right, squared_error(move, truth), np.full(len(truth), 0.5))


def _told_apart(
    key: str, title: str, truth: Floats, move: Floats, weeks: Sequence[str]
) -> Baseline:
    return replace(_fixed(key, title, truth, move), relative=relative_direction(move, truth, weeks))


def _draw(truth: Floats) -> Baseline:
    """A forecast drawn from the labels of these rows: the expectation over all draws, row by row."""
    chance = np.array(
        [np.mean(np.sign(truth) == sign) for sign in np.sign(truth)], dtype=np.float64
    )
    squared = (truth - truth.mean()) ** 2 + truth.var() if len(truth) else truth
    half = np.full(len(truth), 0.5)
    return Baseline("label-draw", "random draw from these rows' labels", chance, squared, half)


def _market(weeks: Sequence[str], truth: Floats) -> Floats:
    up: dict[str, list[bool]] = {}
    for week, move in zip(weeks, truth, strict=True):
        up.setdefault(week, []).append(move > 0)
    return np.array([0.5 if np.mean(up[week]) > 0.5 else -0.5 for week in weeks], dtype=np.float64)
