from __future__ import annotations

import pytest
import torch

from fingpt.train.fast.joined import Joined
from fingpt.train.fast.products import project
from tests.train.small_llama import tuned_llama


@pytest.fixture
def attention():
    """A small model's, with 32 inputs and adapters that are 16 wide in their copies."""
    return tuned_llama(1).get_base_model().model.layers[0].self_attn


@pytest.fixture
def out(attention) -> Joined:
    return Joined([attention.o_proj])


def test_rows_of_inputs_and_weights_begin_at_lines_of_memory(out):
    room = out.room(5, out.up)
    assert room.shape == (5, 48)
    assert room.stride() == (64, 1)
    assert out.weight.stride(0) % 64 == 0


def test_the_part_of_several_adapters_ends_at_a_line_and_what_is_free_is_zero(attention):
    joined = Joined([attention.q_proj, attention.k_proj])
    for copy, master in joined.copies:
        copy.copy_(master.detach())
    x = joined.room(5, joined.up).fill_(float("nan"))
    assert x.shape == (5, 32 + 64)
    x[:, :32] = torch.randn(5, 32)
    p = project(x, joined.down, joined.scale, None)
    assert torch.equal(x[:, 32:64], p)
    assert not x[:, 64:].any()
    modules = (attention.q_proj, attention.k_proj)
    wanted = torch.cat([module.eval()(x[:, :32]) for module in modules], 1)
    torch.testing.assert_close(joined.forward(x, p), wanted, rtol=1e-5, atol=1e-5)


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
