"""The parser against a person's readings of public answers. `pytest -s` prints the table."""

from __future__ import annotations

from collections import Counter

import pytest

from fingpt.eval.forecast import Forecast, ParseFailure
from fingpt.eval.robust import robust
from tests.eval.readings import agreement, as_text, outcome, readings, texts


def test_the_parser_agrees_with_a_persons_readings(real_data):
    known = texts(real_data)
    table = agreement(robust, known)
    if not table:
        pytest.skip(f"None of the answers in readings.jsonl is under {real_data}.")
    print(f"\n{as_text(table)}\n")
    counts = sum(table.values(), Counter())
    print(f"{counts.total()} of {len(readings())} labelled answers are at hand.")
    assert counts["wrong direction"] == 0
    assert counts["agree"] >= 0.99 * counts.total()


def test_readings_hold_labels_of_several_models_and_no_text():
    rows = readings()
    assert len(rows) >= 200
    assert len({row["model"] for row in rows}) >= 4
    assert len({row["sha256"] for row in rows}) == len(rows)
    for row in rows:
        assert set(row) - {"reason"} == {"sha256", "model", "part", "direction", "margin"}
        assert (row["direction"] is None) == ("reason" in row)
        assert row.get("reason") in (None, "undecided", "no prediction")
        assert row["margin"] is None or abs(row["margin"]) <= 5.5


def test_outcomes_tell_a_guess_from_a_miss_and_from_a_wrong_direction():
    up = Forecast("", "", "", 1, 2.5, 3)
    unread = ParseFailure("no direction")
    assert outcome(up, {"direction": 1, "margin": 2.5}) == "agree"
    assert outcome(up, {"direction": 1, "margin": None}) == "other margin"
    assert outcome(up, {"direction": -1, "margin": -2.5}) == "wrong direction"
    assert outcome(up, {"direction": None, "margin": None}) == "guessed"
    assert outcome(unread, {"direction": 1, "margin": 2.5}) == "unread"
    assert outcome(unread, {"direction": None, "margin": None}) == "agree"
