"""Frozen projections that share an input, as one matrix with their adapters beside it: one large product for all.

The matrix is

    [ W | B ]    W: the stacked weights (n × k)       B: the adapters' B, block by block (n × groups · rank)
    [ A | · ]    A: the adapters' A (groups · rank × k)

so that [x | p] [W | B]ᵀ with p = x Aᵀ is base and adapter at once. PEFT's modules stay: their frozen weights become
views of W, their adapters are the fp32 masters of the copies in here, and get the gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch

_LEAST_RANK = 16  # columns that matrix units multiply at once


class Joined:
    """`modules`: PEFT's LoRA layers of the same rank, scale and input, in the order of their outputs.

    `rank` is the adapters' own, `width` that of their copies (a power of two, rest zeros), `groups` their number and
    `padded` the next power of two; `bounds` are the ends of their outputs, `scale` is lora_alpha / r.
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        bases = [module.base_layer.weight for module in modules]
        self._downs = [module.lora_A["default"].weight for module in modules]
        self._ups = [module.lora_B["default"].weight for module in modules]
        self.scale = float(modules[0].scaling["default"])
        self.rank = int(self._downs[0].shape[0])
        self.width = max(_LEAST_RANK, 1 << (self.rank - 1).bit_length())
        self.groups, self.inputs = len(modules), int(bases[0].shape[1])
        self.padded = 1 << (self.groups - 1).bit_length()
        self.bounds = tuple(accumulate(int(base.shape[0]) for base in bases))
        self.outputs, self.beside = self.bounds[-1], self.groups * self.width
        rows, columns = self.outputs + self.padded * self.width, self.inputs + self.beside
        matrix = bases[0].new_zeros(rows, columns)
        self._both = matrix[: self.outputs]
        self.weight, self.down = self._both[:, : self.inputs], matrix[self.outputs :, : self.inputs]
        self.up = bases[0].new_zeros(self.outputs, self.width)
        for base, (start, stop) in zip(bases, pairwise((0, *self.bounds)), strict=True):
            self.weight[start:stop] = base.data
            base.data = self.weight[start:stop]
        self._copies = list(self._places())

    @property
    def masters(self) -> list[torch.Tensor]:
        """The adapters' fp32 parameters: all A, then all B."""
        return [*self._downs, *self._ups]

    def _places(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Where each master is copied to."""
        edges = list(pairwise((0, *self.bounds)))
        for group, (down, up, (start, stop)) in enumerate(
            zip(self._downs, self._ups, edges, strict=True)
        ):
            first = group * self.width
            left = self.inputs + first
            yield self.down[first : first + self.rank], down
            yield self.up[start:stop, : self.rank], up
            yield self._both[start:stop, left : left + self.rank], up

    @property
    def copies(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Pairs of a copy in here and the master that it is of."""
        return self._copies

    def room(self, rows: int, like: torch.Tensor) -> torch.Tensor:
        """An input of `rows` rows with place for the adapters' part behind it."""
        return like.new_empty(rows, self.inputs + self.beside)

    def forward(self, x: torch.Tensor, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Outputs `start` to `stop` of all, from an input with the adapters' part behind it."""
        return torch.mm(x, self._both[start:stop].t())

    def backward(self, dy: torch.Tensor, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """The input's gradient through the frozen weights of these outputs."""
        return torch.mm(dy, self.weight[start:stop])

    def gradients(self, of_down: torch.Tensor, of_up: torch.Tensor) -> list[torch.Tensor]:
        """Those of `masters`, from that of all A (padded · width × k) and all B (n × rank)."""
        downs = [of_down[g * self.width :][: self.rank] for g in range(self.groups)]
        return [*downs, *(of_up[a:b] for a, b in pairwise((0, *self.bounds)))]
