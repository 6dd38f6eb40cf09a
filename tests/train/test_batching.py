from __future__ import annotations

from collections import Counter

import pytest
import torch

from fingpt.prompts.chat import IGNORED
from fingpt.train.batching import (
    FILLER,
    Batching,
    EpochLoader,
    EpochSampler,
    Row,
    collate,
    epoch_order,
    evaluation_batches,
)

LENGTHS = tuple(10 + (7 * n) % 31 for n in range(37))


def batching(**changes) -> Batching:
    return Batching(
        **{
            "lengths": LENGTHS,
            "seed": 42,
            "batch_size": 2,
            "accumulation": 4,
            "processes": 2,
            **changes,
        }
    )


def test_the_order_is_a_pure_function_of_seed_and_epoch():
    assert epoch_order(8, 42, 0) == (6, 7, 2, 3, 0, 5, 4, 1)
    assert epoch_order(8, 42, 1) != epoch_order(8, 42, 0)
    assert epoch_order(8, 43, 0) != epoch_order(8, 42, 0)


def test_the_order_ignores_and_leaves_alone_every_random_state():
    before = torch.random.get_rng_state()
    first = epoch_order(100, 1, 1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(5)
    assert epoch_order(100, 1, 1) == first


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_every_row_is_seen_once_in_an_epoch(processes, batch_size):
    plan = batching(processes=processes, batch_size=batch_size)
    seen = Counter(
        index
        for rank in range(processes)
        for batch in plan.rank_batches(0, rank)
        for index in batch
        if index != FILLER
    )
    assert seen == Counter(range(len(LENGTHS)))


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_all_ranks_take_the_same_number_of_turns(processes):
    plan = batching(processes=processes)
    assert len({len(plan.rank_batches(0, rank)) for rank in range(processes)}) == 1


def test_sorting_by_length_never_changes_which_rows_make_a_step():
    plan = batching()
    order = epoch_order(len(LENGTHS), 42, 0)
    for number, rows in enumerate(plan.steps(0)):
        assert rows == list(order[number * 16 : (number + 1) * 16])
        turns = plan.micro_batches(rows)
        mixed = [index for turn in turns for batch in turn for index in batch if index != FILLER]
        assert sorted(mixed) == sorted(rows)


def test_a_step_is_found_by_its_number_over_all_epochs():
    plan = batching()
    counted = [rows for epoch in range(3) for rows in plan.steps(epoch)]
    assert [plan.step(number) for number in range(len(counted))] == counted


def test_tokens_are_counted_over_all_steps_and_epochs_before():
    plan = batching()
    seen = [sum(LENGTHS[index] for index in rows) for e in range(3) for rows in plan.steps(e)]
    assert [plan.tokens_after(n) for n in range(len(seen) + 1)] == [
        sum(seen[:n]) for n in range(len(seen) + 1)
    ]


def test_the_same_rows_make_a_step_whatever_the_number_of_processes():
    alone = batching(processes=1, accumulation=8)
    both = batching(processes=2, accumulation=4)
    assert alone.steps(3) == both.steps(3)


def test_sorting_spares_most_of_the_padding():
    plan = batching(lengths=LENGTHS[:32], batch_size=4, accumulation=4, processes=1)
    parts = [rows[start : start + 4] for rows in plan.steps(0) for start in range(0, 16, 4)]
    slots = sum(4 * max(LENGTHS[index] for index in part) for part in parts)
    unsorted_share = 1 - sum(LENGTHS[:32]) / slots
    assert plan.padding_share(1) < unsorted_share / 2


def test_batches_of_one_need_no_padding():
    assert batching(batch_size=1, processes=1).padding_share(2) == 0


def test_prompts_and_padding_carry_no_label_and_answers_all_do():
    batch = collate([Row("a", (1, 2, 3), (4, 5)), Row("b", (6,), (7,))], pad_id=9)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5], [6, 7, 9, 9, 9]]
    assert batch["labels"].tolist() == [
        [IGNORED, IGNORED, IGNORED, 4, 5],
        [IGNORED, 7, IGNORED, IGNORED, IGNORED],
    ]
    assert batch["examples"] == ("a", "b")


