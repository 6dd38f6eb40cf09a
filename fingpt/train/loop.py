"""Trainer with our loss, batches, evaluation and checkpoints; the loop itself stays Hugging Face's.

Loss: cross entropy over answer tokens only, summed over the optimizer step and divided by the step's answer tokens on
all ranks, so that neither packs, micro-batches nor ranks change it. Logits of prompt positions are never computed.
A batch is a whole optimizer step: its packs are computed one after the other, and ranks meet once, after the last.
Under DeepSpeed, which counts micro-batches itself, a batch is one of these.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F  # noqa: N812 - PyTorch's own abbreviation
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from fingpt.errors import DivergedError
from fingpt.prompts.chat import IGNORED
from fingpt.train.adapter import save_adapter
from fingpt.train.attention import document_arguments
from fingpt.train.batching import (
    Batch,
    Batching,
    EpochLoader,
    EpochSampler,
    Row,
    collate,
    collate_step,
    evaluation_batches,
)
from fingpt.train.fast.dropout import seed_of
from fingpt.train.figures import Asked, Losses, Mark, StepFigures
from fingpt.train.packs import filled_packs
from fingpt.train.ranks import Ranks
from fingpt.train.state import load_engine, load_random, random_file, save_engine, save_random

TRAINER_STATE = "trainer_state.json"

_EVALUATION_TOKENS = 8192


def answer_loss(model: Any, input_ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of all labelled tokens, in nats, summed (a scalar with gradient).

    Position t predicts token t+1. Only positions that predict a labelled token go through the output layer: `(n,
    vocabulary)` logits for n answer tokens, in fp32.
    """
    targets = labels[:, 1:]
    wanted = targets != IGNORED
    # Positions that any row wants: indices are what every transformers takes, a mask per row only newer ones.
    positions = wanted.any(dim=0).nonzero()[:, 0]
    logits = model(input_ids=input_ids, use_cache=False, logits_to_keep=positions).logits
    flat = logits[wanted[:, positions]].float()
    return F.cross_entropy(flat, targets[wanted], reduction="sum")


def pack_loss(model: Any, pack: Mapping[str, Any]) -> torch.Tensor:
    """The same for a pack (see `make_pack`), with an attention of attention.py: the sum over all answers in it.

    Dropout is PEFT's; it draws from the global random state, and a pack's `seed` says nothing to it.
    """
    logits = model(
        input_ids=pack["input_ids"],
        position_ids=pack["position_ids"],
        use_cache=False,
        logits_to_keep=pack["predictors"],
        **document_arguments(pack["borders"], pack["longest"]),
    ).logits
    return F.cross_entropy(logits[0].float(), pack["targets"], reduction="sum")


PackLoss = Callable[[Any, Mapping[str, Any]], torch.Tensor]
"""`pack_loss`, or what does the same faster."""


@dataclass(frozen=True)
class TrainData:
    """Rows to train on, rows to evaluate on, and how the former become batches."""

    rows: Sequence[Row]
    evaluation: Sequence[Row]
    batching: Batching
    pad_id: int


@dataclass(frozen=True)
class Hooks:
    """What the loop calls.

    `stopping` says whether a stop was asked for. `record` gets each step's figures, in order, and whether its
    evaluation follows. `commit(step, folder)` makes a local checkpoint durable (rank 0).
    `ranks`: this one among the others.
    `complete_only`: keep no checkpoint but the last (DeepSpeed's own state is pickled, so it is not kept).
    `pack_loss` computes the loss of a pack.
    """

    stopping: Callable[[], bool]
    record: Callable[[StepFigures, bool], None]
    commit: Callable[[int, Path], None]
    ranks: Ranks
    complete_only: bool = False
    pack_loss: PackLoss = pack_loss


