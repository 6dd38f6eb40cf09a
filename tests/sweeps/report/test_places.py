"""Where a setting lies on the axes of a space, and which axes a chart is drawn over."""

from __future__ import annotations

import pytest

from fingpt.sweeps.definition import parse_definition
from fingpt.sweeps.report.places import axes, rate_axis, second_axis
from tests.sweeps.invented import SPACE


def space_of(space):
    return axes(parse_definition({"method": "random", "trials": 3, "space": space}, "here"))


def test_axes_are_named_in_the_order_of_the_file_and_values_are_brief():
    space = space_of(SPACE)
    assert [axis.name for axis in space] == ["lr", "epochs", "lora.dropout", "capacity"]
    assert space[0].words({"train.lr": 0.00033150312}) == "3.32e-4"
    assert space[3].words({"train.lora.alpha": 32, "train.lora.r": 16}) == "r 16, alpha 32"


def test_a_logarithmic_range_is_halved_at_its_geometric_middle():
    lr = space_of(SPACE)[0]
    middle = (5e-5 * 1e-3) ** 0.5
    shares = [lr.share({"train.lr": value}) for value in (5e-5, middle, 1e-3, 2e-3)]
    assert shares == [0, pytest.approx(0.5), 1, None]


def test_choices_are_evenly_spaced_and_others_have_no_place():
    epochs = space_of(SPACE)[1]
    assert [epochs.share({"train.epochs": value}) for value in (1.0, 2.0, 3.0, 4.0)] == [
        0,
        0.5,
        1,
        None,
    ]


def test_loss_is_drawn_over_the_rate_by_rank_and_over_others_where_they_lack():
    space = space_of(SPACE)
    assert (rate_axis(space).name, second_axis(space, space[0]).name) == ("lr", "capacity")
    other = space_of({"train.schedule": ["cosine", "linear"], "train.epochs": [1, 2]})
    assert (rate_axis(other).name, second_axis(other, other[1]).name) == ("epochs", "schedule")
    words = space_of({"train.schedule": ["cosine", "linear"]})
    assert rate_axis(words) is None
    alone = space_of({"train.lr": [1e-4, 2e-4]})
    assert second_axis(alone, alone[0]) is None
