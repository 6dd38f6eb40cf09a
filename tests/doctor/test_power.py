"""Power before a GPU is asked for: what the rows can show, said by doctor and at submit, and a floor that refuses."""

from __future__ import annotations

import pytest

from fingpt.config import RunConfig, parse_config
from fingpt.doctor.checks import Grade
from fingpt.doctor.power import announce_power, power_check, rows_power
from fingpt.errors import DataError, MissingInputError
from fingpt.runs.freeze import freeze_source
from fingpt.storage import open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return open_store(tmp_path_factory.mktemp("power").as_uri())


def config(**sections) -> RunConfig:
    return parse_config({"model": "tiny-llama31", **sections}, "here")


def test_the_test_rows_of_the_split_are_counted_frozen_or_not(store):
    plain = rows_power(store, config())
    assert plain.weeks >= 8
    assert plain.n == plain.weeks * 12
    assert 0.1 < plain.gap < 0.3
    assert rows_power(store, freeze_source(store, config())) == plain


def test_doctor_says_what_the_rows_show_and_warns_where_they_show_nothing(store):
    check = power_check(store, config())
    assert check.grade is Grade.OK
    assert "is found in 80 of 100 such tests" in check.message
    few = power_check(store, config(prep={"split": "calendar", "test_weeks": 3}))
    assert few.grade is Grade.WARN
    assert "prep.test_weeks" in few.action


def test_a_floor_that_the_rows_do_not_reach_refuses_with_65_and_the_remedy_works(store):
    asked = config(compare={"least_gap": 0.05})
    with pytest.raises(DataError, match=r"compare\.least_gap=0\.05 asks for gaps of 5 points"):
        announce_power(store, asked)
    assert power_check(store, asked).code == 65
    announce_power(store, config(compare={"least_gap": None}))
    announce_power(store, config(compare={"least_gap": 0.3}))


def test_rows_that_prep_will_refuse_are_left_to_prep_unless_a_floor_is_set(store, tmp_path):
    gone = {"source": str(tmp_path / "nowhere")}
    announce_power(store, config(prep=gone))
    with pytest.raises(MissingInputError):
        announce_power(store, config(prep=gone, compare={"least_gap": 0.3}))