class AnswerTrainer(Trainer):
    """HF Trainer for rows of prompt and answer."""

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        data: TrainData,
        hooks: Hooks,
        callbacks: list[TrainerCallback],
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            train_dataset=data.rows,
            eval_dataset=data.evaluation,
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)
        self._data, self._hooks = data, hooks
        self._folder = Path(str(args.output_dir))
        self._losses: Losses = []  # of this step
        self._asked: deque[Asked] = deque()
        self._since: Mark | None = None  # where the step began, if no other ended there

    def get_train_dataloader(self) -> DataLoader[Row]:
        """Batches of this rank; not prepared by accelerate, which would shard and repeat rows its own way."""
        sampler = EpochSampler(self._data.batching, self.args.process_index)
        self._loader = EpochLoader(
            self._data.rows, sampler, self._data.pad_id, pin=self.args.dataloader_pin_memory
        )
        return self._loader

    def floating_point_ops(self, inputs: Batch) -> int:  # noqa: ARG002 - Trainer's signature
        """Not counted: Trainer's estimate walks all parameters in every micro-step and knows no LoRA."""
        return 0

    def training_step(
        self,
        model: Any,
        inputs: Batch,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """The step's loss, this rank's part, after the backward pass of all its packs."""
        self._since = self._since or Mark(self.args.device)
        if "packs" not in inputs:
            return super().training_step(model, inputs, num_items_in_batch)
        # Several ranks have a wrapper that averages gradients in its own way, see _average.
        inner: Any = self.model
        if not inner.training:  # thousands of modules would be told, while the GPU waits
            inner.train()
        total = torch.zeros((), device=self.args.device)
        for number, pack in enumerate(inputs["packs"], start=1):
            with self.compute_loss_context_manager():
                given = {**self._moved(pack), "seed": self._seed(number)}
                loss = self.compute_loss(inner, given, num_items_in_batch=num_items_in_batch)
            self.accelerator.backward(loss)
            total += loss.detach()
        if self.args.world_size > 1:
            self._average()
        self._loader.look_ahead()
        return total

    def _average(self) -> None:
        """Let every gradient be its mean over all ranks: one vector, once, when all packs are done.

        DDP's way, hundreds of copies and a dozen exchanges beside the products of the backward pass, takes longer.
        """
        model: Any = self.model
        trained = [each for each in model.parameters() if each.requires_grad]
        whole = torch.cat([each.grad.flatten() for each in trained])
        torch.distributed.all_reduce(whole)
        whole /= self.args.world_size
        parts = torch.split(whole, [each.numel() for each in trained])
        for each, part in zip(trained, parts, strict=True):
            each.grad = part.view_as(each)

    def _moved(self, batch: Batch) -> Batch:
        """A pack or micro-batch on the device; Trainer's own way waits for the work before it, tensor by tensor."""
        return {
            name: value.to(self.args.device, non_blocking=True)
            if isinstance(value, torch.Tensor)
            else value
            for name, value in batch.items()
        }

    def _get_num_items_in_batch(self, *_: Any) -> int:
        """Answer tokens of the step on all ranks, which each of them knows by itself."""
        return sum(len(row.answer) for row in self._step_rows(self.state.global_step))

    def _step_rows(self, number: int) -> list[Row]:
        return [self._data.rows[index] for index in self._data.batching.step(number)]

    def _seed(self, number: int) -> int:
        """That of dropout in pack `number` of this step on this rank, the same after a resume."""
        args = self.args
        return seed_of(args.seed, self.state.global_step, args.process_index, number)

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """This pack's share of the step's mean loss, times the number of ranks, whose gradients are averaged."""
        assert num_items_in_batch is not None
        assert not return_outputs
        summed = self._summed(model, inputs)
        loss = summed * self.accelerator.num_processes / num_items_in_batch
        self._losses.append((inputs["examples"], loss.detach()))
        return loss

    def _summed(self, model: Any, batch: Batch) -> torch.Tensor:
        if "borders" in batch:
            return self._hooks.pack_loss(model, batch)
        return answer_loss(model, batch["input_ids"], batch["labels"])

    def _maybe_log_save_evaluate(
        self, tr_loss: torch.Tensor, grad_norm: Any, *others: Any, **named: Any
    ) -> None:
        """Trainer's, whose log waits for the device: a step's figures are read while a GPU computes the next one.

        Before it evaluates, saves or ends, all are read.
        """
        control = self.control
        if control.should_log:
            control.should_log = False
            self._ask(tr_loss, grad_norm, named["learning_rate"])
        due = control.should_evaluate or control.should_save or control.should_training_stop
        self._read(0 if due or self.args.device.type != "cuda" else 1)
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, *others, **named)
        if due:
            self._since = None

    def _ask(self, tr_loss: torch.Tensor, grad_norm: Any, lr: float) -> None:
        """Ask for the figures of the step that was handed out; its part of the loss begins at 0 again."""
        loss = tr_loss.detach().clone()
        tr_loss.zero_()
        if self.args.world_size > 1:
            torch.distributed.all_reduce(loss)
            loss /= self.args.world_size
        assert self._since is not None
        losses, self._losses = self._losses, []
        asked = Asked(self.state.global_step, loss, grad_norm, lr, losses, self._since)
        self._asked.append(asked)
        self._since = asked.ended

    def _read(self, kept: int) -> None:
        """Check and record the figures that were asked for, but for those of the last `kept` steps."""
        while len(self._asked) > kept:
            asked = self._asked.popleft()
            figures = asked.read(self._step_rows(asked.step - 1))
            norm = figures.grad_norm
            # Under fp16 an infinite gradient is how the loss scale finds its size; the step is skipped.
            if self.args.fp16 and norm is not None and norm - norm != 0:
                figures = replace(figures, grad_norm=None)
            values = {"loss": figures.loss, "grad_norm": figures.grad_norm}
            self._check_finite(values, figures.step, asked.losses)
            self._hooks.record(figures, self.control.should_evaluate and not self._asked)

    def _check_finite(self, values: dict[str, float | None], step: int, losses: Losses) -> None:
        """DivergedError naming the examples when a number of a step is NaN or Inf; call on every rank."""
        bad = [name for name, value in values.items() if value is not None and value - value != 0]
        if not bad:
            return
        mine = [ids for ids, loss in losses if not bool(torch.isfinite(loss))]
        # A gradient can overflow where every loss was finite: then the whole step is named.
        mine = mine or ([] if "loss" in bad else [ids for ids, _ in losses])
        everyone: list[list[tuple[str, ...]]] = [mine]
        if self.args.world_size > 1:
            everyone = [[] for _ in range(self.args.world_size)]
            torch.distributed.all_gather_object(everyone, mine)
        ids = [example for rank in everyone for batch in rank for example in batch]
        raise DivergedError(
            f"{' and '.join(bad)} became NaN or Inf at step {step}, in examples {', '.join(ids)}; "
            "look at these rows, or lower train.lr. Nothing was saved after the last commit."
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """`eval_loss`: mean loss per answer token over all evaluation rows, in nats; none when a stop cut it short.

        The last step is always evaluated to the end, so that what the last commit holds is complete.
        """
        last = self.state.global_step >= self.state.max_steps
        started = time.monotonic()
        model: Any = self.model
        model.eval()
        totals = torch.zeros(3, dtype=torch.float64, device=self.args.device)
        losses: Losses = []
        for rows in self._evaluation_rows():
            if not last and self._hooks.stopping():
                totals[2] = 1
                break
            packed = self._data.batching.pack_tokens is not None
            made = collate_step([rows])["packs"][0] if packed else collate(rows, self._data.pad_id)
            batch = self._moved(made)
            with torch.no_grad(), self.accelerator.autocast():
                loss = self._summed(model, batch)
            losses.append((tuple(row.example for row in rows), loss))
            totals[0] += loss.double()
            totals[1] += sum(len(row.answer) for row in rows)
        if self.args.world_size > 1:
            torch.distributed.all_reduce(totals)
        summed, tokens, cut = totals.tolist()
        metrics = {"eval_seconds": time.monotonic() - started}
        if not cut and tokens:
            metrics["eval_loss"] = summed / tokens
        step = self.state.global_step
        self._check_finite({"eval_loss": metrics.get("eval_loss")}, step, losses)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _evaluation_rows(self) -> list[list[Row]]:
        """The evaluation's rows on this rank, in packs of the training's size or in padded batches."""
        lengths = [len(row) for row in self._data.evaluation]
        rank, ranks = self.args.process_index, self.args.world_size
        if (size := self._data.batching.pack_tokens) is not None:
            parts = filled_packs(lengths, size)
        else:
            parts = evaluation_batches(lengths, _EVALUATION_TOKENS)
        return [[self._data.evaluation[index] for index in part] for part in parts[rank::ranks]]

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ARG002
        """Write the state of all ranks in safetensors and JSON, and have rank 0 commit it."""
        step = self.state.global_step
        last = step >= self.state.max_steps
        if self._hooks.complete_only and not last:
            return
        folder = self._folder / f"checkpoint-{step}"
        folder.mkdir(parents=True, exist_ok=True)
        save_random(folder, self.args.process_index)
        if self.args.process_index == 0:
            save_adapter(self.model, folder)
            self.state.save_to_json(str(folder / TRAINER_STATE))
            if not self._hooks.complete_only:
                save_engine(folder, self.optimizer, self.lr_scheduler)
        self._hooks.ranks.gather(folder, random_file)
        self.accelerator.wait_for_everyone()
        if self.args.process_index == 0:
            self._hooks.commit(step, folder)
        if self._hooks.ranks.leads_node:
            shutil.rmtree(folder)
        self.accelerator.wait_for_everyone()

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_engine(Path(checkpoint), self.optimizer, self.lr_scheduler)

    def _load_scaler(self, checkpoint: str | None) -> None:
        """There is none: fp16 runs under DeepSpeed alone, which scales by itself."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_random(Path(checkpoint), self.args.process_index)
