"""What is asked, of what was known at a close, and every reason not to ask, in one sentence."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from fingpt.errors import ConfigError, DataError, MissingInputError, StorageError
from fingpt.features.config import FeatureConfig
from fingpt.forecast.record import ForecastRequest, keep_request, read_request
from fingpt.forecast.request import chosen_close, make_request, named_symbols
from fingpt.forecast.view import Sessions
from tests.forecast.conftest import FRIDAY, Remembered

LONG = (FRIDAY - timedelta(days=70), FRIDAY)
LATER = datetime(2026, 11, 26, 12, tzinfo=UTC)


def asked(view: Remembered, exchange, *symbols: str) -> ForecastRequest:
    return make_request(view, exchange, symbols, FRIDAY)


def test_a_request_names_its_close_its_horizon_and_the_opening_that_makes_it_late(exchange):
    request = asked(Remembered(), exchange, "AAPL")
    assert request.as_of == FRIDAY
    assert request.horizon_end == datetime(2026, 11, 27, 21, tzinfo=UTC)
    assert request.due == datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
    assert [question.symbol for question in request.questions] == ["AAPL"]


def test_the_same_data_give_the_same_request_and_it_is_kept_once(exchange, store):
    one, two = (asked(Remembered(), exchange, "AAPL") for _ in range(2))
    assert keep_request(store, one) == keep_request(store, two) == one.key
    assert list(store.keys()) == [one.key]
    assert read_request(store, one.key) == one
    other = Remembered(known_at=FRIDAY - timedelta(days=1))
    assert keep_request(store, asked(other, exchange, "AAPL")) != one.key


def test_a_changed_request_is_not_answered(exchange, store, tmp_path):
    key = keep_request(store, asked(Remembered(), exchange, "AAPL"))
    path = tmp_path / "store" / key
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"What next", b"What then"))
    with pytest.raises(StorageError, match="its seal does not match"):
        read_request(store, key)
    with pytest.raises(MissingInputError, match="There is no request"):
        read_request(store, "requests/2026-11-20/0123456789ab.json")


def test_a_symbol_without_prices_is_unknown_and_the_nearest_is_named(exchange):
    with pytest.raises(MissingInputError, match=r"no prices of APPL \(did you mean AAPL\?\)"):
        asked(Remembered(), exchange, "APPL")
    with pytest.raises(MissingInputError, match=r"no prices of aapl \(did you mean AAPL\?\)"):
        asked(Remembered(), exchange, "aapl")
    with pytest.raises(MissingInputError, match="there are none of any symbol"):
        asked(Remembered({}), exchange, "AAPL")


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (None, "No price of AAPL was known at the close of 2026-11-20"),
        ((FRIDAY - timedelta(days=6), FRIDAY), "begin on 2026-11-14.*at least the 7 days"),
        ((LONG[0], FRIDAY - timedelta(days=2)), "is of 2026-11-18, 2 sessions earlier: stale"),
    ],
)
def test_without_prices_enough_of_them_and_recent_ones_nothing_is_asked(exchange, span, words):
    with pytest.raises(DataError, match=words):
        asked(Remembered({"AAPL": span}), exchange, "AAPL")


@pytest.mark.parametrize("days", [0, 1])
def test_the_close_s_own_price_may_count_as_known_a_moment_later(exchange, days):
    newest = FRIDAY - timedelta(days=days)
    assert asked(Remembered({"AAPL": (LONG[0], newest)}), exchange, "AAPL").questions


def test_what_was_known_only_after_the_close_is_a_fault(exchange):
    assert asked(Remembered(known_at=FRIDAY), exchange, "AAPL").questions  # the close itself
    leaking = Remembered(known_at=FRIDAY + timedelta(seconds=1))
    with pytest.raises(DataError, match="a fault of its features"):
        asked(leaking, exchange, "AAPL")


def test_a_symbol_that_cannot_be_asked_stands_in_the_request_with_its_reason(exchange):
    view = Remembered({"AAPL": LONG, "MSFT": LONG, "HALT": (LONG[0], LONG[0])}, broken=("MSFT",))
    request = asked(view, exchange, "MSFT", "AAPL", "HALT", "NONE")
    assert [question.symbol for question in request.questions] == ["AAPL"]
    assert list(request.refused) == ["MSFT", "HALT", "NONE"]
    assert request.refused["MSFT"] == "MSFT has no news, and its configuration wants some."


def test_where_none_can_be_asked_the_first_reason_is_the_error(exchange):
    view = Remembered({"AAPL": LONG}, broken=("AAPL",))
    with pytest.raises(DataError, match="AAPL has no news"):
        asked(view, exchange, "AAPL", "NONE")


@pytest.mark.parametrize(
    ("text", "now", "close"),
    [
        ("2026-11-20", LATER, FRIDAY),
        ("2026-11-22", LATER, FRIDAY),  # a Sunday
        ("", LATER, datetime(2026, 11, 25, 21, tzinfo=UTC)),
        ("", FRIDAY, FRIDAY),
        ("", FRIDAY - timedelta(minutes=1), FRIDAY - timedelta(days=1)),
    ],
)
def test_a_date_means_the_last_close_until_it(exchange, text, now, close):
    assert chosen_close(text, exchange, now) == close


@pytest.mark.parametrize("text", ["2026-11-27", "2027-01-01", "2026-11-26"])
def test_a_close_in_the_future_is_refused_and_the_newest_is_named(exchange, text):
    with pytest.raises(ConfigError, match=r"has not closed yet.*that of 2026-11-25"):
        chosen_close(text, exchange, LATER)


def test_what_is_no_date_is_refused(exchange):
    with pytest.raises(ConfigError, match=r"DATE='20\.11\.2026' is no date"):
        chosen_close("20.11.2026", exchange, LATER)


def test_a_date_that_no_calendar_knows_is_named():
    with pytest.raises(
        ConfigError, match=r"DATE=1850-01-01 cannot be forecast: .*which knows 1980"
    ):
        chosen_close("1850-01-01", Sessions(FeatureConfig()), LATER)


def test_symbols_come_from_one_variable_each_once(tmp_path):
    file = tmp_path / "watch list.txt"
    file.write_text("\ufeffAAPL\n# names\n\nBRK.B  # class B\nAAPL\n", "utf-8")
    assert named_symbols("AAPL", "", "") == ["AAPL"]
    assert named_symbols("", "AAPL  MSFT", "") == ["AAPL", "MSFT"]
    assert named_symbols("", "", str(file)) == ["AAPL", "BRK.B"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("", "", ""), "None of SYMBOL, SYMBOLS and WATCHLIST says"),
        (("AAPL", "MSFT", ""), "SYMBOL and SYMBOLS say"),
        (("AAPL MSFT", "", ""), 'several are SYMBOLS="AAPL MSFT"'),
        (("../../etc", "", ""), "is no symbol"),
        (("", '"AAPL', ""), "close each quote"),
        (("", "AAPL,MSFT", ""), 'blanks separate symbols: SYMBOLS="AAPL MSFT"'),
        (("AAPL,MSFT", "", ""), 'blanks separate symbols: SYMBOLS="AAPL MSFT"'),
    ],
)
def test_anything_else_than_symbols_is_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        named_symbols(*given)


def test_a_watchlist_that_is_no_list_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="is no file"):
        named_symbols("", "", str(tmp_path / "none"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="no text in UTF-8"):
        named_symbols("", "", str(tmp_path / "binary"))
    (tmp_path / "empty").write_text("# nobody\n")
    with pytest.raises(ConfigError, match=r"WATCHLIST=.*/empty names 0 symbols.*one a line"):
        named_symbols("", "", str(tmp_path / "empty"))
    (tmp_path / "commas").write_text("AAPL,MSFT\n")
    with pytest.raises(ConfigError, match=r"WATCHLIST=.*/commas names 'AAPL,MSFT'.*one a line"):
        named_symbols("", "", str(tmp_path / "commas"))


def test_dates_are_days_of_the_exchange(exchange):
    assert exchange.close_on_or_before(date(2026, 11, 22)) == FRIDAY
