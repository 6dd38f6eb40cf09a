from __future__ import annotations

from collections import deque
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from transformers import Trainer, TrainerControl, TrainerState

from fingpt.errors import DivergedError
from fingpt.train.batching import Batching, Row, collate
from fingpt.train.figures import Mark
from fingpt.train.loop import AnswerTrainer, Hooks, TrainData, answer_loss


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


def test_a_step_trains_after_an_evaluation_and_makes_the_next_packs_last(model):
    model.eval()
    seen: list[object] = []

    def loss(given: torch.nn.Module, *_: object, **__: object) -> torch.Tensor:
        seen.append(all(each.training for each in given.modules()))
        return torch.zeros((), requires_grad=True)

    trainer = SimpleNamespace(
        model=model,
        args=SimpleNamespace(device=torch.device("cpu"), world_size=1),
        _since=None,
        accelerator=SimpleNamespace(backward=lambda found: found.backward()),
        compute_loss_context_manager=nullcontext,
        compute_loss=loss,
        _moved=lambda pack: pack,
        _seed=lambda number: number,
        _loader=SimpleNamespace(look_ahead=lambda: seen.append("ahead")),
    )
    AnswerTrainer.training_step(trainer, torch.nn.Sequential(model), {"packs": [{}, {}]}, 1)
    assert seen == [True, True, "ahead"]


def test_gradients_become_their_mean_over_all_ranks(trainer, monkeypatch):
    trainer.model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 4, bias=False))
    trainer.model[0].bias.requires_grad_(False)
    trainer.args.world_size = 2
    trained = [trainer.model[0].weight, trainer.model[1].weight]
    mine = [torch.full_like(each, number + 1.0) for number, each in enumerate(trained)]
    for each, gradient in zip(trained, mine, strict=True):
        each.grad = gradient.clone()
    others = torch.arange(14.0)  # the other rank's, one after the other
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda whole: whole.add_(others))
    trainer._average()
    wanted = (torch.cat([each.flatten() for each in mine]) + others) / 2
    assert torch.equal(torch.cat([each.grad.flatten() for each in trained]), wanted)
    assert trainer.model[0].bias.grad is None


@pytest.fixture
def trainer(invent, monkeypatch):
    """One between two optimizer steps of four rows, without a model; `recorded` is what it has recorded."""
    monkeypatch.setattr(Trainer, "_maybe_log_save_evaluate", lambda *_, **__: None)
    made = AnswerTrainer.__new__(AnswerTrainer)
    made.args = SimpleNamespace(device=torch.device("cpu"), world_size=1, fp16=False)
    made.state, made.control = TrainerState(), TrainerControl()
    rows = invent.rows(10)
    batching = Batching(tuple(map(len, rows)), 42, 2, 1, 2, pack_tokens=64)
    made._data = TrainData(rows, (), batching, 0)
    made.recorded = []
    record = lambda *given: made.recorded.append(given)  # noqa: E731
    made._hooks = Hooks(lambda: False, record, lambda *_: None, ranks=None)
    made._asked, made._losses, made._since = deque(), [], Mark(torch.device("cpu"))
    return made


def end_step(trainer: AnswerTrainer, loss: float, norm: float = 1.0) -> torch.Tensor:
    """Let the next step end with these figures, its one pack with the loss; what Trainer sums losses in."""
    summed = torch.tensor(loss)
    trainer._losses.append(((f"example {trainer.state.global_step}",), summed.clone()))
    trainer.state.global_step += 1
    trainer.control.should_log = True
    trainer._maybe_log_save_evaluate(summed, torch.tensor(norm), learning_rate=0.5)
    return summed


def test_a_step_is_recorded_with_the_rows_of_all_ranks_and_its_loss_begins_anew(trainer):
    assert end_step(trainer, 2.0, norm=3.0) == 0
    ((figures, evaluated),) = trainer.recorded
    assert (figures.step, figures.loss, figures.grad_norm, figures.lr) == (1, 2.0, 3.0, 0.5)
    assert [row.example for row in figures.rows] == [
        trainer._data.rows[index].example for index in trainer._data.batching.steps(0)[0]
    ]
    assert figures.seconds > 0
    assert not evaluated


def test_a_gpu_is_given_the_next_step_before_the_figures_of_one_are_read(trainer):
    trainer.args.device = SimpleNamespace(type="cuda")
    end_step(trainer, 1.0)
    assert trainer.recorded == []
    end_step(trainer, 2.0)
    assert [figures.step for figures, _ in trainer.recorded] == [1]


@pytest.mark.parametrize("due", ["should_evaluate", "should_save", "should_training_stop"])
def test_nothing_is_evaluated_saved_or_ended_before_all_figures_are_read(trainer, due):
    trainer.args.device = SimpleNamespace(type="cuda")
    end_step(trainer, 1.0)
    setattr(trainer.control, due, True)
    end_step(trainer, 2.0)
    evaluated = due == "should_evaluate"
    assert [(f.step, last) for f, last in trainer.recorded] == [(1, False), (2, evaluated)]
    assert trainer._since is None


def test_a_fault_that_is_read_late_names_its_own_step_and_examples(trainer):
    trainer.args.device = SimpleNamespace(type="cuda")
    end_step(trainer, float("nan"))
    with pytest.raises(
        DivergedError, match="loss became NaN or Inf at step 1, in examples example 0;"
    ):
        end_step(trainer, float("nan"))
    assert trainer.recorded == []


def test_an_infinite_gradient_ends_a_training_but_under_fp16(trainer):
    trainer.args.fp16 = True
    end_step(trainer, 1.0, norm=float("inf"))
    assert trainer.recorded[0][0].grad_norm is None
    trainer.args.fp16 = False
    with pytest.raises(DivergedError, match="grad_norm became NaN or Inf at step 2"):
        end_step(trainer, 1.0, norm=float("inf"))


def test_the_loss_is_divided_by_the_answers_of_all_ranks(trainer):
    trainer.state.global_step = 2  # the epoch's last one, of two rows
    rows = [trainer._data.rows[index] for index in trainer._data.batching.steps(0)[2]]
    assert len(rows) == 2
    assert trainer._get_num_items_in_batch([], None) == sum(len(row.answer) for row in rows)


def test_tensors_alone_are_moved(trainer):
    trainer.args.device = torch.device("meta")
    found = trainer._moved({"ids": torch.ones(2), "longest": 2})
    assert found["ids"].device.type == "meta"
    assert found["longest"] == 2
