"""Verdict words: what an interval allows to be said, and one spelling of each word everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fingpt.report import verdict as module
from fingpt.report.flips import Interval
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
