"""What counts and what does not, what trivial forecasts may know, and figures against hand-made ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from fingpt.ledger.book import read_book
from fingpt.ledger.chains import open_ledger
from fingpt.ledger.compose import compose
from fingpt.ledger.contests import against_all, apart, reach
from fingpt.ledger.document import Contest
from fingpt.ledger.evidence import WeekGain, evidence
from fingpt.ledger.records import Outcome, Status
from fingpt.ledger.render import render
from fingpt.ledger.score import score
from fingpt.report.stats import Estimate
from fingpt.report.verdict import Verdict
from tests.ledger.invented import (
    OTHER,
    RUN,
    WEEK,
    TableMarket,
    forecast,
    friday,
    keep,
    leaning,
    rose,
    soon,
    three_weeks,
    write_at,
)


def page_of(store, now=None):
    return compose(read_book(open_ledger(store, "test")), now or soon(3))


def scored(store, table=None, default=1.5, week=4):
    score(open_ledger(store, "test"), TableMarket(table or {}, default), soon(week))
    return page_of(store)


def test_before_anything_is_scored_the_page_says_what_was_forecast(store):
    three_weeks(store)
    page = page_of(store)
    (table,) = page.weeks
    assert (table.week, table.over) == ("2026-01-16", False)
    assert {line.status for line in table.lines} == {"waiting"}
    assert page.standings[0].left_out == {"waiting": 6}
    assert page.headline[0].text == "Nothing that counts has been scored yet."
    assert "no skill shown" not in render(page)["ledger.md"].decode()
    assert not page.outlook.measured
    assert "not over or not scored yet" in render(page)["ledger.html"].decode()


def test_the_newest_week_and_the_newest_scored_one_are_shown(store):
    three_weeks(store)
    score(open_ledger(store, "test"), TableMarket(), soon(2))
    assert [(week.week, week.over) for week in page_of(store).weeks] == [
        ("2026-01-16", False),
        ("2026-01-09", True),
    ]


def test_a_late_forecast_is_shown_with_its_outcome_and_in_no_figure(store):
    keep(store, forecast("AAPL", 0))
    write_at(store, soon(1))
    page = scored(store)
    (cell,) = page.weeks[0].lines[0].cells
    assert (cell.right, cell.note) == (True, "late")
    assert page.standings[0].figures.n == 0
    assert page.standings[0].left_out == {"late": 1}
    assert page.contests == ()


def test_a_forecast_whose_record_says_that_it_is_late_does_not_count(store):
    keep(store, forecast("AAPL", 0, late=True), forecast("MSFT", 0))
    write_at(store, soon(0))
    assert scored(store).standings[0].left_out == {"late": 1}


def test_of_two_statements_the_first_counts_even_where_the_second_is_right(store):
    keep(store, forecast("AAPL", 0, up=False))
    write_at(store, soon(0))
    keep(store, forecast("AAPL", 0, up=True, prompt_sha256="9" * 64))
    write_at(store, soon(0) + timedelta(days=2))
    page = scored(store)
    assert page.standings[0].figures.accuracy.value == 0
    assert page.standings[0].left_out == {"stated again": 1}
    assert page.weeks[0].lines[0].cells[0].note == "stated again later"


def test_a_symbol_that_joins_later_is_kept_and_does_not_count(store):
    keep(store, forecast("AAPL", 0))
    write_at(store, soon(0))
    keep(store, forecast("AAPL", 1), forecast("NVDA", 1))
    write_at(store, soon(1))
    page = scored(store)
    assert page.standings[0].figures.n == 2
    assert page.standings[0].left_out == {"outside the universe": 1}


def test_what_is_added_in_time_to_the_first_week_belongs_to_the_universe(store):
    """The first job was killed half-way; a symbol that is added when the week is over does not join."""
    keep(store, forecast("AAPL", 0))
    write_at(store, soon(0))
    keep(store, forecast("MSFT", 0))
    write_at(store, soon(0) + timedelta(days=1))
    keep(store, forecast("LATE", 0), forecast("MSFT", 1), forecast("LATE", 1))
    write_at(store, soon(1))
    page = scored(store)
    assert page.universe == ("AAPL", "MSFT")
    assert page.standings[0].figures.n == 3
    assert page.standings[0].left_out == {"late": 1, "outside the universe": 1}


def test_a_symbol_of_the_universe_without_a_forecast_does_not_vanish(store):
    three_weeks(store)
    keep(store, forecast("AAPL", 3))
    write_at(store, soon(3))
    lines = {line.symbol: line for line in page_of(store).weeks[0].lines}
    assert lines["MSFT"].status == "not forecast"
    assert lines["MSFT"].cells == (None,)


def test_an_answer_that_could_not_be_read_is_wrong(store):
    unread = {"reason": "no prediction line"}
    keep(store, forecast("AAPL", 0, parsed=unread), forecast("MSFT", 0))
    write_at(store, soon(0))
    page = scored(store)
    figures = page.standings[0].figures
    assert (figures.n, figures.read, figures.accuracy.value) == (2, 1, 0.5)
    assert page.weeks[0].lines[0].cells[0].note == "no prediction line"


def test_every_status_has_its_count(store):
    three_weeks(store, symbols=("A", "B", "C", "D"))
    day = "2026-01-02"
    table = {
        (name, day): Outcome(symbol=name, status=status)
        for name, status in zip(
            "BCD", (Status.HALTED, Status.DELISTED, Status.RENAMED), strict=True
        )
    }
    page = scored(store, table)
    assert page.standings[0].left_out == {"delisted": 1, "halted": 1, "renamed": 1}
    assert page.standings[0].figures.n == 9


def test_a_missed_week_is_named_and_a_holiday_is_none(store):
    thursday = friday(2) - timedelta(days=1)
    keep(store, forecast("AAPL", 0), forecast("AAPL", 1, horizon_end=thursday))
    keep(store, forecast("AAPL", 2, as_of=thursday, horizon_end=friday(3)), forecast("AAPL", 5))
    write_at(store, soon(5))
    page = page_of(store, soon(5))
    assert page.standings[0].missed == ("2026-01-23", "2026-01-30")
    assert "Without any forecast: the weeks of 2026-01-23 and 2026-01-30." in page.headline[-1].text


def test_missing_weeks_after_a_holiday_are_the_exchanges_and_more_of_them_are_counted(store):
    """It begins on Thursday, 2 July 2026, since the third is a holiday."""
    thursday = datetime(2026, 7, 2, 20, tzinfo=UTC)
    last = thursday + timedelta(days=1) + 15 * WEEK
    keep(store, forecast("AAPL", 0, as_of=thursday), forecast("AAPL", 0, as_of=last))
    write_at(store, last + timedelta(hours=2))
    page = page_of(store, last + timedelta(hours=2))
    missed = page.standings[0].missed
    assert missed[:2] == ("2026-07-10", "2026-07-17")
    assert len(missed) == 14
    assert "2026-09-25 and 2 more." in page.headline[-1].text


def test_the_first_run_of_the_beginning_is_the_champion(store):
    three_weeks(store, RUN, OTHER)
    page = scored(store)
    assert [(one.title, str(one.role)) for one in page.standings[:2]] == [
        (RUN, "champion"),
        (OTHER, "challenger"),
    ]
    assert page.headline[1].verdict is Verdict.NO_DIFFERENCE


def test_figures_are_those_of_the_formulas(store):
    """Two symbols, one week: p(up) .6 and .4, up 1.5 % and up 2.5 %."""
    keep(store, forecast("AAPL", 0), forecast("MSFT", 0, up=False))
    write_at(store, soon(0))
    table = {("MSFT", "2026-01-02"): rose("MSFT", 2.5)}
    figures = scored(store, table).standings[0].figures
    assert figures.accuracy.value == 0.5
    assert figures.brier_up.value == pytest.approx((0.4**2 + 0.6**2) / 2)
    one, two = np.array(leaning(0.6)), np.array(leaning(0.4))
    hit_one, hit_two = np.eye(12)[7], np.eye(12)[8]
    assert figures.brier.value == pytest.approx(
        (((one - hit_one) ** 2).sum() + ((two - hit_two) ** 2).sum()) / 2
    )
    gaps = [((p - hit).cumsum()[:-1] ** 2).mean() for p, hit in ((one, hit_one), (two, hit_two))]
    assert figures.rps.value == pytest.approx(np.mean(gaps))
    assert figures.accuracy.low is None  # one week has no interval


def test_trivial_forecasts_know_the_weeks_that_were_over_and_no_other(store):
    """Week 0 falls, the others rise: at week 1's close only week 0 is known, though all are scored by now."""
    three_weeks(store)
    table = {(name, "2026-01-02"): rose(name, -1.5) for name in ("AAPL", "MSFT")}
    page = scored(store, table)
    by_week: dict[str, dict[str, float]] = {}
    for point in page.running:
        by_week.setdefault(point.forecaster.partition(" (")[0], {})[point.week] = point.accuracy
    assert list(by_week["always up"].values()) == [0, 0.5, pytest.approx(2 / 3)]
    # First week: nobody knows anything, and up is the default; second: down was last; third: up was last.
    assert list(by_week["persistence"].values()) == [0, 0, pytest.approx(1 / 3)]
    # Base rate: 50 % before anything; then two falls; then two falls and two rises.
    assert list(by_week["base rate"].values()) == [0, 0, pytest.approx(1 / 3)]


