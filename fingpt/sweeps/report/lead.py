"""How far the chosen setting leads the default, against the noise between training seeds. Pure.

Only finals are compared, which were trained anew with other seeds than the trials: the best of many trials is partly
lucky, so its own value flatters the setting. The rule is Welch's t test of two means (Welch 1947), with as many seeds
as a side has.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from scipy.special import stdtrit

from fingpt.record import Frozen

ALPHA = 0.05
"""How often the comparisons of a report together may call a setting better or worse that is as good."""
LEAST_SEEDS = 2


class Word(StrEnum):
    """How the chosen setting stands against the default."""

    BETTER = "better"
    AS_GOOD = "the default is as good"
    WORSE = "worse"
    SAME = "the default was chosen"
    UNKNOWN = "not known yet"


class Lead(Frozen):
    """The default's mean loss less the chosen setting's, in nats: positive where the chosen setting is better.

    `low` to `high` is the interval at `level`; `least` is the lead from which it would leave out 0. `noise`: standard
    deviation of the loss between seeds, of both settings pooled. `times`: the lead in units of it, None where seeds do
    not differ at all.
    """

    word: Word
    chosen_mean: float
    default_mean: float
    chosen_seeds: int
    default_seeds: int
    value: float
    low: float
    high: float
    least: float
    level: float
    noise: float
    times: float | None


def judge(chosen: Sequence[float], default: Sequence[float], comparisons: int = 1) -> Lead | None:
    """Compare the losses of two settings, one per seed; `comparisons` in a report share `ALPHA` (Bonferroni).

    The interval is lead ± t(1 − ALPHA / comparisons / 2; ν) · √(s²_c/n_c + s²_d/n_d), ν after Welch and Satterthwaite.
    None where a side has fewer than two seeds, which show no noise.
    """
    if min(len(chosen), len(default)) < LEAST_SEEDS:
        return None
    sides = [np.asarray(side, dtype=float) for side in (chosen, default)]
    means = [float(side.mean()) for side in sides]
    variances = [float(side.var(ddof=1)) for side in sides]
    parts = [variance / len(side) for variance, side in zip(variances, sides, strict=True)]
    error = float(np.sqrt(sum(parts)))
    level = 1 - ALPHA / comparisons
    least = (
        float(stdtrit(_freedom(parts, [len(side) for side in sides]), (1 + level) / 2)) * error
        if error
        else 0.0
    )
    value = means[1] - means[0]
    noise = _pooled(variances, [len(side) for side in sides])
    return Lead(
        word=_word(value, least),
        chosen_mean=means[0],
        default_mean=means[1],
        chosen_seeds=len(chosen),
        default_seeds=len(default),
        value=value,
        low=value - least,
        high=value + least,
        least=least,
        level=level,
        noise=noise,
        times=abs(value) / noise if noise else None,
    )


def _word(value: float, least: float) -> Word:
    if abs(value) <= least:
        return Word.AS_GOOD
    return Word.BETTER if value > 0 else Word.WORSE


def _freedom(parts: Sequence[float], counts: Sequence[int]) -> float:
    """Degrees of freedom of the error of a difference (Satterthwaite 1946)."""
    shares = sum(part**2 / (n - 1) for part, n in zip(parts, counts, strict=True))
    return sum(parts) ** 2 / shares


def _pooled(variances: Sequence[float], counts: Sequence[int]) -> float:
    freedom = [count - 1 for count in counts]
    weighted = sum(v * f for v, f in zip(variances, freedom, strict=True))
    return float(np.sqrt(weighted / sum(freedom)))
