"""Verdict words: what an interval allows to be said, and one spelling of each word everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from fingpt.report import verdict as module
from fingpt.report.flips import PRIMARY_ALPHA, Difference, Interval, intervals
from fingpt.report.verdict import COMPARISONS, Verdict, verdict

ROOT = Path(__file__).parents[2]
SPELT_HERE = {
    Path(module.__file__),
    ROOT / "fingpt/report/rules.yaml",
}  # the rules are checked on loading
TEXTS = sorted(
    path
    for folder in ("fingpt/report", "tests/report")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".jinja", ".yaml"} and path not in SPELT_HERE
)


def interval(low, high, inner=None):
    return Interval(low, high, *(inner or (low, high)))


def test_words_need_an_interval_without_zero_and_know_which_way_is_good():
    assert verdict(interval(0.1, 0.2), True) == Verdict.BETTER
    assert verdict(interval(0.1, 0.2), False) == Verdict.WORSE
    assert verdict(interval(-0.2, -0.1), False) == Verdict.BETTER
    assert verdict(interval(-0.1, 0.2), True) == Verdict.NO_DIFFERENCE
    assert verdict(interval(0, 0), True) == Verdict.NO_DIFFERENCE


def test_equivalent_is_what_lies_within_the_margin_however_sure_the_gap():
    assert verdict(interval(-0.06, 0.03, (-0.04, 0.02)), True, 0.05) == Verdict.EQUIVALENT
    assert verdict(interval(-0.06, 0.03, (-0.055, 0.02)), True, 0.05) == Verdict.NO_DIFFERENCE
    assert verdict(interval(0.01, 0.03), True, 0.05) == Verdict.EQUIVALENT
    assert verdict(interval(0.01, 0.06), True, 0.05) == Verdict.BETTER
    assert verdict(interval(0, 0), True, 0.05) == Verdict.EQUIVALENT


def test_a_note_prints_no_word_and_only_better_and_worse_decide():
    assert [word for word in Verdict if not word.label] == [Verdict.NOTE]
    assert [word for word in Verdict if word.decisive] == [Verdict.BETTER, Verdict.WORSE]
    assert Verdict.NOTE not in COMPARISONS


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_no_verdict_is_spelt_beside_the_enum(path):
    """A single word only counts in quotes: prose may say that lower is better."""
    labels = [word.label for word in Verdict if word.label]
    short = "|".join(label for label in labels if " " not in label)
    long = "|".join(label for label in labels if " " in label)
    found = re.findall(rf"""["'](?:{short})["']|{long}""", path.read_text("utf-8"), re.IGNORECASE)
    assert found == []


def called_equivalent(weeks, gap, spread, rows_differ, draws=1000):
    """How often models that differ by `gap` are called equivalent at a margin of .02; weekly means of 30 rows each."""
    rng, share, found = np.random.default_rng(weeks), np.full(weeks, 1 / weeks), 0
    for _ in range(draws):
        means = gap + spread * np.sqrt(30) * rows_differ(rng, (weeks, 30)).mean(axis=1)
        one = Difference(float(means.mean()), means / weeks, share, 30 * weeks)
        (interval,) = intervals([one], PRIMARY_ALPHA, 1)
        found += verdict(interval, False, 0.02) is Verdict.EQUIVALENT
    return found / draws


ROWS_DIFFER = {
    "normally": lambda rng, shape: rng.normal(size=shape),
    "rarely and much": lambda rng, shape: rng.standard_t(3, size=shape) / np.sqrt(3),
    "mostly in one way": lambda rng, shape: rng.exponential(size=shape) - 1,
}


@pytest.mark.parametrize("how", ROWS_DIFFER)
@pytest.mark.parametrize("weeks", [8, 10])
def test_models_that_differ_by_the_margin_are_called_equivalent_in_few_of_twenty(weeks, how):
    """A test at 5 %; 1,000 draws of it lie below 7.5 % but for one in ten thousand."""
    assert called_equivalent(weeks, 0.02, 0.01, ROWS_DIFFER[how]) < 0.075


def test_ten_weeks_are_enough_to_call_models_equivalent_whose_weeks_hardly_differ():
    rows_differ = ROWS_DIFFER["normally"]
    shares = [called_equivalent(10, 0.0, spread, rows_differ, 200) for spread in (0.01, 0.02, 0.06)]
    assert shares[0] > 0.95
    assert 0.7 < shares[1] < 0.9
    assert shares[2] < 0.05
