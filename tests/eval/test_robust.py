"""The parser `robust` on whole answers: every known layout, any text at all, and time linear in length."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingpt.eval import robust as parser
from fingpt.eval.forecast import Forecast, ParseFailure, strip_reasoning
from fingpt.eval.robust import REASONS, reference_sections, robust
from fingpt.eval.statement import READ_CHARACTERS, read_statement
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
    parsed = read(half + rest)
    assert (parsed.direction, parsed.cons) == (-1, "")
    assert "Sales" in parsed.pros
    assert "Sales" in read(half + OTHER).pros


def test_an_undecided_first_answer_is_not_replaced_by_the_next():
    undecided = ANSWER.replace("Up by 2-3%", "Stable or slightly higher")
    assert robust(undecided + "\n\n" + OTHER) == ParseFailure("undecided direction")


def test_the_word_analysis_inside_the_analysis_is_kept():
    assert read(ANSWER + "\nAnalysis: more").analysis.endswith("Analysis: more")


def test_prose_that_names_a_section_is_no_header():
    text = ANSWER.replace("2. Margins held.", "Potential concerns about debt faded.")
    assert "about debt" in read(text).pros


def test_an_answer_cut_off_after_its_prediction_is_read_and_flagged():
    assert read(ANSWER[: ANSWER.index("Analysis: ")]).flags == ("no_analysis",)


def test_reasoning_that_never_ends_is_flagged_and_an_answer_in_it_is_read():
    assert "think_unclosed" in read("<think>\nhm\n" + ANSWER).flags
    assert robust("<think> still thinking") == ParseFailure("no prediction", ("think_unclosed",))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty answer"),
        (" \n\0\n", "empty answer"),
        ("<think>all</think>", "empty answer"),
        ("I cannot help with that.", "no prediction"),
        ("[Positive Developments]:\n1. a", "no prediction"),
        ("[Positive Developments]:\n1. a\n[Potential Concerns]:\n1. b", "no prediction"),
        ("[Prediction & Analysis]:\n...\n\n[Company Introduction]:\nA mill.", "empty prediction"),
        (ANSWER.replace("Prediction: Up by 2-3%\n", ""), "empty prediction"),
        (ANSWER.replace("Up by 2-3%", ""), "empty prediction"),
        (ANSWER.replace("Up by 2-3%", "..."), "empty prediction"),
        (ANSWER.replace("Up by 2-3%", "BRAL stock price"), "no direction"),
        (ANSWER.replace("Up by 2-3%", "between $41 and $43"), "no direction"),
        (ANSWER.replace("Up by 2-3%", "up or down"), "undecided direction"),
        (ANSWER.replace("Up by 2-3%", "stable or slightly higher"), "undecided direction"),
        (ANSWER.replace("Up by 2-3%", "волатильность"), "no direction"),
    ],
)  # fmt: skip
def test_every_failure_has_its_reason(text, reason):
    parsed = robust(text)
    assert isinstance(parsed, ParseFailure)
    assert parsed.reason == reason
    assert parsed.reason in REASONS


def test_sections_in_another_order_are_read():
    swapped = ANSWER.replace("Positive Developments", "X").replace(
        "Potential Concerns", "Positive Developments"
    )
    parsed = read(swapped.replace("X", "Potential Concerns"))
    assert (parsed.direction, parsed.margin) == (1, 2.5)
    assert (parsed.pros, parsed.cons) == ("1. Costs rose.", "1. Orders grew.\n2. Margins held.")


TITLE = "**Prediction for BRAL Stock Price Movement:**\n\n"
TWICE = "**Prediction: Slight Increase**\n\n**Analysis:** Firm.\n\n**Prediction:**\nA slight rise of 1-2%."
FIRST = (
    "**Prediction: Up by 1-2%**\n\n**Analysis:**\n- **Positive Developments:** Orders.\n"
    "- **Potential Concerns:** Debt."
)
ONE_LINE = (
    "[Positive Developments]: 1. Orders. [Potential Concerns]: 1. Debt. [Prediction & Analysis]: "
)
LISTS = "Positive Developments:\n1. Orders grew.\n\nPotential Concerns:\n1. Costs rose.\n\n"


@pytest.mark.parametrize(
    ("text", "direction", "margin"),
    [
        (LISTS + "Prediction: **Up by 1-2%**\nThe mill is set for a firm week.", 1, 1.5),
        (LISTS + "**Prediction:** Down by 2-3%", -1, -2.5),
        (LISTS + "3. Prediction & Analysis:\n1. **Prediction**: Down by 1-2%\n2. **Analysis**: Weak.", -1, -1.5),
        (LISTS + "## 3. Prediction/Analysis\n- **Prediction:** Up by 3-4%\n- **Analysis:** Firm.", 1, 3.5),
        (LISTS + "### Prediction\nDown by 1-2%\n\n### Analysis:\nWeak.", -1, -1.5),
        (LISTS + "Prediction (2031-05-04 to 2031-05-11): Up by 1-2%", 1, 1.5),
        (LISTS + "**Prediction for Next Week (May 4-11):**\nThe stock should fall by 1-2%.", -1, -1.5),
        (LISTS + TITLE + "**Expected Movement:** 2-3% Increase", 1, 2.5),
        (LISTS + "**Prediction:**\n- **Direction:** Up\n- **Estimated Change:** +2%\n\n**Analysis:** Firm.", 1, 2.0),
        (LISTS + "**Prediction:**\n* Direction: down\n* Magnitude: 1-2%\n* Confidence: 70%", -1, -1.5),
        (LISTS + "**Stock Price Prediction:**\nA slight decline is expected.", -1, None),
        (LISTS + TWICE, 1, 1.5),
        (LISTS + "**Prediction: FERK Price Movement**\n\n**Analysis:** Weak.\n\n**Prediction:** A dip.", -1, None),
        (LISTS + "Prediction: \\boxed{Down by 1-2\\%}", -1, -1.5),
        (LISTS + "Prediction - Down by 1-2%", -1, -1.5),
        (FIRST, 1, 1.5),
        ("Prediction: Down by 3-4%\nAnalysis: Weak orders.", -1, -3.5),
        (LISTS + "Prediction & Analysis:\nThe share price will fall by 1-2% next week. Debt weighs.", -1, -1.5),
        (LISTS + "[Prediction & Analysis]: Orders grew. I predict that the stock will gain 2-3% next week.", 1, 2.5),
        (LISTS + "[Prediction & Analysis]: Prediction: Up by 1-2% Analysis: Firm.", 1, 1.5),
        (ONE_LINE + "Prediction: Down by 1-2%", -1, -1.5),
        ("Orders grew and debt fell. I predict that the price of BRAL will increase by 2% next week.", 1, 2.0),
        ("[积极发展]:\n1. 订单。\n\n[潜在担忧]:\n1. 成本。\n\n[预测与分析]:\n预测: 下跌1-2%\n分析: 疲软。", -1, -1.5),
        ("Okay, positive developments first.\n</think>\n" + LISTS + "Prediction: Down by 1-2%", -1, -1.5),
    ],
)  # fmt: skip
def test_a_label_opens_its_statement_in_any_layout(text, direction, margin):
    parsed = read(text)
    assert (parsed.direction, parsed.margin) == (direction, margin)


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("Prediction: Up by 1-2%", "no_sections"),
        (LISTS + "Prediction & Analysis:\nThe stock will fall by 1-2%.", "no_label"),
        ("I predict that the stock will fall by 1-2%.", "no_label"),
    ],
)
def test_a_layout_that_lacks_parts_is_flagged(text, flag):
    assert flag in read(text).flags


@pytest.mark.parametrize(
    "text",
    [
        LISTS.replace("Orders grew.", "**Prediction of 15% upside:** a bank was pleased."),
        LISTS.replace("Orders grew.", "Prediction for 2031: sales up by 10%."),
        LISTS + "**Analysis and Prediction for BRAL**",
        LISTS + "Please make your prediction of the stock price movement, such as up by 2-3%.",
    ],
)
def test_the_word_prediction_in_a_list_or_a_title_is_no_label(text):
    assert not robust(text).ok


def test_prices_and_past_weeks_of_an_echoed_prompt_are_no_prediction():
    week = "From 2031-05-04 to 2031-05-11, BRAL's stock price increased from 41 to 43."
    prompt = f"[Prediction & Analysis]:\n...\n\n[Company Introduction]:\n{week}"
    assert robust(prompt) == ParseFailure("empty prediction")


def test_pros_cons_and_analysis_are_found_around_a_prediction_that_stands_first():
    parsed = read(
        "Prediction: Up by 1-2%\nAnalysis: Orders win.\n\n"
        "Positive Developments:\n1. Orders.\n\nPotential Concerns:\n1. Debt."
    )
    assert (parsed.pros, parsed.cons) == ("1. Orders.", "1. Debt.")
    assert parsed.analysis.startswith("Orders win.")
    assert "run_on" not in parsed.flags


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
    if isinstance(parsed, ParseFailure):
        assert parsed.reason in REASONS
    else:
        assert parsed.direction in (-1, 0, 1)


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
    "sections": "[Prediction & Analysis]:\n",
    "brackets": "Prediction: ((((((((",
    "explicit": "i predict that ",
    "or": "up or stable, but ",
    "full stops": ". . ",
}


def _seconds(parser, text: str) -> float:
    start = time.process_time()
    parser(text)
    return time.process_time() - start


@pytest.mark.parametrize("piece", _HOSTILE.values(), ids=_HOSTILE)
def test_what_is_read_of_a_hostile_text_is_bounded_by_its_length(piece, monkeypatch):
    lengths: list[int] = []

    def counted(text, *, prose=False):
        lengths.append(len(text))
        return read_statement(text, prose=prose)

    monkeypatch.setattr(parser, "read_statement", counted)
    text = LISTS + piece * (100_000 // len(piece))
    robust(text)
    assert max(lengths, default=0) <= READ_CHARACTERS
    assert sum(lengths) <= 5 * len(text)


def test_of_a_long_line_only_its_beginning_is_read():
    line = "Prediction: Down by 1-2% " + "((" * 5_000 + " up by 4-5%" + "))" * 5_000
    assert (read(line).direction, read(line).margin) == (-1, -1.5)
    assert not robust("Prediction: " + "a" * 10_000 + " up by 4-5%").ok


@pytest.mark.slow  # fifteen hostile texts of up to 10 MB, both parsers
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


@pytest.mark.parametrize("line", ["Magnitude: **3-4%**", "**Expected change**: 3 to 4 percent"])
def test_a_size_on_a_line_of_its_own_belongs_to_the_label_above(line):
    found = read(f"Prediction: **Increase**\n{line}\n\nAnalysis: Fears of a decline by 1-2%.")
    assert (found.direction, found.margin) == (1, 3.5)
