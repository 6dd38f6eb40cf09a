from __future__ import annotations

import pytest
import torch

from fingpt.train import memory
from fingpt.train.batching import Batching, Row
from fingpt.train.memory import affordable_tokens, dense_row, measured_tokens, rehearsal

GIB = 2**30


def rows_of(*lengths: int, answer: int = 10) -> tuple[Row, ...]:
    return tuple(
        Row(f"row-{n}", (1,) * (size - answer), (2,) * answer) for n, size in enumerate(lengths)
    )


class Card:
    """A GPU that is not there: `fixed` bytes are taken, every token costs `per_token`, more than `size` is too much.

    `hidden` bytes come on top where a pack has more than two rows, which passes over two cannot tell.
    """

    def __init__(self, monkeypatch, size: int, fixed: int, per_token: int, hidden: int = 0) -> None:
        self.size, self.fixed, self.per_token, self.hidden = size, fixed, per_token, hidden
        self.peak, self.passes = 0, []
        for name, value in {
            "empty_cache": lambda: None,
            "reset_peak_memory_stats": lambda: None,
            "max_memory_allocated": lambda: self.peak,
            "mem_get_info": lambda: (size - fixed, size),
            "memory_reserved": lambda: fixed,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)

    def __call__(self, pack) -> None:
        tokens = pack["input_ids"].shape[1]
        self.passes.append(tokens)
        self.peak = self.fixed + self.per_token * tokens
        several = len(pack["borders"]) > 3
        if self.peak + self.hidden * several > self.size:
            raise torch.OutOfMemoryError("CUDA out of memory.")


def batching(rows):
    return lambda size: Batching(tuple(map(len, rows)), 42, 1, 16, 1, pack_tokens=size)


def test_tokens_are_what_memory_affords_by_two_passes():
    smaller, larger = (2048, 16 * GIB + 2048 * 2**20), (4096, 16 * GIB + 4096 * 2**20)
    assert affordable_tokens(smaller, larger, 80 * GIB) == 58368
    assert affordable_tokens(smaller, larger, 80 * GIB) % 1024 == 0
    assert affordable_tokens(smaller, larger, 17 * GIB) == 1024


def test_a_probe_has_as_many_answers_as_the_most_talkative_rows():
    rows = (*rows_of(1000, answer=100), *rows_of(500, 500, answer=300))
    prompt, answer = dense_row(rows, 1000)
    assert (len(prompt), len(answer)) == (400, 600)
    assert len(dense_row(rows, 2000)[1]) == round(2000 * 700 / 2000)


def test_packs_fill_the_card_and_the_heaviest_is_tried(monkeypatch):
    rows = rows_of(*range(700, 3100, 50))
    card = Card(monkeypatch, size=80 * GIB, fixed=16 * GIB, per_token=6 * 2**20)
    size = measured_tokens(rows, batching(rows), 2, card)
    assert size == 9216
    assert (
        max(card.passes[1:])
        == card.passes[-1]
        == sum(len(rows[i]) for i in batching(rows)(size).heaviest_pack(2))
    )
    assert card.peak <= card.size


def test_packs_are_no_longer_than_is_fast(monkeypatch):
    rows = rows_of(*range(700, 3100, 50))
    card = Card(monkeypatch, size=800 * GIB, fixed=16 * GIB, per_token=6 * 2**20)
    assert measured_tokens(rows, batching(rows), 1, card) == 16384
    assert len(card.passes) == 1, "a card with room is measured for nothing"


def test_a_pack_that_leaves_no_room_is_not_taken_though_it_fits(monkeypatch):
    rows = rows_of(*range(700, 3100, 50))
    card = Card(monkeypatch, size=108 * GIB, fixed=16 * GIB, per_token=6 * 2**20)
    size = measured_tokens(rows, batching(rows), 1, card)
    assert size < 16384
    assert max(card.passes) == card.passes[0] > size


def test_a_pack_that_does_not_fit_makes_all_packs_smaller_before_the_first_step(monkeypatch):
    said = []
    monkeypatch.setattr(memory.log, "event", lambda name, **fields: said.append((name, fields)))
    rows = rows_of(*range(700, 3100, 50))
    card = Card(monkeypatch, size=80 * GIB, fixed=16 * GIB, per_token=6 * 2**20, hidden=20 * GIB)
    size = measured_tokens(rows, batching(rows), 1, card)
    assert size < 8192
    assert card.peak + card.hidden <= card.size
    assert said
    assert {name for name, _ in said} == {"a pack did not fit, packs get smaller"}


def test_a_small_card_is_probed_with_less(monkeypatch):
    rows = rows_of(*[300] * 20)
    card = Card(monkeypatch, size=20 * GIB, fixed=16 * GIB, per_token=2 * 2**20)
    assert measured_tokens(rows, batching(rows), 1, card) == 1024
    assert min(card.passes) < 2048


def test_a_row_that_does_not_fit_alone_is_out_of_memory(monkeypatch):
    rows = rows_of(4000, 300, 300)
    card = Card(monkeypatch, size=20 * GIB, fixed=16 * GIB, per_token=2 * 2**20)
    with pytest.raises(torch.OutOfMemoryError):
        measured_tokens(rows, batching(rows), 1, card)


def test_a_rehearsal_leaves_gradients_and_random_states_as_they_were():
    model = torch.nn.Linear(3, 2)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    with rehearsal(model):
        model(torch.nn.functional.dropout(torch.rand(4, 3))).sum().backward()
        assert model.weight.grad is not None
    assert model.weight.grad is None
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_optimizer_has_its_place_in_memory():
    model = torch.nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    assert memory.later_bytes(model) == 6 * 12
