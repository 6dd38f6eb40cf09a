"""The sampler: pure, without repetition, and better than chance."""

from __future__ import annotations

import logging
import math
import random
import statistics

import optuna
import pytest

from fingpt.sweeps.definition import parse_definition
from fingpt.sweeps.search import Past, is_in_space, propose

SPACE = {
    "train.lr": {"low": 1e-5, "high": 1e-1, "log": True},
    "train.lora.dropout": {"low": 0.0, "high": 0.9},
    "capacity": [{"train.lora.r": r, "train.lora.alpha": 2 * r} for r in (4, 8, 16, 32)],
}


def definition(**changes):
    fields = {"method": "tpe", "trials": 30, "parallel": 4, "space": SPACE, **changes}
    return parse_definition(fields, "tests")


def loss(settings) -> float:
    """Best at a rate of 1e-3, a dropout of 0.3 and rank 16."""
    rate = math.log10(settings["train.lr"]) + 3
    dropout = (settings["train.lora.dropout"] - 0.3) / 0.45
    return rate**2 + dropout**2 + {4: 2.0, 8: 0.6, 16: 0.0, 32: 0.6}[settings["train.lora.r"]]


def by_chance(dice: random.Random) -> dict[str, float]:
    return {
        "train.lr": 10 ** dice.uniform(-5, -1),
        "train.lora.dropout": dice.uniform(0, 0.9),
        "train.lora.r": dice.choice([4, 8, 16, 32]),
    }


def best_of(wanted) -> float:
    """The lowest loss of a study in which a trial sees those that began `parallel` before it."""
    past: list[Past] = []
    for number in range(wanted.count):
        known = max(number - wanted.parallel + 1, 0)
        seen = [each if place < known else Past(each.settings) for place, each in enumerate(past)]
        settings = propose(wanted, seen)
        past.append(Past(settings, "complete", loss(settings)))
    return min(each.value for each in past)


@pytest.mark.slow  # searches of twenty seeds
def test_the_sampler_beats_chance_in_the_median_of_twenty_seeds():
    found = [best_of(definition(seed=seed, trials=25)) for seed in range(20)]
    dice = random.Random(1)
    chance = [min(loss(by_chance(dice)) for _ in range(25)) for _ in range(500)]
    assert statistics.median(found) < 0.5 * statistics.median(chance)


def test_a_proposal_is_a_pure_function_of_what_is_known():
    past = [Past(propose(definition(), []), "complete", 1.0)]
    for number in range(12):
        first, again = propose(definition(), past), propose(definition(), list(past))
        assert first == again
        past.append(Past(first, ["complete", "pruned", "failed"][number % 3], 1.0 / (number + 1)))
    assert propose(definition(seed=1), past) != propose(definition(), past)


def test_trials_under_way_keep_others_away():
    asked = [propose(definition(seed=seed), []) for seed in range(100, 112)]
    told = [Past(each, "complete", loss(each)) for each in asked]

    def distance(state: str) -> float:
        """Mean distance, in powers of ten, of a rate from that of three trials in `state`."""
        apart = []
        for seed in range(12):
            first = propose(definition(seed=seed), told)
            second = propose(definition(seed=seed), [*told, *3 * [Past(first, state)]])
            apart.append(abs(math.log10(first["train.lr"] / second["train.lr"])))
        return statistics.mean(apart)

    assert distance("running") > 1.5 * distance("failed")


def test_whole_numbers_of_a_range_are_asked_as_such_each_once_and_others_in_six_digits():
    span = {"train.lora.r": {"low": 4, "high": 9, "log": True}}
    small, past = definition(space=span, trials=20), []
    while (settings := propose(small, past)) is not None:
        assert is_in_space(small, settings)
        past.append(Past(settings, "complete", abs(settings["train.lora.r"] - 7)))
    assert sorted(str(each.settings["train.lora.r"]) for each in past) == list("456789")
    assert not is_in_space(small, {"train.lora.r": 4.5})
    rates = [propose(definition(seed=seed), [])["train.lr"] for seed in range(9)]
    assert rates == [float(f"{rate:.6g}") for rate in rates]


def test_nothing_is_asked_twice_and_a_space_ends():
    small = definition(space={"train.epochs": [1, 2, 3], "train.lora.r": [4, 8]}, trials=20)
    past: list[Past] = []
    while (settings := propose(small, past)) is not None:
        assert settings not in [each.settings for each in past]
        past.append(Past(settings, "complete", settings["train.epochs"]))
    assert len(past) == 6


def test_paused_trials_teach_the_sampler_by_the_rungs_that_they_reached():
    def past(*losses: float) -> list[Past]:
        asked = [propose(definition(seed=s), []) for s in range(15)]
        return [Past(one, "pruned", rungs={0: x}) for one, x in zip(asked, losses, strict=True)]

    rising = propose(definition(), past(*range(15)))
    assert rising == propose(definition(), past(*range(15)))
    assert rising != propose(definition(), past(*range(15, 0, -1)))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"train.lr": 1.0, "train.lora.dropout": 0.1, "train.lora.r": 4, "train.lora.alpha": 8},
        {"train.lr": 1e-3, "train.lora.dropout": 0.1, "train.lora.r": 4, "train.lora.alpha": 9},
        {
            "train.lr": 1e-3,
            "train.lora.dropout": 0.1,
            "train.lora.r": 4,
            "train.lora.alpha": 8,
            "x": 1,
        },
    ],
)
def test_what_is_no_point_of_the_space_is_known_as_such(settings):
    assert is_in_space(definition(), propose(definition(), []))
    assert not is_in_space(definition(), settings)


def test_optuna_says_nothing_of_its_own(capfd):
    propose(definition(), [Past(propose(definition(), []), "complete", 1.0)])
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == logging.WARNING