def test_an_answer_that_ends_with_the_pad_id_is_still_trained():
    labels = collate([Row("a", (9, 9), (4, 9)), Row("b", (1,), (2,))], pad_id=9)["labels"]
    assert labels[0].tolist() == [IGNORED, IGNORED, 4, 9]


def test_the_loader_follows_the_epoch_and_touches_no_random_state():
    rows = [Row(str(n), (1,) * LENGTHS[n], (2,)) for n in range(len(LENGTHS))]
    plan = batching(processes=1)
    loader = EpochLoader(rows, EpochSampler(plan, 0), 0, pin=False)
    before = torch.random.get_rng_state()
    seen = []
    for epoch in (0, 1):
        loader.set_epoch(epoch)
        seen.append([batch["examples"] for batch in loader])
    assert torch.equal(torch.random.get_rng_state(), before)
    wanted = [[tuple(str(i) for i in b) for b in plan.rank_batches(e, 0)] for e in (0, 1)]
    assert seen == wanted
    assert seen[0] != seen[1]


def test_batches_that_are_made_ahead_are_the_same_and_made_once(monkeypatch):
    rows = [Row(str(n), (1,) * LENGTHS[n], (2,)) for n in range(len(LENGTHS))]
    plan = batching(processes=1)
    loader = EpochLoader(rows, EpochSampler(plan, 0), 0, pin=False)
    made, seen = [], []
    collated = loader.collate_fn
    loader.collate_fn = lambda batch: made.append(len(seen)) or collated(batch)
    loader.look_ahead()  # nothing has begun
    for epoch in (0, 1):
        loader.set_epoch(epoch)
        for batch in loader:
            seen.append(batch["examples"])
            loader.look_ahead()
            loader.look_ahead()
    wanted = [tuple(str(i) for i in b) for e in (0, 1) for b in plan.rank_batches(e, 0)]
    assert seen == wanted
    # The first of each epoch is made when it is asked for, all others while the one before is computed.
    assert made == list(range(len(wanted)))


def test_a_loader_that_was_left_begins_again():
    rows = [Row(str(n), (1,) * LENGTHS[n], (2,)) for n in range(len(LENGTHS))]
    loader = EpochLoader(rows, EpochSampler(batching(processes=1), 0), 0, pin=False)
    for _ in loader:
        loader.look_ahead()
        break
    first, *_ = batching(processes=1).rank_batches(0, 0)
    assert next(iter(loader))["examples"] == tuple(str(i) for i in first)


def test_evaluation_batches_hold_all_rows_within_the_budget():
    batches = evaluation_batches(LENGTHS, 100)
    assert sorted(index for batch in batches for index in batch) == list(range(len(LENGTHS)))
    assert all(len(batch) * max(LENGTHS[i] for i in batch) <= 100 for batch in batches)
    assert evaluation_batches([500], 100) == [[0]]


@pytest.mark.parametrize("pack_tokens", [None, 64])
def test_ranks_of_several_nodes_get_the_batches_of_as_many_on_one_node(pack_tokens):
    options = {"lengths": tuple(LENGTHS), "seed": 5, "batch_size": 1, "pack_tokens": pack_tokens}
    one = Batching(accumulation=2, processes=4, **options)
    several = Batching(accumulation=4, processes=2, nodes=2, **options)
    assert one.ranks == several.ranks == 4
    for epoch in (0, 1):
        assert one.steps(epoch) == several.steps(epoch)
        for rank in range(4):
            if pack_tokens:
                assert one.rank_steps(epoch, rank) == several.rank_steps(epoch, rank)
            else:
                assert one.rank_batches(epoch, rank) == several.rank_batches(epoch, rank)
