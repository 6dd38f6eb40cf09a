"""How this machine computes a training: precision, attention, compiled layers, size of packs; and why it does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed

from fingpt import hardware, log
from fingpt.config import ResolvedPrecision, TrainConfig
from fingpt.conflicts import reduced
from fingpt.errors import SetupError
from fingpt.runs.manifest import PrecisionGate
from fingpt.train import attention, gate
from fingpt.train.batching import Batching, Row
from fingpt.train.compiled import compile_layers, obstacle, ready_triton
from fingpt.train.fast.choice import SIMULATED, eight_bits, refusal, simulate, take_over
from fingpt.train.fast.model import FastLayers
from fingpt.train.loop import PackLoss, pack_loss
from fingpt.train.memory import CPU_PACK_TOKENS, measured_tokens, rehearsal
from fingpt.train.model import keep_half_precision, load_base
from fingpt.train.packs import Pack, make_pack
from fingpt.train.read_ahead import ReadAhead

_LIBRARIES = ("torch", "transformers", "peft", "accelerate", "safetensors", "numpy")


class Machine:
    """The machine as this training uses it. DeepSpeed gets padded micro-batches and layers as they are."""

    def __init__(self, train: TrainConfig, *, tiny: bool) -> None:
        self._train, self._tiny = train, tiny
        self._packs = train.zero_stage is None
        self._reduced = reduced(train)
        self._layers = self._obstacle()
        self._fast: FastLayers | None = None
        self._fast_attention = ""

    def check(self) -> None:
        """SetupError when it cannot do what the configuration asks for."""
        visible = torch.cuda.device_count()
        if torch.cuda.is_available() and self._train.processes > visible:
            raise SetupError(
                f"train.processes={self._train.processes}, but this machine has {visible} GPUs; "
                "lower it, or ask for more GPUs."
            )
        if self._train.optimizer == "zero_one_adam" and not torch.cuda.is_available():
            raise SetupError(
                "train.optimizer=zero_one_adam needs CUDA, NCCL and cupy; use train.optimizer=adamw here."
            )
        if self._reduced and (reason := refusal(self.precision)):
            raise SetupError(
                f"{self._reduced} cannot be computed here: {reason}; leave it out, or take another GPU."
            )

    @staticmethod
    def spare_processor() -> None:
        """Leave this process one thread where a GPU computes: dozens are woken for each of a thousand small copies.

        That takes seconds at a start and at a save, where the processor has other work. Tokenizers have threads of
        their own.
        """
        if torch.cuda.is_available():
            torch.set_num_threads(1)

    @cached_property
    def precision(self) -> ResolvedPrecision:
        """Precision of base and products; the adapter's weights are fp32."""
        return hardware.resolve_precision(self._train.precision, "train.precision")

    def outlook(self) -> dict[str, str]:
        """What it will choose, in words, as far as that is known before the model is there."""
        layers = self._obstacle() or "fast or compiled, if Triton's compiler works"
        found = {"precision": self.precision, "attention": self._attention[1], "layers": layers}
        if self._reduced:
            found["products"] = f"{self._reduced}, if the first rows of the run allow it"
            if not torch.cuda.is_available():
                found["products"] += " (simulated without a GPU, and slower there than bf16)"
        return found

    @cached_property
    def _attention(self) -> tuple[str, str]:
        if not self._packs:
            return "sdpa", "PyTorch's over padded rows, for DeepSpeed"
        return attention.choose_attention(self.precision)

    def _obstacle(self) -> str:
        """Why layers are not compiled, in words; empty where nothing speaks against it."""
        if not self._packs:
            return "not compiled: DeepSpeed"
        if self._reduced:
            return "" if torch.cuda.is_available() else SIMULATED
        if self._tiny:
            return "not compiled: a tiny model"
        if self._train.gradient_checkpointing:
            return "not compiled: train.gradient_checkpointing"
        return obstacle()

    def seed(self, seed: int) -> None:
        """Seed every generator and, if the configuration asks for it, allow deterministic kernels alone.

        transformers' enable_full_determinism besides makes the host wait for each kernel and cuBLAS work with 128 KiB,
        and torch by default fills memory that is not yet written; none of this is needed for equal bytes.
        """
        from transformers import set_seed

        set_seed(seed)
        if self._train.deterministic:
            torch.use_deterministic_algorithms(True)
            debugging: Any = torch.utils.deterministic
            debugging.fill_uninitialized_memory = False
            torch.backends.cudnn.benchmark = False

    def load(self, folder: Path, ahead: ReadAhead | None = None) -> Any:
        """The base with the attention that suits this machine, from `ahead` where its weights are read already."""
        attention.register()
        return load_base(folder, self.precision, self._attention[0], ahead)

    def prepare(self, model: Any) -> None:
        """Bring a model with its adapter to the device, and compile its layers where that can be done."""
        if not self._packs:
            return
        model.to(hardware.device().type)
        keep_half_precision(model)
        if self._layers == SIMULATED:
            self._fast = simulate(model, self._reduced)
        if self._layers:
            return
        pack = make_pack([((0,) * 37, (0,) * 22), ((0,) * 23, (0,) * 11)])
        ready_triton()
        reason = f"precision {self.precision}"
        if self.precision == "bf16":
            with rehearsal(model):
                found = take_over(model, lambda fast: self._compute(model, pack, fast.loss))
            self._fast, self._fast_attention, reason = found
        if self._fast is not None:
            self._layers = reason
            return
        if self._reduced:
            raise SetupError(
                f"{self._reduced} needs the fast layers, which this machine or this base does not have: {reason}; "
                "leave it out."
            )
        with rehearsal(model):
            self._layers = compile_layers(model, lambda: self._compute(model, pack))
        self._layers += f"; not the fast ones: {reason}"

    @property
    def loss(self) -> PackLoss:
        """How the loss of a pack is computed."""
        return pack_loss if self._fast is None else self._fast.loss

    def decide(
        self, model: Any, rows: tuple[Row, ...], seed: int, recorded: PrecisionGate | None
    ) -> PrecisionGate:
        """Take to products in 8 bits, which were asked for, if `recorded` says so, or else if the first rows do."""
        layers = self._fast
        assert layers is not None
        if recorded is not None:
            if recorded.passed:
                gate.reduce(layers, eight_bits(), self._train)
            return recorded
        size = min(self._train.pack_tokens or CPU_PACK_TOKENS, CPU_PACK_TOKENS)
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        packs, count = gate.first_packs(self._batching(rows, seed, size), rows, rank)

        def measure() -> tuple[gate.Measured, int]:
            return gate.measured(
                model, packs, lambda pack: self._compute(model, pack, self.loss)
            ), count

        with rehearsal(model):
            return gate.decide(layers, eight_bits(), self._train, self.precision, measure)

    def batching(
        self, model: Any, rows: tuple[Row, ...], seed: int, epochs: int, saved: int | None
    ) -> Batching:
        """Steps of `rows` in packs of the size that is configured, else `saved` in a checkpoint, else measured."""
        of = partial(self._batching, rows, seed)
        _warn_of_long_rows([len(row) for row in rows], model.config.max_position_embeddings)
        if not self._packs:
            return of(None)
        known = self._train.pack_tokens or saved
        if known or not torch.cuda.is_available():
            return of(known or CPU_PACK_TOKENS)
        with rehearsal(model):
            size = measured_tokens(
                rows, of, epochs, lambda pack: self._compute(model, pack, self.loss)
            )
        log.event("packs measured", tokens=size)
        return of(_least(size))

    def _batching(self, rows: tuple[Row, ...], seed: int, size: int | None) -> Batching:
        train = self._train
        return Batching(
            lengths=tuple(len(row) for row in rows),
            seed=seed,
            batch_size=train.batch_size,
            accumulation=train.accumulation,
            processes=train.processes,
            pack_tokens=size,
            nodes=train.nodes,
        )

    def _compute(self, model: Any, pack: Pack, of_pack: PackLoss = pack_loss) -> torch.Tensor:
        """One forward and backward pass as a training has them; its loss."""
        here = {
            name: value.to(model.device) if isinstance(value, torch.Tensor) else value
            for name, value in {"seed": 0, **pack}.items()
        }
        half = self.precision == "bf16"
        model.train()
        with torch.autocast(model.device.type, torch.bfloat16, enabled=half):
            loss = of_pack(model, here)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def versions(self) -> dict[str, str]:
        """Versions of what computes."""
        deepspeed = () if self._packs else ("deepspeed",)
        return hardware.versions((*_LIBRARIES, *deepspeed))

    def facts(self) -> dict[str, str]:
        """What the numbers were measured on, and how: equal facts and versions allow equal bytes."""
        found = {**hardware.hardware(), "processes": str(self._train.processes)}
        if self._train.nodes > 1:
            found["nodes"] = str(self._train.nodes)
        if torch.cuda.is_available():
            found["capability"] = ".".join(map(str, torch.cuda.get_device_capability()))
        return {
            **found,
            "attention": self._fast_attention or self._attention[1],
            "layers": self._layers,
        }


def _warn_of_long_rows(lengths: Sequence[int], positions: int) -> None:
    """Say, once for all ranks, how many rows are longer than what the base was made for."""
    longer = [length for length in lengths if length > positions]
    first = not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
    if longer and first:
        log.warning(
            f"{len(longer)} of {len(lengths)} training rows are longer than the {positions} positions that the base "
            f"was made for, the longest has {max(longer)} tokens: what is learned from them is doubtful. "
            f"SET=train.max_tokens={positions} drops their oldest news."
        )


def _least(size: int) -> int:
    """The smallest of all ranks' sizes."""
    if not torch.distributed.is_initialized():
        return size
    sizes = torch.tensor(size, device=torch.cuda.current_device())
    torch.distributed.all_reduce(sizes, op=torch.distributed.ReduceOp.MIN)
    return int(sizes)
