from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from fingpt.errors import ConfigError, DataError
from fingpt.sources.calendar import (
    as_of,
    close_of,
    exchange,
    horizon_end,
    next_open,
    open_of,
    session_of,
    sessions,
)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def test_a_week_with_a_holiday_on_friday_ends_on_thursday() -> None:
    assert as_of(date(2025, 4, 18)) == close_of(date(2025, 4, 17)) == utc(2025, 4, 17, 20)
    assert horizon_end(as_of(date(2025, 4, 11))) == utc(2025, 4, 17, 20)


def test_half_days_close_early() -> None:
    assert close_of(date(2024, 11, 29)) == utc(2024, 11, 29, 18)
    assert close_of(date(2024, 12, 24)) == utc(2024, 12, 24, 18)


def test_daylight_saving_moves_the_close_in_utc() -> None:
    assert close_of(date(2024, 3, 8)) == utc(2024, 3, 8, 21)
    assert close_of(date(2024, 3, 11)) == utc(2024, 3, 11, 20)
    assert open_of(date(2024, 11, 4)) == utc(2024, 11, 4, 14, 30)


def test_days_of_mourning_and_weekends_are_no_sessions() -> None:
    assert date(2025, 1, 9) not in sessions(date(2025, 1, 6), date(2025, 1, 12))
    with pytest.raises(DataError, match=r"Thursday.*nearest are 2025-01-08 and 2025-01-10"):
        close_of(date(2025, 1, 9))


def test_a_session_that_has_closed_is_found_to_the_moment() -> None:
    close = close_of(date(2025, 1, 3))
    assert session_of(close) == date(2025, 1, 3)
    assert session_of(close - timedelta(seconds=1)) == date(2025, 1, 2)
    assert exchange().closing(close) == exchange().place(date(2025, 1, 3))
    with pytest.raises(DataError, match="close of no session"):
        exchange().closing(close + timedelta(seconds=1))


def test_what_has_only_a_date_is_known_at_the_next_session_s_opening() -> None:
    assert next_open(date(2024, 10, 30)) == utc(2024, 10, 31, 13, 30)
    assert next_open(date(2024, 12, 24)) == utc(2024, 12, 26, 14, 30)


def test_a_horizon_without_a_session_is_refused() -> None:
    with pytest.raises(ConfigError, match="no session within 2 days"):
        horizon_end(as_of(date(2025, 1, 3)), days=2)


def test_other_exchanges_keep_their_own_hours() -> None:
    assert close_of(date(2025, 7, 4), "XLON") == utc(2025, 7, 4, 15, 30)


def test_unknown_calendars_and_days_are_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'XNYS'"):
        exchange("NYSE")
    with pytest.raises(DataError, match="knows 1980-01-02 to 2050"):
        as_of(date(1950, 1, 3))
