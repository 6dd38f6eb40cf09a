"""What forecasts without any model score on the same rows, and a model's skill over the best of them. Pure.

Each baseline is a pair of per-row expectations, correct direction and squared error, so that random forecasts are
exact instead of drawn. Past prices are read from the prompts.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from fingpt.metrics import Floats, correct, mean, squared_error
from fingpt.prompts.examples import Example, parse_label
from fingpt.record import Frozen
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.stats import Estimate, WeekBootstrap, per_row
from fingpt.report.verdict import Verdict, verdict

_HEAD = re.compile(
    r"^From \d{4}-\d\d-\d\d to (\d{4}-\d\d-\d\d), .{1,40}?'s stock price \w+ from (\d+(?:\.\d+)?) to (\d+(?:\.\d+)?)\.",
    re.MULTILINE,
)
_OPEN_BIN = 6


@dataclass(frozen=True, eq=False)
class Baseline:
    """A forecast without a model, one entry per row in the order of the examples it was made from.

    `correct`: chance of the right direction, None where no direction is forecast. `squared_error`: expected squared
    percentage points. `trivial`: False for the oracle, which knows the outcome and is a ceiling, not a rival.
    """

    key: str
    title: str
    correct: Floats | None
    squared_error: Floats
    trivial: bool = True


class BaselineScore(Frozen):
    """A baseline's scores with week-clustered intervals."""

    key: str
    title: str
    trivial: bool
    accuracy: Estimate | None
    mse: Estimate


class Skill(Frozen):
    """One model against the best trivial forecast: accuracy above it, and MSE skill 1 − MSE/MSE(no change)."""

    model: str
    accuracy_rival: str
    accuracy_gain: Estimate
    accuracy_verdict: Verdict
    mse_skill: Estimate
    mse_verdict: Verdict


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
    """All baselines over `test`; `train` gives the majority label. Rows without a past price forecast nothing."""
    truth = np.array([example.margin for example in test])
    last = np.array([_or_nan(last_move(example)) for example in test])
    small = np.full(len(test), 0.5)
    found = [
        _fixed("always-down", "always “down by 0-1%”", truth, -small),
        _fixed("always-up", "always “up by 0-1%”", truth, small),
        Baseline("zero", "no change (forecast 0)", None, truth**2),
        Baseline("coin", "coin flip, ±0.5", small, ((truth - 0.5) ** 2 + (truth + 0.5) ** 2) / 2),
        _fixed("persistence-sign", "last week's direction, ±0.5", truth, np.sign(last) * 0.5),
        _fixed("persistence-bin", "last week's move", truth, last),
        _fixed("reversal-sign", "against last week, ±0.5", truth, np.sign(last) * -0.5),
        _fixed("reversal-bin", "last week's move, reversed", truth, -last),
        _draw(truth),
    ]
    if train:
        label, _ = Counter(example.label for example in train).most_common(1)[0]
        move = np.full(len(test), parse_label(label).margin)
        found.append(_fixed("train-majority", f"commonest training label (“{label}”)", truth, move))
    oracle = _market([example.start.isoformat() for example in test], truth)
    found.append(
        _fixed("oracle-market", "oracle: each week's majority, ±0.5", truth, oracle, trivial=False)
    )
    return tuple(found)


def score(baseline: Baseline, bootstrap: WeekBootstrap) -> BaselineScore:
    """Accuracy and MSE of a baseline over the rows that `bootstrap` was made for."""
    return BaselineScore(
        key=baseline.key,
        title=baseline.title,
        trivial=baseline.trivial,
        accuracy=None
        if baseline.correct is None
        else bootstrap.estimate(mean, per_row(baseline.correct)),
        mse=bootstrap.estimate(mean, per_row(baseline.squared_error)),
    )


def skill(title: str, scores: ScoreArrays, zero: Baseline, rival: Baseline, seed: int = 0) -> Skill:
    """The model `title` against no change (`zero`) in size, and the best trivial forecast (`rival`) in direction.

    The baselines must have been made for the same rows in the same order.
    """
    bootstrap = WeekBootstrap(scores.week, seed)
    assert rival.correct is not None
    gain = bootstrap.difference(mean, per_row(rival.correct), per_row(scores.correct))
    ratio = bootstrap.estimate(mean, {"total": scores.squared_error, "count": zero.squared_error})
    mse_skill = Estimate(
        value=None if ratio.value is None else 1 - ratio.value,
        low=None if ratio.high is None else 1 - ratio.high,
        high=None if ratio.low is None else 1 - ratio.low,
        n=ratio.n,
        weeks=ratio.weeks,
    )
    return Skill(
        model=title,
        accuracy_rival=rival.title,
        accuracy_gain=gain,
        accuracy_verdict=verdict(gain, True)[0],
        mse_skill=mse_skill,
        mse_verdict=verdict(mse_skill, True)[0],
    )


def best_direction(found: Sequence[Baseline]) -> Baseline:
    """The trivial baseline with the highest accuracy on these very rows: a strict rival, chosen after the fact."""
    return max((b for b in found if b.trivial and b.correct is not None), key=_accuracy)


def best_magnitude(found: Sequence[Baseline]) -> Baseline:
    """The trivial baseline with the lowest squared error on these very rows."""
    return min((b for b in found if b.trivial), key=lambda b: float(b.squared_error.mean()))


def _accuracy(baseline: Baseline) -> float:
    return -1.0 if baseline.correct is None else float(baseline.correct.mean())


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _fixed(key: str, title: str, truth: Floats, move: Floats, trivial: bool = True) -> Baseline:
    right = correct(np.sign(move), np.sign(truth))
    return Baseline(key, title, right, squared_error(move, truth), trivial)


def _draw(truth: Floats) -> Baseline:
    """A forecast drawn from the labels of these rows: the expectation over all draws, row by row."""
    chance = np.array(
        [np.mean(np.sign(truth) == sign) for sign in np.sign(truth)], dtype=np.float64
    )
    squared = (truth - truth.mean()) ** 2 + truth.var() if len(truth) else truth
    return Baseline("label-draw", "random draw from these rows' labels", chance, squared)


def _market(weeks: Sequence[str], truth: Floats) -> Floats:
    up: dict[str, list[bool]] = {}
    for week, move in zip(weeks, truth, strict=True):
        up.setdefault(week, []).append(move > 0)
    return np.array([0.5 if np.mean(up[week]) > 0.5 else -0.5 for week in weeks], dtype=np.float64)
