"""Which settings trial n has: the same on every machine, for every model, whenever it is asked."""

from __future__ import annotations

import itertools
import math

import pytest

from fingpt.errors import ConfigError
from fingpt.sweeps.plan import plan
from fingpt.sweeps.space import check_space
from tests.sweeps.studies import defined
from tests.sweeps.test_space import CONFIG, space

WIDE = "train.lr: {low: 1e-5, high: 1e-1, log: true}, train.lora.r: {low: 1, high: 64, log: true}, train.epochs: [1, 2]"


def test_a_grid_is_walked_in_the_order_of_the_file():
    assert plan(defined()) == tuple(
        {"train.lr": lr, "train.epochs": epochs} for lr in (1e-3, 2e-3) for epochs in (1, 2)
    )
    assert plan(defined(trials=3)) == plan(defined())[:3]


def test_points_of_a_range_include_its_ends_and_are_even_in_their_logarithms():
    found = [
        each["train.lr"]
        for each in plan(space("train.lr: {low: 1e-4, high: 1e-2, log: true, points: 5}"))
    ]
    assert found == [1e-4, 0.000316228, 1e-3, 0.00316228, 1e-2]
    even = plan(space("train.lora.r: {low: 4, high: 16, points: 4}"))
    assert [each["train.lora.r"] for each in even] == [4, 8, 12, 16]
    assert all(isinstance(each["train.lora.r"], int) for each in even)


def test_a_bundle_sets_its_keys_together():
    bundle = "c: [{train.lora.r: 8, train.lora.alpha: 16}, {train.lora.r: 4, train.lora.alpha: 8}]"
    pairs = [(each["train.lora.r"], each["train.lora.alpha"]) for each in plan(space(bundle))]
    assert pairs == [(8, 16), (4, 8)]


def test_random_points_follow_from_the_seed_alone_and_lie_in_the_space():
    definition = space(WIDE, "random", 200)
    points = plan(definition)
    assert points == plan(definition.model_copy())
    assert points != plan(definition.model_copy(update={"seed": 43}))
    assert len({tuple(each.items()) for each in points}) == 200
    rates = sorted(each["train.lr"] for each in points)
    assert 1e-5 <= rates[0] < rates[-1] <= 1e-1
    below = sum(rate < 1e-3 for rate in rates)
    assert 70 < below < 130  # half of a range of logarithms; evenly in numbers it would be 2 of 200
    ranks = [each["train.lora.r"] for each in points]
    assert all(isinstance(rank, int) and 1 <= rank <= 64 for rank in ranks)
    assert 70 < sum(rank < 8 for rank in ranks) < 130


def test_more_trials_begin_with_the_same_ones():
    assert plan(space(WIDE, "random", 50)) == plan(space(WIDE, "random", 200))[:50]


def test_a_small_space_is_drawn_to_its_last_point_and_none_twice():
    points = plan(space("train.epochs: [1, 2, 3], train.lora.r: {low: 1, high: 5}", "random", 15))
    assert {(each["train.epochs"], each["train.lora.r"]) for each in points} == set(
        itertools.product((1, 2, 3), range(1, 6))
    )


def test_points_that_are_hardly_ever_drawn_are_found_too():
    wide = "train.save_every: {low: 1, high: 400, log: true}"
    points = plan(space(wide, "random", 400))
    assert {each["train.save_every"] for each in points} == set(range(1, 401))


def test_every_point_of_a_plan_is_a_configuration():
    for definition in (defined(), space(WIDE, "random", 20)):
        check_space(definition, CONFIG)
        assert all(math.isfinite(each["train.lr"]) for each in plan(definition))


def test_a_bayesian_search_has_no_plan():
    with pytest.raises(ConfigError, match="no plan"):
        plan(space("train.lr: {low: 1e-4, high: 1e-3}", "tpe", 4))
