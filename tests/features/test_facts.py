"""Facts are what somebody could know at that close, and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from fingpt.errors import DataError
from fingpt.features.config import Family, FeatureConfig
from fingpt.features.facts import facts, kinds_of, week_ends
from fingpt.features.model import NoFacts
from fingpt.features.question import question
from fingpt.record import canonical_json
from fingpt.sources.calendar import as_of, close_of, session_of
from fingpt.sources.records import Kind
from fingpt.sources.snapshot import MemorySnapshot

CONFIG = FeatureConfig()
DAY = date(2025, 5, 16)
AT = as_of(DAY)


@pytest.mark.parametrize("day", [date(2024, 3, 28), date(2024, 11, 29), DAY])
def test_what_became_known_later_changes_nothing(invented, market, day) -> None:
    at = as_of(day)
    past = MemorySnapshot(one for one in invented if one.available_at <= at)
    for symbol in ("AAA", "BBB"):
        assert facts(past, symbol, at, CONFIG) == facts(market, symbol, at, CONFIG)


def test_facts_are_made_of_records_available_before_the_close(invented, market) -> None:
    found = facts(market, "AAA", AT, CONFIG)
    assert found.available_at_max <= AT
    times = [item.published_at for week in found.weeks for item in week.news]
    assert times
    assert max(times) < AT


def test_a_record_that_claims_to_be_older_than_what_it_tells_is_not_used(world) -> None:
    world.flat("AAA", date(2024, 3, 1), DAY)
    before = question(facts(world.snapshot(), "AAA", AT, CONFIG))
    early = AT - timedelta(days=3)
    world.price("AAA", date(2025, 5, 23), 140.0, available=early)
    world.news("AAA", AT + timedelta(days=2), "Shares end the week at 140.00", available=early)
    world.signal("AAA", AT + timedelta(days=7), "next return", 0.4)
    world.records[-1] = world.records[-1].model_copy(update={"available_at": early})
    assert question(facts(world.snapshot(), "AAA", AT, CONFIG)) == before


def test_fundamentals_are_known_from_their_filing_on(world) -> None:
    world.flat("AAA", date(2024, 3, 1), DAY)
    world.filing("AAA", date(2024, 12, 31), datetime(2025, 2, 3, tzinfo=UTC), {"margin": 0.1})
    world.filing("AAA", date(2025, 3, 31), AT, {"margin": 0.9})
    known = facts(world.snapshot(), "AAA", AT, CONFIG).fundamentals
    assert known is not None
    assert (known.period_end, known.metrics) == ("2024-12-31", {"margin": 0.1})
    world.price("AAA", date(2025, 5, 19), 100.0)
    later = facts(world.snapshot(), "AAA", as_of(date(2025, 5, 19)), CONFIG).fundamentals
    assert later is not None
    assert (later.period_end, later.metrics) == ("2025-03-31", {"margin": 0.9})
    assert later.filed == DAY


def test_an_amendment_replaces_what_it_restates(world) -> None:
    world.flat("AAA", date(2024, 3, 1), DAY)
    end = date(2025, 3, 31)
    world.filing("AAA", end, datetime(2025, 5, 2, tzinfo=UTC), {"margin": 0.1, "ratio": 2.0})
    world.filing("AAA", end, datetime(2025, 5, 9, tzinfo=UTC), {"margin": 0.2}, form="10-Q/A")
    known = facts(world.snapshot(), "AAA", AT, CONFIG).fundamentals
    assert known is not None
    assert (known.form, known.metrics) == ("10-Q/A", {"margin": 0.2, "ratio": 2.0})


def test_macro_figures_are_the_vintage_of_the_day(world) -> None:
    world.flat("AAA", date(2024, 3, 1), DAY)
    month = date(2025, 4, 30)
    world.figure("CPI", month, datetime(2025, 5, 13, 12, 30, tzinfo=UTC), 320.1)
    world.figure("CPI", month, datetime(2025, 6, 11, 12, 30, tzinfo=UTC), 999.0)
    world.figure("CPI", month, datetime(2025, 5, 12, tzinfo=UTC), 1.0)
    world.figure("CPI", date(2025, 3, 31), datetime(2025, 5, 14, tzinfo=UTC), 2.0)
    (known,) = facts(world.snapshot(), "AAA", AT, CONFIG).macro or ()
    assert (known.name, known.value, known.period) == ("CPI", 320.1, "2025-04-30")


def test_no_figure_of_the_day_of_building_is_taken_from_a_profile(world) -> None:
    world.flat("AAA", date(2024, 3, 1), DAY)
    world.profile("AAA", marketCapitalization=3210987.0, shareOutstanding=1234.5)
    found = facts(world.snapshot(), "AAA", AT, CONFIG)
    assert "3210987" not in canonical_json(found).decode() + question(found)
    assert "1234.5" not in canonical_json(found).decode() + question(found)


def test_prices_are_in_the_shares_of_the_day_and_of_no_later_one(world) -> None:
    world.flat("AAA", date(2024, 3, 1), date(2025, 5, 15), 300.0)
    world.price("AAA", DAY, 100.0).action("AAA", DAY, "split", 3.0)
    world.action("AAA", date(2025, 5, 19), "split", 10.0)
    announced = AT - timedelta(days=5)
    world.records[-1] = world.records[-1].model_copy(update={"available_at": announced})
    newest = facts(world.snapshot(), "AAA", AT, CONFIG).weeks[-1]
    assert (newest.price_start, newest.price_end) == (100.0, 100.0)
    before = facts(world.snapshot(), "AAA", as_of(date(2025, 5, 15)), CONFIG).weeks[-1]
    assert (before.price_start, before.price_end) == (300.0, 300.0)


def test_a_price_that_was_corrected_later_is_what_it_was_then(world) -> None:
    world.flat("AAA", date(2024, 3, 1), DAY)
    world.price("AAA", DAY, 111.0, available=AT + timedelta(hours=2))
    assert facts(world.snapshot(), "AAA", AT, CONFIG).weeks[-1].price_end == 100.0


@pytest.mark.parametrize(
    ("first", "last", "reason"),
    [
        (date(2025, 5, 19), date(2025, 6, 2), "no-prices"),
        (date(2024, 3, 1), date(2025, 5, 15), "no-close"),
        (date(2025, 5, 12), DAY, "short-history"),
    ],
)
def test_what_cannot_be_known_is_refused_with_a_reason(world, first, last, reason) -> None:
    world.flat("AAA", first, last)
    with pytest.raises(NoFacts) as refusal:
        facts(world.snapshot(), "AAA", AT, CONFIG)
    assert refusal.value.reason == reason


def test_a_moment_that_is_no_close_is_refused(market) -> None:
    with pytest.raises(DataError, match="close of no session"):
        facts(market, "AAA", AT + timedelta(minutes=1), CONFIG)


def test_a_young_listing_has_as_many_weeks_as_it_has_traded(world) -> None:
    world.flat("AAA", date(2025, 5, 1), DAY)
    weeks = facts(world.snapshot(), "AAA", AT, CONFIG).weeks
    assert [week.end for week in weeks] == [date(2025, 5, 9), DAY]


def test_failed_parts_are_refused_unless_allowed_and_then_marked(world) -> None:
    world.flat("AAA", date(2024, 3, 1), DAY)
    failed = {
        "finnhub/AAA/2025-05": "the key was revoked",
        "finnhub/AAA/2024-01": "long ago",
        "finnhub/BBB/2025-05": "of another",
    }
    snapshot = world.snapshot(degraded=failed)
    with pytest.raises(NoFacts, match="the key was revoked"):
        facts(snapshot, "AAA", AT, CONFIG)
    allowed = CONFIG.model_copy(update={"allow_degraded": True})
    found = facts(snapshot, "AAA", AT, allowed)
    assert found.degraded == {"finnhub/AAA/2025-05": "the key was revoked"}


@pytest.mark.parametrize("family", list(Family))
def test_a_family_that_is_off_leaves_no_trace(invented, family) -> None:
    kind = {
        Family.MACRO: Kind.MACRO,
        Family.FUNDAMENTALS: Kind.FUNDAMENTALS,
        Family.NEWS: Kind.NEWS,
        Family.SIGNALS: Kind.SIGNAL,
    }.get(family)
    without = CONFIG.model_copy(update={family.value: False})
    heading = {
        Family.INDICATORS: "[Technical Indicators]",
        Family.MACRO: "[Macro Figures]",
        Family.FUNDAMENTALS: "inancials",
        Family.NEWS: "[Headline]",
        Family.SIGNALS: "[Market Sentiment Signals]",
    }[family]
    whole = MemorySnapshot(invented)
    text = question(facts(whole, "AAA", AT, without))
    assert heading in question(facts(whole, "AAA", AT, CONFIG))
    assert heading not in text
    lacking = MemorySnapshot(one for one in invented if one.kind is not kind)
    assert question(facts(lacking, "AAA", AT, without)) == text
    assert (kind in kinds_of(CONFIG)) >= (kind in kinds_of(without))


@pytest.mark.parametrize("weeks", [1, 2, 12])
def test_so_many_past_weeks_as_asked_for_join_without_a_gap(market, weeks) -> None:
    config = CONFIG.model_copy(update={"weeks": weeks})
    found = facts(market, "AAA", AT, config).weeks
    assert len(found) == weeks
    assert [week.end for week in found[:-1]] == [week.start for week in found[1:]]
    assert [week.price_end for week in found[:-1]] == [week.price_start for week in found[1:]]


def test_weeks_end_before_holidays_and_over_daylight_saving(market) -> None:
    ends = week_ends(as_of(date(2024, 4, 5)), CONFIG)
    assert [session_of(end) for end in ends] == [
        date(2024, 3, 15),
        date(2024, 3, 22),
        date(2024, 3, 28),  # Good Friday has no session
        date(2024, 4, 5),
    ]
    assert {end.hour for end in week_ends(as_of(date(2024, 3, 15)), CONFIG)} == {20, 21}


def test_indicators_are_not_available_before_their_warm_up_and_never_zero(world) -> None:
    world.flat("AAA", date(2025, 4, 1), DAY)
    found = facts(world.snapshot(), "AAA", AT, CONFIG)
    stated = {reading.name: reading.value for reading in found.indicators or ()}
    assert stated == {
        "SMA(20)": 100.0,
        "SMA(50)": None,
        "EMA(20)": None,
        "RSI(14)": None,
        "MACD(12,26)": None,
        "MACD signal(9)": None,
    }
    assert "RSI(14): not available (33 of 150 daily closes)" in question(found)


def test_indicators_do_not_depend_on_how_much_older_history_there_is(invented, market) -> None:
    since = close_of(date(2024, 4, 15))
    recent = MemorySnapshot(
        one for one in invented if one.kind is not Kind.PRICE or one.event_time >= since
    )
    assert facts(recent, "AAA", AT, CONFIG) == facts(market, "AAA", AT, CONFIG)


def test_stale_signals_are_not_stated(world) -> None:
    world.flat("AAA", date(2024, 3, 1), DAY)
    world.signal("AAA", AT - timedelta(days=60), "traffic", 1.0)
    assert facts(world.snapshot(), "AAA", AT, CONFIG).signals == ()
    world.signal("AAA", AT - timedelta(days=6), "traffic", 2.0)
    world.signal("AAA", AT - timedelta(days=13), "traffic", 3.0)
    assert [one.value for one in facts(world.snapshot(), "AAA", AT, CONFIG).signals or ()] == [2.0]
