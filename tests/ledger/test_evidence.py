"""The e-process keeps Ville's promise under every null that we could think of, and finds an effect that is there."""

from __future__ import annotations

import numpy as np
import pytest

from fingpt.ledger.evidence import (
    BETS,
    REACHED,
    WeekGain,
    brier_gains,
    direction_gains,
    evidence,
    weekly_gains,
)

WEEKS, ROWS, WORLDS = 104, 30, 2000


def capitals(gains: np.ndarray) -> np.ndarray:
    """The highest capital of each world; gains, (worlds, weeks), are in units of their bound."""
    grown = np.cumsum(np.log1p(BETS[:, None, None] * gains[None]), axis=2)
    return np.exp(grown).mean(axis=0).max(axis=1)


def coin(rng, p=0.5, market=0.0):
    """Mean of 30 bets of ±1 a week, with a common part of the week."""
    level = np.clip(p + market * rng.standard_normal((WORLDS, WEEKS, 1)), 0, 1)
    return (2.0 * (rng.random((WORLDS, WEEKS, ROWS)) < level) - 1).mean(axis=2)


def two_point(rng):
    """Gains that are small most weeks and rarely ruinous: mean 0, far from symmetric."""
    ruin = rng.random((WORLDS, WEEKS)) < 0.05
    return np.where(ruin, -0.95, 0.05)


def after_a_loss(rng):
    """The null lets each week depend on those before: the spread doubles after a loss."""
    gains = np.zeros((WORLDS, WEEKS))
    wide = np.zeros(WORLDS, dtype=bool)
    for week in range(WEEKS):
        size = np.where(wide, 0.8, 0.2)
        gains[:, week] = size * rng.choice([-1.0, 1.0], WORLDS)
        wide = gains[:, week] < 0
    return gains


@pytest.mark.parametrize(
    "draw",
    [
        coin,
        lambda rng: coin(rng, market=0.15),
        two_point,
        after_a_loss,
        lambda rng: coin(rng, 0.48),
    ],
    ids=["coins", "one market", "rare ruin", "dependent weeks", "worse than a coin"],
)
def test_if_nothing_is_there_the_capital_reaches_20_in_at_most_5_percent_of_ledgers(draw):
    """Looked at in each of 104 weeks. Three standard errors of 2,000 worlds are 1.5 points."""
    reached = (capitals(draw(np.random.default_rng(7))) >= REACHED).mean()
    assert reached <= 0.05 + 0.015


def test_the_capital_is_fair_after_a_year():
    grown = np.exp(
        np.cumsum(
            np.log1p(BETS[:, None, None] * coin(np.random.default_rng(3))[None, :, :20]), axis=2
        )
    )
    final = grown.mean(axis=0)[:, -1]
    assert final.mean() == pytest.approx(1.0, abs=4 * final.std() / np.sqrt(WORLDS))


def test_an_effect_is_found():
    """A share of 57 % right among the rows that differ is found within two years in nearly every ledger."""
    reached = (capitals(coin(np.random.default_rng(5), 0.57)) >= REACHED).mean()
    assert reached > 0.95


def test_the_process_is_the_product_of_the_bets():
    gains = [
        WeekGain(week="a", gain=0.1, bound=0.5, n=30),
        WeekGain(week="b", gain=0.0, bound=0.0, n=30),
        WeekGain(week="c", gain=-0.2, bound=0.4, n=30),
    ]
    found = evidence(gains)
    first = np.mean(1 + BETS * 0.2)
    last = np.mean((1 + BETS * 0.2) * (1 - BETS * 0.5))
    assert [value for _, value in found.path] == pytest.approx([first, first, last])
    assert (found.value, found.best) == pytest.approx((last, first))
    assert (found.reached, found.weeks) == ("a", 2)


def test_without_weeks_there_is_no_evidence_either_way():
    found = evidence([])
    assert (found.value, found.best, found.reached, found.weeks) == (1.0, 1.0, "", 0)


def test_bounds_hold_in_every_row_and_are_known_before_the_outcome():
    rng = np.random.default_rng(1)
    p, q = rng.random(5000), rng.random(5000)
    for outcome in (np.zeros(5000), np.ones(5000)):
        gain, bound = brier_gains(p, q, outcome)
        assert (np.abs(gain) <= bound + 1e-12).all()
    worst = np.maximum(*(np.abs(brier_gains(p, q, np.full(5000, o))[0]) for o in (0.0, 1.0)))
    assert brier_gains(p, q, np.zeros(5000))[1] == pytest.approx(worst)
    right, other = rng.integers(0, 2, 99).astype(float), rng.integers(0, 2, 99).astype(float)
    gain, bound = direction_gains(right, other, right != other)
    assert (np.abs(gain) <= bound).all()


def test_weeks_are_in_order_and_are_means_over_their_rows():
    gains = weekly_gains(["b", "a", "a"], np.array([1.0, 1.0, -1.0]), np.array([1.0, 1.0, 1.0]))
    assert [(g.week, g.gain, g.bound, g.n) for g in gains] == [
        ("a", 0.0, 1.0, 2),
        ("b", 1.0, 1.0, 1),
    ]
