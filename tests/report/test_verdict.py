"""Verdict words: what an interval allows to be said, and one spelling of each word everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fingpt.report import verdict as module
from fingpt.report.stats import Estimate
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


def estimate(low, high):
    return Estimate(value=(low + high) / 2, low=low, high=high, n=300, weeks=10)


def test_words_need_an_interval_without_zero_and_know_which_way_is_good():
    assert verdict(estimate(0.1, 0.2), True)[0] == Verdict.BETTER
    assert verdict(estimate(0.1, 0.2), False)[0] == Verdict.WORSE
    assert verdict(estimate(-0.2, -0.1), False)[0] == Verdict.BETTER
    assert verdict(estimate(-0.1, 0.2), True)[0] == Verdict.NO_DIFFERENCE
    assert verdict(estimate(0, 0), True)[0] == Verdict.NO_DIFFERENCE
    assert verdict(Estimate(value=1.0, n=9, weeks=3), True) == (
        Verdict.NOT_COMPARABLE,
        "3 test weeks, an interval needs 6",
    )


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
