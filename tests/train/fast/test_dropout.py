from __future__ import annotations

import pytest
import torch

from fingpt.train.fast.dropout import Mask, column_keys, row_keys, seed_of, threshold

CPU = torch.device("cpu")


def mask(seed: int, dropout: float = 0.1, site: int = 0, rows: int = 600) -> torch.Tensor:
    keys = row_keys(seed, 4, rows, CPU)[site, :rows]
    return Mask(keys, column_keys(512, CPU), threshold(dropout)).keep


@pytest.mark.parametrize("dropout", [0.0, 0.05, 0.5, 0.9])
def test_the_share_that_is_dropped_is_the_one_asked_for(dropout):
    assert abs(1 - mask(3, dropout).float().mean() - dropout) < 0.005


def test_masks_of_rows_columns_places_and_seeds_have_nothing_to_do_with_each_other():
    one = mask(3, 0.5).float() - 0.5
    others = [
        one.roll(1, 0),
        one.roll(1, 1),
        one.roll((1, 1), (0, 1)),
        mask(3, 0.5, site=1).float() - 0.5,
        mask(4, 0.5).float() - 0.5,
    ]
    assert max(abs(4 * (one * other).mean()) for other in others) < 0.01
    joint = one[:-1, :-1] * one[1:, :-1] * one[:-1, 1:] * one[1:, 1:]
    assert abs(16 * joint.mean()) < 0.01


def test_a_mask_depends_on_seed_and_place_alone():
    assert torch.equal(mask(3), mask(3))
    assert torch.equal(mask(3, rows=70), mask(3)[:70])


def test_a_seed_names_its_step_rank_and_pack():
    seeds = {
        seed_of(42, step, rank, pack) for step in range(5) for rank in (0, 1) for pack in (1, 2)
    }
    assert len(seeds) == 20
    assert all(-(2**31) <= seed < 2**31 for seed in seeds)
    assert seed_of(42, 1, 0, 1) == seed_of(42, 1, 0, 1)
