from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from fingpt.train.batching import Row, collate
from fingpt.train.loop import AnswerTrainer, answer_loss


@pytest.fixture
def model(invent):
    return invent.llama()


def plain_loss(model, row: Row) -> torch.Tensor:
    """All logits of one unpadded row, cut to its answer by hand."""
    ids = torch.tensor([row.prompt + row.answer])
    logits = model(input_ids=ids).logits[0].float()
    log_probabilities = torch.log_softmax(logits, dim=-1)
    first = len(row.prompt)
    return -sum(log_probabilities[first + n - 1, token] for n, token in enumerate(row.answer))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_loss_is_that_of_a_plain_computation_row_by_row(model, invent, size):
    rows = invent.rows(size)
    batch = collate(rows, pad_id=0)
    wanted = sum(plain_loss(model, row) for row in rows)
    got = answer_loss(model, batch["input_ids"], batch["labels"])
    torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-5)


def test_gradients_are_those_of_a_plain_computation(model, invent):
    rows = invent.rows(3)
    batch = collate(rows, pad_id=0)
    parameters = list(model.parameters())
    got = torch.autograd.grad(answer_loss(model, batch["input_ids"], batch["labels"]), parameters)
    wanted = torch.autograd.grad(sum(plain_loss(model, row) for row in rows), parameters)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3])
def test_logits_of_prompt_positions_are_never_computed(model, invent, size):
    rows = invent.rows(size)
    shapes = []
    model.lm_head.register_forward_hook(lambda _, __, output: shapes.append(output.shape))
    batch = collate(rows, pad_id=0)
    answer_loss(model, batch["input_ids"], batch["labels"])
    (shape,) = shapes
    # Position t predicts token t+1; a position counts when any row of the batch has an answer there.
    wanted = {t - 1 for row in rows for t in range(len(row.prompt), len(row))}
    assert tuple(shape[:2]) == (size, len(wanted))
    assert len(wanted) < batch["input_ids"].shape[1] - 1


def test_what_fills_the_padding_changes_nothing(model, invent):
    rows = invent.rows(4)
    losses = [
        answer_loss(model, batch["input_ids"], batch["labels"])
        for batch in (collate(rows, pad_id=0), collate(rows, pad_id=77))
    ]
    assert torch.equal(*losses)


def test_a_filler_weighs_nothing_and_has_a_gradient(model):
    batch = collate([Row("", (1,), ())], pad_id=0)
    loss = answer_loss(model, batch["input_ids"], batch["labels"])
    loss.backward()
    assert loss.item() == 0
    assert all(
        not parameter.grad.any() for parameter in model.parameters() if parameter.grad is not None
    )


@pytest.mark.parametrize("evaluated", [False, True])
def test_a_step_trains_also_where_its_wrapper_was_not_told_of_an_evaluation(model, evaluated):
    wrapped, seen = torch.nn.Sequential(model).train(), []
    if evaluated:
        model.eval()

    def loss(given: torch.nn.Module, *_: object, **__: object) -> torch.Tensor:
        seen.append((given.training, *(each.training for each in model.modules())))
        return torch.zeros((), requires_grad=True)

    trainer = SimpleNamespace(
        model=model,
        args=SimpleNamespace(device="cpu", world_size=1),
        accelerator=SimpleNamespace(backward=lambda found: found.backward()),
        compute_loss_context_manager=nullcontext,
        compute_loss=loss,
        _prepare_inputs=lambda pack: pack,
        _seed=lambda number: number,
        _loader=SimpleNamespace(look_ahead=lambda: seen.append("ahead")),
    )
    AnswerTrainer.training_step(trainer, wrapped, {"packs": [{}, {}]}, 1)
    *packs, ahead = seen
    assert len(packs) == 2
    assert all(map(all, packs))
    assert ahead == "ahead"
