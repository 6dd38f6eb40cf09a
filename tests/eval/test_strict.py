"""The parser `strict`: the published code's results, quirks included."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingpt.eval.forecast import Forecast, ParseFailure
from fingpt.eval.strict import strict


def with_prediction(line: str) -> str:
    return (
        "[Positive Developments]:\n1. p\n\n[Potential Concerns]:\n1. c\n\n"
        f"[Prediction & Analysis]:\nPrediction: {line}\nAnalysis: because"
    )


@pytest.mark.parametrize(
    ("line", "direction", "margin"),
    [
        ("Up by 2-3%", 1, 2.5),
        ("Down by more than 5%", -1, -5.5),
        ("Up by 5+%", 1, 0.0),
        ("Up by more than 10%", 1, 0.5),
        ("Up by 100%", 1, 0.5),
        ("Down by 10-12%", -1, -2.5),
        ("Up by 0.5%", 1, 5.5),
        ("Up by 1.5-2.5%", 1, 5.5),
        ("Up by 2%-3%", 1, 2.5),
        ("Up by 2 - 3%", 1, 3.5),
        ("Up by 1–2%", 1, 2.5),
        ("Down by 1-2% despite upcoming earnings support", 1, 1.5),
        ("Decrease; not up", 1, 0.0),
        ("Down by around 3 percent", -1, 0.0),
        ("-1% to -2%", 0, 0.0),
        ("Flat", 0, 0.0),
        ("Stay unchanged (0%)", 0, 0.0),
        ("", 0, 0.0),
        ("Up by 0", 1, 0.0),
    ],
)
def test_quirks_of_the_published_code_are_reproduced(line, direction, margin):
    parsed = strict(with_prediction(line))
    assert isinstance(parsed, Forecast)
    assert (parsed.direction, parsed.margin) == (direction, margin)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not start with the positive developments"),
        ("Sure! " + with_prediction("Up by 1-2%"), "does not start with the positive developments"),
        (
            "<think>\n</think>\n" + with_prediction("Up"),
            "does not start with the positive developments",
        ),
        (with_prediction("Up").lower(), "does not start with the positive developments"),
        (
            with_prediction("Up").replace("[Prediction & Analysis]:", "[Prediction & Analysis]"),
            "no prediction section",
        ),
        (with_prediction("Up").replace("&", "&amp;"), "no prediction section"),
        (
            with_prediction("Up").replace("[Potential Concerns]:", "## Concerns"),
            "no potential concerns",
        ),
        (with_prediction("Up").replace("Prediction: ", "I say "), "no prediction line"),
        (with_prediction("Up").replace("Analysis: because", ""), "no analysis"),
    ],
)
def test_what_the_published_code_rejects_fails_with_a_reason(text, reason):
    assert strict(text) == ParseFailure(reason)


def test_the_last_of_two_answers_gives_the_direction_and_the_first_stays_in_the_pros():
    parsed = strict(with_prediction("Up by 1-2%") + "\n" + with_prediction("Down by 2-3%"))
    assert isinstance(parsed, Forecast)
    assert parsed.direction == -1
    assert "Up by 1-2%" in parsed.pros


def test_text_up_to_the_last_analysis_label_is_taken_for_the_prediction():
    parsed = strict(with_prediction("Down by 1-2%") + "\nMore. Analysis: supported")
    assert isinstance(parsed, Forecast)
    assert parsed.analysis == "supported"


@given(
    st.text()
    | st.lists(st.sampled_from(with_prediction("Up 1%").split("\n")), max_size=12).map("\n".join)
)
def test_strict_never_raises(text):
    assert isinstance(strict(text), Forecast | ParseFailure)
