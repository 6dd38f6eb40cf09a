"""Frozen projections that share an input, as one matrix with their adapters beside it: one large product for all.

The matrix is

    [ W | B ]    W: the stacked weights (n × k)       B: the adapters' B, block by block (n × groups · rank)
    [ A | · ]    A: the adapters' A (groups · rank × k)

so that [x | p] [W | B]ᵀ with p = x Aᵀ is base and adapter at once. PEFT's modules stay: their frozen weights become
views of W, their adapters are the fp32 masters of the copies in here, and get the gradients.

In 8 bits (eight_bits.py) W is kept twice, by outputs for the forward and by inputs for the backward product, since each
wants scales of its own. For int8 the matrix itself goes, and PEFT's frozen weights are empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch

from fingpt.train.fast.eight_bits import EightBits, Narrow, Rows, Unscaled

_LINE = 64  # bf16 numbers of 128 bytes: products are slower where rows begin within one
_LEAST_RANK = 16  # columns that matrix units multiply at once


class Joined:
    """`modules`: PEFT's LoRA layers of the same rank, scale and input, in the order of their outputs.

    `rank` is the adapters' own, `width` that of their copies (a power of two, rest zeros), `groups` their number and
    `padded` the next power of two; `bounds` are the ends of their outputs, `scale` is lora_alpha / r.
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        bases = self._bases = [module.base_layer.weight for module in modules]
        self._downs = [module.lora_A["default"].weight for module in modules]
        self._ups = [module.lora_B["default"].weight for module in modules]
        self.scale = float(modules[0].scaling["default"])
        self.rank = int(self._downs[0].shape[0])
        self.width = max(_LEAST_RANK, 1 << (self.rank - 1).bit_length())
        self.groups, self.inputs = len(modules), int(bases[0].shape[1])
        self.padded = 1 << (self.groups - 1).bit_length()
        self.bounds = tuple(accumulate(int(base.shape[0]) for base in bases))
        self.outputs, self.beside = self.bounds[-1], self.groups * self.width
        self.up = bases[0].new_zeros(self.outputs, self.width)
        self._eight: EightBits | None = None
        self._forward8: Rows | None = None
        self._backward8: Rows | None = None
        self._parked: torch.Tensor | None = None
        self._join(bases)

    def _join(self, weights: Sequence[torch.Tensor]) -> None:
        """Make the matrix of `weights`, one for each module, and let the modules' own be views of it."""
        rows, columns = self.outputs + self.padded * self.width, self.inputs + self.beside
        matrix = self.up.new_zeros(rows, _lines(columns))[:, :columns]
        self._both = matrix[: self.outputs]
        self.weight, self.down = self._both[:, : self.inputs], matrix[self.outputs :, : self.inputs]
        for base, weight, (start, stop) in zip(self._bases, weights, self._edges, strict=True):
            self.weight[start:stop] = weight.data
            base.data = self.weight[start:stop]
        self._copies = list(self._places())

    @property
    def _edges(self) -> list[tuple[int, int]]:
        """Where outputs of each module begin and end."""
        return list(pairwise((0, *self.bounds)))

    def reduce(self, eight: EightBits, *, base: bool, gradient: bool, park: bool) -> None:
        """Compute in 8 bits from now on: `base` all products as int8, `gradient` those of the backward pass as fp8.

        `park`: keep what `restore` needs, in the memory of the CPU.
        """
        self._eight = eight
        by_input = self.weight.t().contiguous()
        self._backward8 = eight.fp8_rows(by_input) if gradient else eight.int8_rows(by_input, False)
        if not base:
            return
        self._forward8 = eight.int8_rows(self.weight, True)
        self._parked = self.weight.cpu() if park else None
        place = self.up.new_empty(self.down.shape[0], _lines(self.inputs))
        self.down = place[:, : self.inputs].copy_(self.down)
        self._both = self.weight = self.up.new_empty(0, self.inputs)
        for each in self._bases:
            each.data = self.weight
        self._copies = list(self._places())

    def settle(self) -> None:
        """`restore` will not be called."""
        self._parked = None

    def restore(self) -> None:
        """Compute as before `reduce`."""
        self._eight = self._forward8 = self._backward8 = None
        if self._parked is not None:
            parked, self._parked = self._parked, None
            self._join([parked[start:stop] for start, stop in self._edges])

    @property
    def masters(self) -> list[torch.Tensor]:
        """The adapters' fp32 parameters: all A, then all B."""
        return [*self._downs, *self._ups]

    def _places(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Where each master is copied to."""
        for group, (down, up, (start, stop)) in enumerate(
            zip(self._downs, self._ups, self._edges, strict=True)
        ):
            first = group * self.width
            left = self.inputs + first
            yield self.down[first : first + self.rank], down
            yield self.up[start:stop, : self.rank], up
            if self._forward8 is None:
                yield self._both[start:stop, left : left + self.rank], up

    @property
    def copies(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Pairs of a copy in here and the master that it is of."""
        return self._copies

    def room(self, rows: int, like: torch.Tensor) -> torch.Tensor:
        """An input of `rows` rows with place for the adapters' part behind it; rows lie apart."""
        columns = self.inputs + self.beside
        return like.new_empty(rows, _lines(columns))[:, :columns]

    def widened(self, x: torch.Tensor) -> torch.Tensor:
        """An input with place for the adapters' part: free memory between its rows where they lie apart; or a copy."""
        columns = self.inputs + self.beside
        if x.stride(0) >= columns:
            return x.as_strided((x.shape[0], columns), x.stride(), x.storage_offset())
        room = self.room(x.shape[0], x)
        room[:, : self.inputs] = x
        return room

    def forward(
        self, x: torch.Tensor, p: torch.Tensor | None, start: int = 0, stop: int | None = None
    ) -> torch.Tensor:
        """Outputs `start` to `stop` of all, ends of groups, with what adapters add to them.

        `x`: an input with the adapters' part behind it; `p`: that part, of all groups, None where they add nothing.
        """
        if p is not None and self._eight is not None and self._forward8 is not None:
            rows = self._eight.int8_rows(x[:, : self.inputs], True)
            weight = Rows(*(part[start:stop] for part in self._forward8))
            bounds = tuple(
                bound - start for bound in self.bounds if start < bound <= (stop or bound)
            )
            first = sum(bound <= start for bound in self.bounds) * self.width
            narrow = Narrow(p[:, first:], self.up[start:stop], bounds)
            found: torch.Tensor = self._eight.int8_product(rows, weight, x.dtype, narrow)
            return found
        return torch.mm(*self._factors(x, p, start, stop))

    def add(self, beside: torch.Tensor, x: torch.Tensor, p: torch.Tensor | None) -> torch.Tensor:
        """All outputs added to `beside`, which becomes their sum: rounded once, without a pass through memory."""
        if self._forward8 is not None:
            return beside.add_(self.forward(x, p))
        return beside.addmm_(*self._factors(x, p))

    def _factors(
        self, x: torch.Tensor, p: torch.Tensor | None, start: int = 0, stop: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What is multiplied: with the adapters' columns where these add something."""
        if p is None:
            return x[:, : self.inputs], self.weight[start:stop].t()
        return x, self._both[start:stop].t()

    def maxima(self, like: torch.Tensor) -> torch.Tensor | None:
        """Zeros, to find the largest entry of each row of an output's gradient; None where `backward` needs none."""
        if self._backward8 is None:
            return None
        return like.new_zeros(like.shape[0], dtype=torch.float32)

    def unscaled(self, dy: torch.Tensor, most: torch.Tensor | None) -> torch.Tensor | Unscaled:
        """An output's gradient with its rows' largest entries, and place for what `backward` needs of it."""
        rows = self.place(dy)
        return dy if most is None or rows is None else Unscaled(dy, most, rows)

    def place(self, gradient: torch.Tensor) -> Rows | None:
        """Place for a gradient in the 8 bits that `backward` takes; None where it takes it as it is."""
        if self._backward8 is None:
            return None
        values = torch.empty_like(gradient, dtype=self._backward8.values.dtype)
        return Rows(values, gradient.new_empty(gradient.shape[0], dtype=torch.float32))

    def backward(
        self, dy: torch.Tensor | Unscaled, start: int = 0, stop: int | None = None
    ) -> torch.Tensor:
        """The input's gradient through the frozen weights of these outputs; `dy` may hold its 8 bits, ready."""
        if isinstance(dy, Unscaled):
            return self._backward(dy.rows, dy.values.dtype, slice(start, stop))
        if self._eight is None or self._backward8 is None:
            return torch.mm(dy, self.weight[start:stop])
        whole = self._backward8.values.dtype == torch.int8
        rows = self._eight.int8_rows(dy, False) if whole else self._eight.fp8_rows(dy)
        return self._backward(rows, dy.dtype, slice(start, stop))

    def _backward(self, rows: Rows, dtype: torch.dtype, outputs: slice) -> torch.Tensor:
        assert self._eight is not None
        assert self._backward8 is not None
        weight = Rows(self._backward8.values[:, outputs], self._backward8.scales)
        whole = weight.values.dtype == torch.int8
        product = self._eight.int8_product if whole else self._eight.fp8_product
        found: torch.Tensor = product(rows, weight, dtype)
        return found

    def gradients(self, of_down: torch.Tensor, of_up: torch.Tensor) -> list[torch.Tensor]:
        """Those of `masters`, from that of all A (padded · width × k) and all B (n × rank)."""
        downs = [of_down[g * self.width :][: self.rank] for g in range(self.groups)]
        return [*downs, *(of_up[start:stop] for start, stop in self._edges)]


def _lines(columns: int) -> int:
    """As many columns as whole lines of memory have."""
    return -(-columns // _LINE) * _LINE
