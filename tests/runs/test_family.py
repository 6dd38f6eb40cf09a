"""A family is what differs in seed or origin only."""

import pytest

from fingpt.config import RunConfig
from fingpt.errors import ConfigError
from fingpt.runs.family import families, family, members
from fingpt.runs.run import Run

CODE = {"train": "local:1"}


def run(images=CODE, **settings) -> Run:
    return Run.of(RunConfig.model_validate({"model": "tiny-llama31", **settings}), images)


def at(origin: int, origins: int = 4, seed: int = 42) -> Run:
    return run(seed=seed, prep={"origins": origins, "origin": origin})


def test_seeds_and_origins_are_one_family():
    assert family(run(seed=1)) == family(run(seed=2)) != family(at(1))
    assert family(at(1)) == family(at(4, seed=7))
    assert run(seed=1).id != run(seed=2).id


@pytest.mark.parametrize(
    "other",
    [
        run(model="tiny-deepseek-r1"),
        run(train={"lr": 1e-3}),
        run(images={"train": "local:2"}),
        at(1),
    ],
)
def test_another_model_setting_code_or_number_of_origins_is_another_family(other):
    assert family(other) != family(run())
    assert family(at(1)) != family(at(1, origins=5))


def test_members_are_ordered_by_origin_and_seed():
    runs = [at(2), run(seed=3), at(1, seed=9), run(seed=1), at(1)]
    first, second = families(runs).values()
    assert [(m.config.prep.origin, m.config.seed) for m in first] == [(1, 9), (1, 42), (2, 42)]
    assert [m.config.seed for m in second] == [1, 3]


def test_members_have_the_seeds_from_the_configuration_s_own_upwards():
    config = RunConfig(model="tiny-llama31", seed=7)
    assert members(config) == [config]
    assert [one.seed for one in members(config, 3)] == [7, 8, 9]
    assert len({family(Run.of(one, CODE)) for one in members(config, 3)}) == 1


def test_a_walk_forward_has_a_member_for_each_seed_and_origin_unless_one_is_chosen():
    prep = {"origins": 4}
    config = RunConfig.model_validate({"model": "tiny-llama31", "prep": prep})
    made = [(one.seed, one.prep.origin) for one in members(config, 2)]
    assert made == [(seed, origin) for seed in (42, 43) for origin in (1, 2, 3, 4)]
    chosen = RunConfig.model_validate({"model": "tiny-llama31", "prep": {**prep, "origin": 3}})
    assert members(chosen) == [chosen]
    assert len({family(Run.of(one, CODE)) for one in members(config, 2)}) == 1


def test_a_seed_that_grows_too_large_is_one_sentence():
    config = RunConfig(model="tiny-llama31", seed=2**32 - 1)
    with pytest.raises(ConfigError, match="SEEDS: 'seed' is 4294967296"):
        members(config, 2)
