from __future__ import annotations

import pytest
import torch

from fingpt.train.fast.joined import Joined
from tests.train.small_llama import tuned_llama


@pytest.fixture
def out() -> Joined:
    """Of a small model's output projection: 32 inputs, an adapter that is 16 wide in its copy."""
    return Joined([tuned_llama(1).get_base_model().model.layers[0].self_attn.o_proj])


def test_rows_of_inputs_and_weights_begin_at_lines_of_memory(out):
    room = out.room(5, out.up)
    assert room.shape == (5, 48)
    assert room.stride() == (64, 1)
    assert out.weight.stride(0) % 64 == 0


def test_free_memory_behind_rows_is_used(out):
    memory = torch.zeros(5, 80)
    x = memory[:, :32]
    room = out.widened(x)
    assert room.shape == (5, 48)
    room[:, 32:] = 7
    assert memory[:, 32:48].eq(7).all()
    assert not memory[:, 48:].any()


def test_rows_that_lie_side_by_side_are_copied(out):
    x = torch.randn(5, 32)
    room = out.widened(x)
    room[:, 32:] = 7
    assert room.shape == (5, 48)
    assert torch.equal(room[:, :32], x)
    assert room.data_ptr() != x.data_ptr()


def test_outputs_are_added_to_what_stands_beside_them_with_the_adapters_part_or_without(out):
    x, beside = torch.randn(5, 48), torch.randn(5, 32)
    for copy, master in out.copies:
        copy.copy_(master.detach())
    whole, base = out.forward(x, x[:, 32:]), out.forward(x, None)
    torch.testing.assert_close(base, x[:, :32] @ out.weight.t())
    assert (whole - base).abs().max() > 0.1
    for p, made in ((x[:, 32:], whole), (None, base)):
        place = beside.clone()
        assert out.add(place, x, p) is place
        torch.testing.assert_close(place, beside + made, rtol=0, atol=1e-6)
