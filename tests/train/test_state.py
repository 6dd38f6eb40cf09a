from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from fingpt.errors import NoSpaceError, PermissionDeniedError
from fingpt.train.state import (
    load_engine,
    load_random,
    random_file,
    save_engine,
    save_random,
    save_tensors,
)
from tests.full_disk import full_disk


def engine():
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, betas=(0.87, 0.999))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 3))
    return layer, optimizer, scheduler


def steps(layer, optimizer, scheduler, count: int) -> None:
    for number in range(count):
        layer(torch.full((1, 3), float(number + 1))).square().sum().backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()


def test_training_goes_on_bit_for_bit_from_a_saved_engine(tmp_path):
    one = engine()
    steps(*one, 3)
    save_engine(tmp_path, one[1], one[2])
    weights = {name: tensor.clone() for name, tensor in one[0].state_dict().items()}
    steps(*one, 4)

    two = engine()
    two[0].load_state_dict(weights)
    load_engine(tmp_path, two[1], two[2])
    steps(*two, 4)
    assert all(
        torch.equal(a, b) for a, b in zip(one[0].parameters(), two[0].parameters(), strict=True)
    )
    assert one[2].get_last_lr() == two[2].get_last_lr()


def test_every_random_state_comes_back(tmp_path):
    def draw():
        return random.gauss(0, 1), np.random.standard_normal(), torch.rand(3).tolist()

    draw()  # leaves half a pair of normal numbers in Python's and numpy's states
    save_random(tmp_path, 0)
    first = draw()
    draw()
    load_random(tmp_path, 0)
    assert draw() == first


def test_a_saved_state_is_json_and_safetensors_alone(tmp_path):
    layer, optimizer, scheduler = engine()
    steps(layer, optimizer, scheduler, 1)
    save_engine(tmp_path, optimizer, scheduler)
    save_random(tmp_path, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "engine.json",
        "optimizer.safetensors",
        random_file(3),
    ]
    for path in tmp_path.glob("*.json"):
        json.loads(path.read_bytes())


def test_a_state_that_json_cannot_hold_is_refused_when_it_is_written(tmp_path):
    layer, optimizer, scheduler = engine()
    optimizer.param_groups[0]["odd"] = layer
    with pytest.raises(TypeError):
        save_engine(tmp_path, optimizer, scheduler)


def test_tensors_that_a_full_disk_does_not_take_say_so(tmp_path):
    path = tmp_path / "adapter.safetensors"
    with (
        full_disk(),
        pytest.raises(NoSpaceError, match=rf"No space left for {path}.* 4,000 bytes are needed"),
    ):
        save_tensors({"a": torch.zeros(1000)}, path)


def test_an_optimizer_that_a_full_disk_does_not_take_says_so(tmp_path):
    layer, optimizer, scheduler = engine()
    steps(layer, optimizer, scheduler, 1)
    with full_disk(), pytest.raises(NoSpaceError, match="No space left"):
        save_engine(tmp_path, optimizer, scheduler)


def test_tensors_for_a_folder_that_is_not_there_name_it(tmp_path):
    with pytest.raises(PermissionDeniedError, match="nowhere"):
        save_tensors({"a": torch.zeros(1)}, tmp_path / "nowhere" / "a.safetensors")
