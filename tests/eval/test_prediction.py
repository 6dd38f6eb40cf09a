"""The prediction line: every row of the published table and of ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingpt.eval.prediction import Move, read_move
from fingpt.prompts.examples import LABELS, parse_label


@pytest.mark.parametrize(
    ("line", "direction", "margin", "number"),
    [
        ("Up by 2-3%", 1, 2.5, 3),
        ("Down by more than 5%", -1, -5.5, 6),
        ("Up by 5+%", 1, 5.5, 6),
        ("Up by 5%+", 1, 5.5, 6),
        ("Up by more than 10%", 1, 5.5, 6),
        ("Up by 100%", 1, 5.5, 6),
        ("Down by 10-12%", -1, -5.5, 6),
        ("Up by 0.5%", 1, 0.5, 1),
        ("Up by 1.5-2.5%", 1, 2.0, 2),
        ("Up by 2%-3%", 1, 2.5, 3),
        ("Up by 2 - 3%", 1, 2.5, 3),
        ("Up by 1–2%", 1, 1.5, 2),
        ("Up by 1 to 2 percent", 1, 1.5, 2),
        ("Up between 1 and 2%", 1, 1.5, 2),
        ("Down by 1-2% despite upcoming earnings support", -1, -1.5, 2),
        ("Down by 1-2%, on supply worries", -1, -1.5, 2),
        ("Stock price update: decline by 2-3%", -1, -2.5, 3),
        ("Up by 2-3% after last week's decline", 1, 2.5, 3),
        ("Decrease; not up", -1, None, None),
        ("Not up, but down by 1-2%", -1, -1.5, 2),
        ("Down by around 3 percent", -1, -3.0, 3),
        ("-1% to -2%", -1, -1.5, 2),
        ("+1-2%", 1, 1.5, 2),
        ("−1% to −2%", -1, -1.5, 2),
        ("Flat", 0, 0.0, 0),
        ("Stay unchanged (0%)", 0, 0.0, 0),
        ("Up by 0", 0, 0.0, 0),
        ("Up by 0%", 0, 0.0, 0),
        ("Up by 2-3％", 1, 2.5, 3),
        ("Up by 2️⃣-3️⃣%", 1, 2.5, 3),
        ("Up by 2-3", 1, 2.5, 3),
        ("up by up to 2%", 1, 1.0, 1),
        ("Up to 2%", 1, 1.0, 1),
        ("**Up by 2-3%**", 1, 2.5, 3),
        ("Down by 1-2% in the week 2024-02-25 to 2024-03-03", -1, -1.5, 2),
        ("For 2024-02-25 to 2024-03-03: down by 1-2%", -1, -1.5, 2),
        ("Decline by 2024-03-03", -1, None, None),
    ],
)
def test_direction_and_size_are_read_as_wanted(line, direction, margin, number):
    move = read_move(line)
    assert move is not None
    assert (move.direction, move.margin, move.bin) == (direction, margin, number)


@pytest.mark.parametrize("line", ["", "...", "上涨 2-3%", "2-3%", "the group will support supply"])
def test_a_line_without_a_direction_is_refused(line):
    assert read_move(line) is None


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        ("Decrease; not up", "no_range"),
        ("Down by around 3 percent", "single_value"),
        ("Up by more than 2%", "open_range"),
        ("Up, or maybe down, by 1-2%", "both_directions"),
    ],
)
def test_what_is_unusual_is_flagged(line, flag):
    move = read_move(line)
    assert move is not None
    assert flag in move.flags


def test_a_published_label_carries_no_flag():
    for label in LABELS:
        truth = parse_label(label)
        assert read_move(label) == Move(truth.direction, truth.margin, truth.bin, ())


@given(
    st.text(alphabet=st.characters(), max_size=80) | st.text("updown 0123456789-+.%to", max_size=60)
)
def test_any_line_is_read_without_an_error_and_within_bounds(line):
    move = read_move(line)
    if move is not None and move.margin is not None:
        assert abs(move.margin) <= 5.5
        assert move.direction == (move.margin > 0) - (move.margin < 0)
