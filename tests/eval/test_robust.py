"""The parser `robust` on whole answers: every known form, any text at all, and time linear in length."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingpt.eval.forecast import Forecast, ParseFailure, strip_reasoning
from fingpt.eval.robust import reference_sections, robust
from fingpt.eval.strict import strict

ANSWER = (
    "[Positive Developments]:\n1. Orders grew.\n2. Margins held.\n\n[Potential Concerns]:\n1. Costs rose.\n\n"
    "[Prediction & Analysis]:\nPrediction: Up by 2-3%\nAnalysis: Growth wins.\n\nSupport holds."
)
OTHER = ANSWER.replace("Up by 2-3%", "Down by 1-2%").replace("Orders", "Sales")


def read(text: str) -> Forecast:
    parsed = robust(text)
    assert isinstance(parsed, Forecast), parsed
    return parsed


def test_a_plain_answer_is_read_whole_and_without_flags():
    assert read(ANSWER) == Forecast(
        pros="1. Orders grew.\n2. Margins held.",
        cons="1. Costs rose.",
        analysis="Growth wins.\n\nSupport holds.",
        direction=1,
        margin=2.5,
        bin=3,
    )


@pytest.mark.parametrize(
    "text",
    [
        ANSWER.replace("[Prediction & Analysis]:", "[Prediction & Analysis]"),
        ANSWER.replace("&", "and"),
        ANSWER.replace("&", "&amp;"),
        ANSWER.replace("[", "**").replace("]:", ":**"),
        ANSWER.replace("[", "## ").replace("]:", ""),
        ANSWER.replace("[", "").replace("]:", ":"),
        ANSWER.replace("[", "").replace("]:", ""),
        ANSWER.replace("Prediction: Up by 2-3%", "**Prediction:** Up by 2-3%"),
        ANSWER.replace("Analysis: ", "**Analysis**: "),
        ANSWER.replace("\nAnalysis: ", " Analysis: "),
        "Sure! Here is my analysis.\n\n" + ANSWER,
        "Sure! " + ANSWER,
        "<think>\nPrediction: Down\n</think>\n\n" + ANSWER,
        "\ufeff" + ANSWER,
        ANSWER.replace("\n", "\r\n"),
        ANSWER.replace("\n", "\r"),
        ANSWER.replace("Up", "U\0p"),
        "   \n" + ANSWER + "  \n",
    ],
)
def test_other_dress_of_the_same_answer_gives_the_same_forecast(text):
    parsed, plain = read(text), read(ANSWER)
    assert (parsed.pros, parsed.cons, parsed.analysis) == (plain.pros, plain.cons, plain.analysis)
    assert (parsed.direction, parsed.margin, parsed.bin) == (1, 2.5, 3)


def test_lower_case_is_read():
    assert read(ANSWER.lower()).margin == 2.5


@pytest.mark.parametrize("glue", ["", "\n", "\n\nHere is another one:\n\n"])
def test_of_two_answers_the_first_counts_and_the_second_is_flagged(glue):
    parsed = read(ANSWER + glue + OTHER)
    assert parsed.direction == 1
    assert "Sales" not in parsed.pros + parsed.cons + parsed.analysis
    assert "run_on" in parsed.flags


def test_an_echoed_skeleton_before_the_answer_is_passed_over():
    skeleton = ANSWER.replace("Up by 2-3%", "...")
    parsed = read(skeleton + "\n\n" + OTHER)
    assert parsed.direction == -1
    assert "earlier_incomplete" in parsed.flags


def test_sections_of_two_answers_are_never_mixed():
    half = ANSWER[: ANSWER.index("[Prediction")]
    rest = OTHER.replace("[Potential Concerns]:\n1. Costs rose.\n\n", "")
    assert robust(half + rest) == ParseFailure("sections out of order")
    assert "Sales" in read(half + OTHER).pros


def test_the_word_analysis_inside_the_analysis_is_kept():
    assert read(ANSWER + "\nAnalysis: more").analysis.endswith("Analysis: more")


def test_prose_that_names_a_section_is_no_header():
    text = ANSWER.replace("2. Margins held.", "Potential concerns about debt faded.")
    assert "about debt" in read(text).pros


def test_an_answer_cut_off_after_its_prediction_is_read_and_flagged():
    assert read(ANSWER[: ANSWER.index("Analysis: ")]).flags == ("no_analysis",)


def test_reasoning_that_never_ends_is_flagged_and_an_answer_in_it_is_read():
    assert "think_unclosed" in read("<think>\nhm\n" + ANSWER).flags
    assert robust("<think> still thinking") == ParseFailure(
        "no positive developments", ("think_unclosed",)
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty answer"),
        (" \n\0\n", "empty answer"),
        ("<think>all</think>", "empty answer"),
        ("I cannot help with that.", "no positive developments"),
        ("[Positive Developments]:\n1. a", "no potential concerns"),
        ("[Positive Developments]:\n1. a\n[Potential Concerns]:\n1. b", "no prediction section"),
        (ANSWER.replace("Positive Developments", "X").replace("Potential Concerns", "Positive Developments").replace(
            "X", "Potential Concerns"), "sections out of order"),
        (ANSWER.replace("Prediction: Up by 2-3%\n", ""), "no prediction line"),
        (ANSWER.replace("Up by 2-3%", ""), "empty prediction"),
        (ANSWER.replace("Up by 2-3%", "..."), "no direction"),
        (ANSWER.replace("Up by 2-3%", "上涨"), "no direction"),
    ],
)  # fmt: skip
def test_every_failure_has_its_reason(text, reason):
    parsed = robust(text)
    assert isinstance(parsed, ParseFailure)
    assert parsed.reason == reason


def test_empty_sections_are_read_as_empty():
    headers = "[Positive Developments]:\n[Potential Concerns]:\n[Prediction & Analysis]:\n"
    text = headers + "Prediction: Up by 0-1%\nAnalysis:"
    parsed = read(text)
    assert (parsed.pros, parsed.cons, parsed.analysis) == ("", "", "")


def test_a_reference_without_a_prediction_line_still_has_its_sections():
    sections = reference_sections(ANSWER.replace("Prediction: Up by 2-3%\n", ""))
    assert sections is not None
    assert sections["analysis"] == "Growth wins.\n\nSupport holds."
    assert reference_sections("nothing") is None


def test_reasoning_ends_at_the_last_closing_tag():
    assert strip_reasoning("a</think>b</think>c") == ("c", False)
    assert strip_reasoning("a<think>b") == ("b", True)
    assert strip_reasoning("plain") == ("plain", False)


_PIECES = st.sampled_from(
    [
        *(line + "\n" for line in ANSWER.split("\n")),
        "[Positive Developments]:",
        "Prediction:",
        "Analysis:",
        "<think>",
        "</think>",
        "**",
        "[",
        "\r",
        "\0",
        "&amp;",
        "％",
        "up down 3%",
    ]
)


@given(st.text() | st.lists(_PIECES | st.text(max_size=8), max_size=25).map("".join))
def test_robust_never_raises_and_always_says_why(text):
    parsed = robust(text)
    assert parsed.reason if isinstance(parsed, ParseFailure) else parsed.direction in (-1, 0, 1)


_HOSTILE = {
    "headers": "[Positive Developments]:\n",
    "all headers": "[Positive Developments]:\n[Potential Concerns]:\n[Prediction & Analysis]:\n",
    "answers": ANSWER.replace("Up by 2-3%", "...") + "\n",
    "thinking": "<think>",
    "blanks": " ",
    "lines": "\n",
    "marks": "*#[_",
    "digits": "9",
    "predictions": "Prediction: ",
    "analyses": "Analysis:\n",
}


def _seconds(parser, text: str) -> float:
    start = time.perf_counter()
    parser(text)
    return time.perf_counter() - start


@pytest.mark.slow  # ten hostile texts of up to 10 MB, both parsers
@pytest.mark.parametrize("parser", [robust, strict])
@pytest.mark.parametrize("piece", _HOSTILE.values(), ids=_HOSTILE)
def test_time_grows_with_length_and_not_with_its_square(parser, piece):
    head = ANSWER[: ANSWER.index("Up by")]
    small, large = (head + piece * (size // len(piece)) for size in (1_000_000, 10_000_000))
    fast = min(_seconds(parser, small) for _ in range(3))
    assert _seconds(parser, large) < 40 * max(fast, 0.01)


@pytest.mark.parametrize("parser", [robust, strict])
def test_a_long_hostile_line_of_digits_takes_no_time(parser):
    assert _seconds(parser, ANSWER.replace("2-3%", "9" * 300_000)) < 1.0
