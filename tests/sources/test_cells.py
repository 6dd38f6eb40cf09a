from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from fingpt.sources import cells
from fingpt.sources.cells import BadCell, Clock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WITH_OFFSETS = Clock("XNYS", None, NOW)
ON_THE_EXCHANGE = Clock("XNYS", ZoneInfo("America/New_York"), NOW)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("cell", "value"),
    [("1.5", 1.5), (" 7 ", 7.0), ("1e3", 1000.0), (3, 3.0), ("-0.25", -0.25)],
)
def test_numbers_are_read(cell: object, value: float) -> None:
    assert cells.number(cell, WITH_OFFSETS) == value


@pytest.mark.parametrize(
    "cell", ["1,234.5", "1.234,5", "12,5", "nan", "inf", "1_000", "$5", "١٢", True, [1], 10**400]
)
def test_what_is_no_plain_finite_number_is_refused(cell: object) -> None:
    with pytest.raises(BadCell):
        cells.number(cell, WITH_OFFSETS)


def test_prices_are_above_0_and_volumes_are_not_below() -> None:
    with pytest.raises(BadCell, match="above 0"):
        cells.positive("0", WITH_OFFSETS)
    with pytest.raises(BadCell, match="0 or more"):
        cells.not_negative("-1", WITH_OFFSETS)
    assert cells.not_negative("0", WITH_OFFSETS) == 0


@pytest.mark.parametrize("cell", ["01/02/2025", "2025-02-30", "2025-1-2", "20250102", "", 5])
def test_days_are_written_one_way(cell: object) -> None:
    with pytest.raises(BadCell, match="YYYY-MM-DD"):
        cells.day(cell, WITH_OFFSETS)


def test_a_column_of_moments_at_midnight_holds_days() -> None:
    assert cells.day(datetime(2025, 1, 2), WITH_OFFSETS) == date(2025, 1, 2)
    with pytest.raises(BadCell, match="without a time"):
        cells.day(datetime(2025, 1, 2, 16), WITH_OFFSETS)


@pytest.mark.parametrize(
    "time", ["T00:00", " 00:00:00", " 00:00:00.000", "T00:00:00Z", " 00:00:00-05:00"]
)
def test_a_day_written_as_its_midnight_is_that_day(time: str) -> None:
    assert cells.day(f"2026-03-02{time}", WITH_OFFSETS) == date(2026, 3, 2)
    for other in ("2026-03-02 00:00:01", "2026-03-02 16:00:00", "2026-02-30 00:00:00"):
        with pytest.raises(BadCell, match="YYYY-MM-DD"):
            cells.day(other, WITH_OFFSETS)


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2025-07-01T16:05:00-04:00", utc(2025, 7, 1, 20, 5)),
        ("2025-07-01T20:05:00Z", utc(2025, 7, 1, 20, 5)),
        ("2025-07-01 20:05:00+00:00", utc(2025, 7, 1, 20, 5)),
        ("2025-07-01T20:05:00.250+05:30", utc(2025, 7, 1, 14, 35, 0, 250000)),
    ],
)
def test_offsets_are_honoured(cell: str, moment: datetime) -> None:
    for clock in (WITH_OFFSETS, ON_THE_EXCHANGE):
        assert cells.instant(cell, clock).moment == cells.instant(cell, clock).known == moment


def test_a_time_without_an_offset_is_the_exchange_s_only_where_the_folder_says_so() -> None:
    with pytest.raises(BadCell, match="with its offset"):
        cells.instant("2025-07-01T16:05:00", WITH_OFFSETS)
    assert cells.instant("2025-07-01T16:05:00", ON_THE_EXCHANGE).known == utc(2025, 7, 1, 20, 5)
    assert cells.instant("2025-01-02T16:05:00", ON_THE_EXCHANGE).known == utc(2025, 1, 2, 21, 5)


def test_of_the_hour_that_autumn_repeats_the_later_one_counts() -> None:
    assert cells.instant("2025-11-02T01:30:00", ON_THE_EXCHANGE).known == utc(2025, 11, 2, 6, 30)


def test_the_hour_that_spring_skips_is_refused() -> None:
    with pytest.raises(BadCell, match="skipped for daylight saving"):
        cells.instant("2025-03-09T02:30:00", ON_THE_EXCHANGE)


def test_a_bare_day_is_known_at_the_next_session_s_opening() -> None:
    friday = cells.instant("2025-04-17", WITH_OFFSETS)  # Good Friday follows
    assert (friday.moment, friday.known) == (utc(2025, 4, 17), utc(2025, 4, 21, 13, 30))
    assert cells.instant(date(2025, 4, 17), WITH_OFFSETS) == friday


@pytest.mark.parametrize(
    "cell", ["soon", "2025-W27-2", "1751400000", 1751400000, "2025-07-01T25:00:00Z"]
)
def test_what_is_no_moment_is_refused(cell: object) -> None:
    with pytest.raises(BadCell):
        cells.instant(cell, WITH_OFFSETS)


@pytest.mark.parametrize(
    ("period", "last"),
    [
        ("2024", date(2024, 12, 31)),
        ("2024-Q1", date(2024, 3, 31)),
        ("2024-Q4", date(2024, 12, 31)),
        ("2024-02", date(2024, 2, 29)),
        ("2024-02-03", date(2024, 2, 3)),
    ],
)
def test_periods_end_on_their_last_day(period: str, last: date) -> None:
    assert cells.period(period, WITH_OFFSETS) == period
    assert cells.last_day(period) == last


@pytest.mark.parametrize("cell", ["2024-Q5", "2024-13", "2024-00", "Q1 2024", "2024-02-30", True])
def test_other_periods_are_refused(cell: object) -> None:
    with pytest.raises(BadCell, match="2026-Q3"):
        cells.period(cell, WITH_OFFSETS)


@pytest.mark.parametrize("symbol", ["AAPL", "BRK.B", "BTC-USD", "^GSPC", "7203"])
def test_symbols_are_taken_as_exchanges_write_them(symbol: str) -> None:
    assert cells.symbol(symbol, WITH_OFFSETS) == symbol


@pytest.mark.parametrize("symbol", ["aapl", "A/B", "..", "A B", "", "AAPL\u200b", "A" * 21])
def test_other_symbols_are_refused(symbol: str) -> None:
    with pytest.raises(BadCell, match="capitals"):
        cells.symbol(symbol, WITH_OFFSETS)
