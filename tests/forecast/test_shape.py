"""A question is held against the parts that training rows have."""

from __future__ import annotations

from fingpt.forecast.shape import Shape, headings

ROW = (
    "[Company Introduction]:\n\nA is a company.\n\n[Headline]: [Not a heading]: x\n[Summary]: y\n\n"
    "[Basic Financials]:\n\npe: 1"
)
SIGNALS = "\n\n[Market Sentiment Signals]:\n\nweb: 1"


def test_headings_are_those_of_parts_and_not_of_news():
    assert headings(ROW) == {"Company Introduction", "Basic Financials"}


def test_a_question_with_the_rows_parts_says_nothing():
    shape = Shape.of([ROW, ROW + SIGNALS])
    assert shape.differences(ROW) == ()
    assert shape.differences(ROW + SIGNALS) == ()


def test_a_part_that_no_row_has_and_one_that_all_have_are_named():
    shape = Shape.of([ROW, ROW])
    (extra,) = shape.differences(ROW + SIGNALS)
    assert "has Market Sentiment Signals, which none" in extra
    (lacking,) = shape.differences("[Company Introduction]:\n\nA is a company.")
    assert "lacks Basic Financials, which all" in lacking
    assert "SOURCES" in lacking
