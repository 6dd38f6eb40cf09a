"""Whole weeks only, in an order that knows no outcome, each row tied to its bytes."""

from __future__ import annotations

import json
from datetime import date

import pytest

from fingpt.errors import ConfigError
from fingpt.features.config import FeatureConfig, parse_features
from fingpt.features.rationale import rationale
from fingpt.features.rows import Left, Rejected, Row, hashed, week_closes, week_rows
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
    row, other = week_rows(market, ["AAA", "BBB"], AT, CONFIG, rationale)
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
    found = list(week_rows(world.snapshot(), ["AAA", "BBB", "CCC"], AT, CONFIG, rationale))
    assert [one.reason if isinstance(one, Left) else "row" for one in found] == [
        "row",
        "outcome: delisted",
        "short-history",
    ]


def test_a_rejected_answer_leaves_its_row_out(world) -> None:
    def refuse(*_):
        raise Rejected("empty")

    world.flat("AAA", date(2025, 4, 1), date(2025, 5, 23))
    (found,) = week_rows(world.snapshot(), ["AAA"], AT, CONFIG, refuse)
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
