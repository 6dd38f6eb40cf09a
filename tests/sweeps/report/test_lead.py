"""The comparison of the chosen setting with the default: its formula, its words, and how often it is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from fingpt.sweeps.report.lead import Word, judge

CHOSEN, DEFAULT = (0.801, 0.803, 0.799), (0.812, 0.809, 0.815)


def test_the_interval_is_that_of_welch():
    found = judge(CHOSEN, DEFAULT)
    wanted = ttest_ind(DEFAULT, CHOSEN, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert found.value == pytest.approx(0.011)
    assert found.noise == pytest.approx(
        np.sqrt((np.var(CHOSEN, ddof=1) + np.var(DEFAULT, ddof=1)) / 2)
    )
    assert found.times == pytest.approx(found.value / found.noise)
    assert found.word is Word.BETTER


def test_the_words_follow_the_interval():
    assert judge(DEFAULT, CHOSEN).word is Word.WORSE
    assert judge(CHOSEN, [value + 0.002 for value in CHOSEN]).word is Word.AS_GOOD
    assert judge(CHOSEN, CHOSEN).word is Word.AS_GOOD


def test_several_models_share_the_chance_of_an_error():
    one, two = judge(CHOSEN, DEFAULT), judge(CHOSEN, DEFAULT, comparisons=2)
    assert (one.level, two.level) == pytest.approx((0.95, 0.975))
    assert two.least > one.least


def test_one_seed_shows_no_noise_and_seeds_that_do_not_differ_have_no_unit():
    assert judge([0.8], DEFAULT) is None
    assert judge([], []) is None
    alike = judge([0.8, 0.8], [0.9, 0.9])
    assert (alike.word, alike.times, alike.noise) == (Word.BETTER, None, 0.0)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_settings_that_are_as_good_are_seldom_called_better_or_worse(seeds, spread):
    """`spread`: how many times noisier the default is. docs/sweeps.md has more of these."""
    rng = np.random.default_rng(1)
    draws = 1200
    words = [
        judge(rng.normal(0, 1, seeds), rng.normal(0, spread, seeds)).word for _ in range(draws)
    ]
    wrong = sum(word is not Word.AS_GOOD for word in words) / draws
    assert 0.02 < wrong < 0.075
    assert sum(word is Word.BETTER for word in words) / draws < 0.045


def test_the_best_of_many_trials_would_be_called_better_where_its_finals_are_not():
    """What the rule guards against: forty settings that are alike, the luckiest of which is chosen."""
    rng = np.random.default_rng(2)
    lucky = fair = 0
    for _ in range(200):
        trials, default = rng.normal(0, 1, 40), rng.normal(0, 1, 3)
        again = rng.normal(0, 1, 3)
        lucky += judge([trials.min(), *np.sort(trials)[1:3]], default).word is Word.BETTER
        fair += judge(again, default).word is Word.BETTER
    assert lucky / 200 > 0.3
    assert fair / 200 < 0.08
