"""Examples: identity, codec, label and period grammar."""

from dataclasses import replace
from datetime import date

import pytest

from fingpt.errors import DataError
from fingpt.prompts.examples import (
    LABELS,
    Example,
    decode_jsonl,
    encode_jsonl,
    parse_label,
    parse_period,
)

EXAMPLE = Example(
    system="Be brief.",
    user="What next?\u2028\x85 week",
    answer="Up.",
    symbol="NWS",
    period="2031-03-02 to 2031-03-09",
    label="up by 2-3%",
    prompt="[INST]What next?[/INST]",
    raw_answer="Up.",
)


def test_twelve_labels_run_from_the_lowest_margin_to_the_highest():
    margins = [parse_label(label).margin for label in LABELS]
    assert margins == [-5.5, -4.5, -3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


@pytest.mark.parametrize("text", ["", "up", "up by 2-4%", "up by 0", "sideways by 1-2%", "U3"])
def test_text_outside_the_label_grammar_is_refused(text):
    with pytest.raises(DataError, match="none of the twelve labels"):
        parse_label(text)


def test_label_case_and_blanks_do_not_matter():
    assert parse_label("  Up by  more than 5% ").margin == 5.5


@pytest.mark.parametrize(
    "text", ["2031-03-09 to 2031-03-02", "2031-03-02", "2031-13-02 to 2031-03-09", ""]
)
def test_a_malformed_or_reversed_period_is_refused(text):
    with pytest.raises(DataError, match="YYYY-MM-DD"):
        parse_period(text)


def test_period_ends_are_dates():
    assert (EXAMPLE.start, EXAMPLE.end) == (date(2031, 3, 2), date(2031, 3, 9))


def test_the_codec_round_trips_even_unicode_line_separators():
    examples = [EXAMPLE, replace(EXAMPLE, symbol="X", notes=("prediction-line-restored",))]
    assert decode_jsonl(encode_jsonl(examples)) == examples


def test_identity_is_content():
    assert EXAMPLE.id == replace(EXAMPLE).id != replace(EXAMPLE, answer="Down.").id


def test_a_line_that_is_no_example_is_named():
    data = encode_jsonl([EXAMPLE]) + b'{"system": "x"}\n'
    with pytest.raises(DataError, match="Line 2"):
        decode_jsonl(data)
