"""Anonymous prompts: no name, no symbol, no date of the company is left; the rest is as it was."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from fingpt.prompts.anonymous import anonymise, recall
from fingpt.prompts.examples import Example
from fingpt.prompts.news import stated_moves
from fingpt.synthetic.rows import sample_rows

USER = (
    "[Company Introduction]:\n\nGoldmoor Steel Group Inc is a leading entity in the Metals sector, listed since "
    "1999-05-04, under the ticker STL on the exchange.\n\nFrom 2031-02-23 to 2031-03-02, STL's stock price increased "
    "from 8.00 to 9.00. News during this period are listed below:\n\n[Headline]: GOLDMOOR STEEL beats 2031 plans\n"
    "[Summary]: Goldmoor Steel Group sold 2031.5 tons; Goldmoor's rival Stella did not. STLX and $2031 stay."
)


def example(user=USER, symbol="STL"):
    return Example("s", user, "a", symbol, "2031-03-02 to 2031-03-09", "up by 1-2%", "", "")


def test_names_symbol_and_dates_are_replaced_and_nothing_else():
    assert anonymise(example()).user == (
        "[Company Introduction]:\n\nCompany A is a leading entity in the Metals sector, listed since 2009-04-21, under "
        "the ticker CMPA on the exchange.\n\nFrom 2041-02-10 to 2041-02-17, CMPA's stock price increased from 8.00 to "
        "9.00. News during this period are listed below:\n\n[Headline]: Company A beats 2041 plans\n[Summary]: Company "
        "A sold 2031.5 tons; Company A's rival Stella did not. STLX and $2031 stay."
    )


def test_weekdays_and_the_length_of_weeks_stay():
    (moved,) = stated_moves(anonymise(example()).user)
    assert moved == ("CMPA", "2041-02-10 to 2041-02-17")


@pytest.mark.parametrize("row", sample_rows()["test"][:12], ids=lambda row: row.symbol)
def test_no_name_of_the_sample_is_left(row):
    before = example(row.user, row.symbol)
    after = anonymise(before)
    name = re.search(r"Introduction\]:\s+(\S+)", row.user)[1]
    assert name in before.user
    assert name not in after.user
    assert row.symbol not in after.user
    assert not set(re.findall(r"\d{4}-\d\d-\d\d", before.user)) & set(
        re.findall(r"\d{4}-\d\d-\d\d", after.user)
    )
    assert replace(after, user=before.user) == before


def test_a_prompt_without_an_introduction_loses_symbol_and_dates():
    text = "From 2031-02-23 to 2031-03-02, STL's stock price rose."
    assert (
        anonymise(example(text)).user == "From 2041-02-10 to 2041-02-17, CMPA's stock price rose."
    )


def test_the_question_of_recall_gives_company_and_week_alone():
    asked = recall(example())
    assert "Goldmoor Steel Group Inc (STL)" in asked.user
    assert "2031-03-02 to 2031-03-09" in asked.user
    assert "9.00" not in asked.user
    assert "of STL change" in recall(example("No introduction.")).user