def test_bets_are_made_on_windows_that_do_not_overlap():
    windows = {
        f"d{n}": (friday(0) + n * WEEK / 2, friday(0) + n * WEEK / 2 + WEEK) for n in range(4)
    }
    gains = [WeekGain(week=week, gain=0.0, bound=1.0, n=1) for week in windows]
    assert [one.week for one in apart(gains, windows)] == ["d0", "d2"]
    assert reach(windows) == 7


def test_weeks_beside_a_holiday_do_not_overlap():
    thursday = friday(1) - timedelta(days=1)
    assert reach({"a": (friday(0), thursday), "b": (thursday, friday(2))}) == 1


def test_evidence_against_all_is_the_least_of_each_week():
    def against(rival, *gains):
        found = evidence(
            [WeekGain(week=w, gain=g, bound=1.0, n=1) for w, g in zip("ab", gains, strict=True)]
        )
        return Contest(
            model="m",
            rival=rival,
            measure="direction",
            n=2,
            gain=Estimate(value=0, n=2, weeks=2),
            evidence=found,
        )

    one, two = against("one", 0.5, -0.5), against("two", -0.5, 0.9)
    both = against_all([one, two])
    least = [min(a[1], b[1]) for a, b in zip(one.evidence.path, two.evidence.path, strict=True)]
    assert [value for _, value in both.path] == least
    assert both.best == 1.0
    assert against_all([]) is None


def test_hostile_words_are_text_on_the_page(store):
    bad = "<script>alert(1)</script> | **x**"
    keep(store, forecast("AAPL", 0, verdict=bad, parsed={"reason": bad}))
    write_at(store, soon(0))
    rendered = render(scored(store))
    assert "<script>alert" not in rendered["ledger.html"].decode()
    assert "<script>" not in rendered["ledger.md"].decode()
