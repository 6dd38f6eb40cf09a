"""What a number of rows and weeks can show: the smallest gap that is found, before anything is trained. Pure.

Two models are compared by the share of right directions. Rows of one week share the market as far as the two models
lean to different sides: a week in which more stocks rise then favours the one that says "up" more often.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct, norm, t

from fingpt.metrics import Floats
from fingpt.prompts.examples import Example
from fingpt.record import Frozen
from fingpt.report.clusters import MIN_CLUSTERS, Weeks
from fingpt.report.flips import PRIMARY_ALPHA

POWER = 0.8
DISCORDANCE = 0.45
"""Share of rows that exactly one of two models gets right: what two tuned models showed on the published rows."""
_CERTAIN = 9.0
LEAN = 0.1
"""Assumed difference in how often two models say "up", as between models that were measured on the published rows."""


class Power(Frozen):
    """What the rows can show of the primary question where that is direction.

    `gap`: the smallest true difference in accuracy, as a share, that such a test finds with 80 % probability; None
    where there are too few weeks for any. `design_effect`: variance of the difference over that of independent rows.
    """

    n: int
    weeks: int
    discordance: float
    design_effect: float
    gap: float | None


def market_spread(directions: Floats, codes: Sequence[int]) -> float:
    """Variance between weeks of the share of rising stocks, beyond what independent rows would show; at least 0.

    `directions`: +1 or −1 per row; `codes`: the row's week.
    """
    names, code = np.unique(np.asarray(codes), return_inverse=True)
    if len(names) < 2:
        return 0.0
    up = (np.asarray(directions) > 0).astype(np.float64)
    sizes = np.bincount(code).astype(np.float64)
    shares = np.bincount(code, weights=up) / sizes
    within = float((shares * (1 - shares) / np.maximum(sizes - 1, 1)).mean())
    return max(float(shares.var(ddof=1)) - within, 0.0)


def design_effect(spread: float, rows_per_week: float, lean: float, discordance: float) -> float:
    """Design effect of a difference in accuracy between models whose shares of "up" differ by `lean`.

    A week with a share u of rising stocks moves the difference by lean·(2u − 1), whose variance is 4·lean²·`spread`;
    independent rows have `discordance` / rows.
    """
    return 1 + rows_per_week * 4 * lean**2 * spread / max(discordance, 1e-9)


def power_at(gap: float, n: int, weeks: int, discordance: float, effect: float = 1.0) -> float:
    """Probability that a true difference of `gap` in accuracy is found among n rows of `weeks` independent weeks."""
    if weeks < MIN_CLUSTERS or n == 0:
        return 0.0
    variance = max(discordance * effect - gap * gap, 1e-12) / n
    shift, df = gap / math.sqrt(variance), weeks - 1
    critical = float(t.ppf(1 - _attained(n * discordance * effect) / 2, df))
    if shift > _CERTAIN:  # where the non-central t itself is not computed reliably
        return 1.0
    return min(float(nct.sf(critical, df, shift) + t.cdf(-critical - shift, df)), 1.0)


def _attained(variance: float) -> float:
    """The level that the test of flipped signs has for counts of right directions, whose `variance` is given.

    Flips of whole counts differ by steps of 2, so several are as extreme as the critical one, and none of these
    rejects: half such a group of flips is lost on average, 2·φ(z)·(step / 2) / sd.
    """
    lost = 2 * float(norm.pdf(norm.isf(PRIMARY_ALPHA / 2))) / math.sqrt(max(variance, 1e-12))
    return max(PRIMARY_ALPHA - lost, 0.0)


def detectable_gap(n: int, weeks: int, discordance: float, effect: float = 1.0) -> float | None:
    """The gap in accuracy that is found with 80 % probability; None where not even full discordance is."""
    if power_at(discordance, n, weeks, discordance, effect) < POWER:
        return None
    return float(
        brentq(
            lambda gap: power_at(gap, n, weeks, discordance, effect) - POWER,
            0.0,
            discordance,
            xtol=1e-6,
        )
    )


def plan(n: int, weeks: int, spread: float) -> Power:
    """What n rows of `weeks` weeks can show of two models that are not trained yet; `spread`: see `market_spread`."""
    effect = design_effect(spread, n / weeks if weeks else 0.0, LEAN, DISCORDANCE)
    return Power(
        n=n,
        weeks=weeks,
        discordance=DISCORDANCE,
        design_effect=effect,
        gap=detectable_gap(n, weeks, DISCORDANCE, effect),
    )


def planned(test: Sequence[Example], train: Sequence[Example]) -> Power:
    """What test examples can show before any model is trained; the market's part comes from the training labels."""
    weeks = Weeks.of((example.start.isoformat() for example in test), window_days(test))
    return plan(len(test), weeks.count // weeks.block, label_spread(train, weeks.days))


def window_days(examples: Sequence[Example]) -> int:
    """The commonest length of a label window; a week where there are no examples."""
    lengths = Counter((example.end - example.start).days for example in examples)
    return lengths.most_common(1)[0][0] if lengths else 7


def label_spread(train: Sequence[Example], days: int) -> float:
    """`market_spread` of the labels of training examples, in spans of `days` days."""
    return market_spread(
        np.array([example.margin for example in train]),
        [example.start.toordinal() // days for example in train],
    )


def statement(power: Power) -> str:
    """The power in words, with the true meaning of its 80 %."""
    rows = f"{power.n} test rows of {power.weeks} weeks"
    if power.weeks < MIN_CLUSTERS:
        return f"{rows} show no difference of any size: {MIN_CLUSTERS} weeks are the least for a verdict"
    if power.gap is None:
        return f"{rows} are too few to show any difference in accuracy"
    return (
        f"{rows} show gaps of {power.gap * 100:.0f} points or more in accuracy: a true gap of that size is found in "
        "80 of 100 such tests, a larger one more often, a smaller one less often"
    )
