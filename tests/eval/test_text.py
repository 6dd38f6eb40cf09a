"""Facts of an answer's text: which of its numbers its prompt has, and what is no number of that kind."""

from __future__ import annotations

import pytest

from fingpt.eval.text import PromptNumbers, text_facts

PROMPT = PromptNumbers(
    "Acme has a market capitalization of 2630215.57, founded 1980-12-12. From 2031-02-23 to 2031-03-02, ACM's stock "
    "price increased from 172.65 to 171.89.\n[Headline]: Sales of $2,631 million, up 7.5%\ngrossMargin: 0.4119\n"
    "netDebt: -12.5\nroe: 0.125"
)


def counts(text, prompt=PROMPT):
    found = text_facts(text, prompt)
    return found.numbers, found.numbers_in_prompt


@pytest.mark.parametrize(
    "text",
    [
        "It closed at 171.89.",
        "It closed near 172.",
        "It closed at $171.9, well.",
        "The gross margin is 41.19%, or 41 percent.",
        "A margin of 0.41 was seen.",
        "Sales of $2.6 billion (2,631 million; 2.63bn).",
        "Sales rose 7.5%.",
        "Debt of 12.5.",
        "In 1980 it was founded, in 2031 it grew.",
        "A market capitalization of 2,630,216.",
        "A return of 12.5 percent.",
    ],
)
def test_a_number_that_the_prompt_rounds_to_is_in_the_prompt(text):
    numbers, known = counts(text)
    assert numbers == known > 0


@pytest.mark.parametrize(
    "text",
    [
        "It closed at 171.9001.",
        "It closed at 174.",
        "A margin of 42%.",
        "Sales of $2.7 billion.",
        "Sales of $2.8 million.",
        "It was founded in 1981.",
        "It fell by 0.76.",  # worked out: 172.65 - 171.89
    ],
)
def test_a_number_that_no_number_of_the_prompt_rounds_to_is_not(text):
    assert counts(text) == (1, 0)


@pytest.mark.parametrize(
    "text",
    [
        "1. Orders grew.\n2) Costs rose.\n  10. All else.",
        "Prediction: Up by 2-3%\nAnalysis: up 2–3 % or more than 5%, within 0.5% - 1%.",
        "The week 2031-03-02 to 2031-03-09, from March 2 to 9th March.",
        "The S&P500, 5G, Q3, F150 and version 1.2.3.4.",
        "",
        "<think>\nIt was 99 in all.\n</think>\nUp.",
    ],
)
def test_list_numbers_dates_forecasts_names_and_reasoning_are_no_claims(text):
    assert counts(text) == (0, 0)


def test_words_are_those_of_the_answer_alone():
    assert text_facts("<think>so many words here</think>\n\nUp by 1-2%", PROMPT).words == 3


def test_a_long_answer_takes_no_long_time():
    text = "1,234.5% and " * 20_000 + "1" * 50_000 + " ," * 50_000
    assert text_facts(text, PROMPT).numbers == 20_000
