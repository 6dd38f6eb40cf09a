"""What the weeks of a prompt say: the moves that they state."""

from __future__ import annotations

import pytest

from fingpt.prompts.news import stated_moves

USER = (
    "From 2031-02-23 to 2031-03-02, FWT's stock price increased from 8.00 to 9.00. News follow.\n\n"
    "From 2031-03-02 to 2031-03-09, FWT's stock price decreased from 9.00 to 4.50. News follow.\n\n"
    "[Summary]: From 2031-03-02 to 2031-03-09, X's stock price rose from 1.00 to 2.00.\n"
    "From 2031-03-09 to 2031-03-16, FWT's stock price increased from 0.00 to 4.50.\n"
)


def test_the_moves_of_past_weeks_are_percentages_by_symbol_and_week():
    assert stated_moves(USER) == {
        ("FWT", "2031-02-23 to 2031-03-02"): pytest.approx(12.5),
        ("FWT", "2031-03-02 to 2031-03-09"): pytest.approx(-50.0),
    }
    assert stated_moves("No week at all.") == {}
