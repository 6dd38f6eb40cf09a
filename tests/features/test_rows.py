"""Whole weeks only, in an order that knows no outcome, each row tied to its bytes."""

from __future__ import annotations

import json
from datetime import date

import pytest

from fingpt.errors import ConfigError
from fingpt.features import rows
from fingpt.features.config import FeatureConfig, parse_features
from fingpt.features.rationale import rationale
from fingpt.features.rows import Left, Rejected, Row, hashed, rows_of, week_closes
from fingpt.sources.calendar import as_of, session_of

CONFIG = FeatureConfig()
AT = as_of(date(2025, 5, 16))


def test_weeks_lie_within_the_days_as_a_whole() -> None:
    closes = week_closes(date(2025, 4, 1), date(2025, 5, 9), CONFIG)
    assert [session_of(close) for close in closes] == [
        date(2025, 4, 4),
        date(2025, 4, 11),
        date(2025, 4, 17),  # Good Friday is a holiday
        date(2025, 4, 25),
        date(2025, 5, 2),
    ]
    assert week_closes(date(2025, 5, 3), date(2025, 5, 15), CONFIG) == []
    assert len(week_closes(date(2025, 5, 2), date(2025, 5, 9), CONFIG)) == 1


def test_a_row_says_what_it_rests_on(market) -> None:
    row, other = rows_of(market, ["AAA", "BBB"], [AT], CONFIG, rationale)
    assert isinstance(row, Row)
    assert isinstance(other, Row)
    assert (row.symbol, row.period) == ("AAA", "2025-05-16 to 2025-05-23")
    assert row.available_at_max <= row.as_of == AT.isoformat()
    known = json.loads(row.facts)
    assert (known["symbol"], known["day"]) == ("AAA", "2025-05-16")
    assert row.excess_return is not None
    assert other.excess_return == pytest.approx(-row.excess_return)
    assert row == hashed(row)
    assert (
        hashed(Row(**{**vars_of(row), "label": "up by more than 5%"})).row_sha256 != row.row_sha256
    )


def vars_of(row: Row) -> dict:
    return {name: getattr(row, name) for name in Row.__dataclass_fields__}


def test_what_gives_no_row_is_told_with_its_reason(world) -> None:
    world.flat("AAA", date(2025, 4, 1), date(2025, 5, 23))
    world.flat("BBB", date(2025, 4, 1), date(2025, 5, 20))
    world.flat("CCC", date(2025, 5, 15), date(2025, 5, 23))
    found = list(rows_of(world.snapshot(), ["AAA", "BBB", "CCC"], [AT], CONFIG, rationale))
    assert [one.reason if isinstance(one, Left) else "row" for one in found] == [
        "row",
        "outcome: delisted",
        "short-history",
    ]


def test_a_symbol_is_read_once_for_all_weeks_and_rows_come_by_week(
    market, monkeypatch: pytest.MonkeyPatch
) -> None:
    weeks = week_closes(date(2025, 4, 21), date(2025, 5, 23), CONFIG)
    symbols = ["BBB", "AAA"]
    each_week = [
        one for week in weeks for one in rows_of(market, symbols, [week], CONFIG, rationale)
    ]
    loaded, load = [], market.load
    monkeypatch.setattr(
        market, "load", lambda kind, symbol: loaded.append((kind, symbol)) or load(kind, symbol)
    )
    monkeypatch.setattr(rows, "_AT_ONCE", 3)
    known = []
    found = list(rows_of(market, symbols, weeks, CONFIG, rationale, lambda: known.append(1)))
    assert found == each_week
    assert len(found) == len(known) == 2 * len(weeks) > 6
    assert len(loaded) == len(set(loaded))
    places = [symbol for _, symbol in loaded if symbol]
    assert places == sorted(places, key=symbols.index)
    assert not market._loaded or {symbol for _, symbol in market._loaded} == {""}


def test_a_benchmark_that_is_no_symbol_of_the_rows_gives_none(market) -> None:
    config = FeatureConfig(benchmark="CCC")
    (row,) = rows_of(market, ["AAA"], [AT], config, rationale)
    (other,) = rows_of(market, ["CCC"], [AT], config, rationale)
    assert isinstance(row, Row)
    assert isinstance(other, Row)
    assert row.symbol == "AAA"
    assert row.excess_return == pytest.approx(row.realised_return - other.realised_return)


def test_a_rejected_answer_leaves_its_row_out(world) -> None:
    def refuse(*_):
        raise Rejected("empty")

    world.flat("AAA", date(2025, 4, 1), date(2025, 5, 23))
    (found,) = rows_of(world.snapshot(), ["AAA"], [AT], CONFIG, refuse)
    assert isinstance(found, Left)
    assert found.reason == "answer: empty"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"indicator": False}, "'features.indicator' is no setting; did you mean 'indicators'?"),
        ({"weeks": 13}, "features.yaml: features.weeks='13': expected at most 12; correct it."),
        ({"weeks": "x"}, "features.weeks='x': expected a whole number; correct it."),
        ({"news": "nope"}, "features.news='nope': expected true or false; correct it."),
        ({"answers": {"mode": "x"}}, "expected one of 'none', 'import' or 'teacher'"),
        ({"answers": {"mode": "import"}}, "mode import needs file"),
        ({"answers": {"mode": "teacher", "model": "x"}}, "needs endpoint and model"),
        ({"answers": {"hindsight": True}}, "hindsight is for mode teacher"),
        ({"answers": {"endpont": ""}}, "did you mean 'endpoint'?"),
    ],
)
def test_a_wrong_setting_is_named(data, told) -> None:
    with pytest.raises(ConfigError) as fault:
        parse_features(data, "features.yaml")
    assert told in str(fault.value)
