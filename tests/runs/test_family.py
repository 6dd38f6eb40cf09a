"""A family is what differs in seed or origin only."""

import pytest

from fingpt.config import RunConfig
from fingpt.runs.family import families, family
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
