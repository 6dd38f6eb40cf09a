from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from fingpt.prep.facts import facts, label_of
from fingpt.prompts.examples import LABELS, Example


def test_a_prompt_states_its_figures(example):
    found = facts(example(number=4, prices=(98.0, 100.0, 102.5), cap=5125.0, reported="2030-12-31"))
    assert (found.market_cap, found.shares, found.cap_price) == (5125.0, 50.0, 102.5)
    assert [(str(w.start), w.price_start, w.price_end) for w in found.weeks] == [
        ("2031-03-16", 98.0, 100.0),
        ("2031-03-23", 100.0, 102.5),
    ]
    assert found.last_price == 102.5
    assert (found.headlines, found.repeated) == (2, 1)
    assert found.reported == date(2030, 12, 31)
    assert found.asset == "stock"


def test_labels_follow_the_bins_of_the_published_arithmetic():
    for start, end, label in (
        (100, 100, "up by 0-1%"),
        (100, 100.4, "up by 0-1%"),
        (100, 101, "up by 0-1%"),
        (100, 101.01, "up by 1-2%"),
        (100, 99.99, "down by 0-1%"),
        (100, 95, "down by 4-5%"),
        (100, 94.99, "down by more than 5%"),
        (100, 200, "up by more than 5%"),
    ):
        assert label_of(start, end) == label
    assert label_of(0, 1) is None


@given(st.floats(0.01, 1e6), st.floats(0, 1e6))
def test_any_two_prices_give_one_of_the_twelve_labels(start, end):
    assert label_of(start, end) in LABELS


PIECES = st.sampled_from(
    [
        "From 2031-02-30 to 9999-99-99, X's stock price increased from 1.0 to 2.0. ",
        "From 2031-03-02 to 2031-03-09, X's stock price decreased from 0.00 to 0.00. ",
        "market capitalization of 1.0 in USD, with 0.0 shares",
        "\n",
        "[Headline]: ",
        "Some recent basic financials of X, reported at 2031-13-01, are",
        "\x00",
    ]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(PIECES, st.text(max_size=20)), max_size=12).map("".join))
def test_any_text_gives_facts_without_an_error(text):
    found = facts(
        Example(
            system="s",
            user=text,
            answer="a",
            symbol="X",
            period="2031-03-02 to 2031-03-09",
            label=LABELS[0],
            prompt=text,
            raw_answer="a",
        )
    )
    assert all(week.start <= date.max for week in found.weeks)
    assert found.cap_price is None or found.cap_price > 0
