"""What the layers of one forward pass share, and how a machine computes them."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from fingpt.train.fast.documents import Attention, Spans
from fingpt.train.fast.dropout import Mask, column_keys
from fingpt.train.fast.eight_bits import Rows, Unscaled
from fingpt.train.fast.elementwise import PLAIN_ELEMENTWISE, Elementwise
from fingpt.train.fast.joined import Joined
from fingpt.train.fast.products import PLAIN_PRODUCTS, Products

SITES = 4
"""Places of a layer where inputs of adapters are dropped: those of q, k, v, of o, of gate, up, and of down."""


Pair = tuple[torch.Tensor, torch.Tensor | None]
"""Hidden states (rows × d) as a sum that is not yet made: what a half layer got, and what it adds.

Where no backward follows the product adds what the half layer got itself, and there is no second part.
"""


def whole(pair: Pair) -> torch.Tensor:
    """The sum that is meant."""
    first, second = pair
    return first if second is None else first + second


@dataclass(frozen=True)
class Means:
    """How this machine computes the parts of a layer."""

    attention: Attention
    elementwise: Elementwise = PLAIN_ELEMENTWISE
    products: Products = PLAIN_PRODUCTS


@dataclass(frozen=True)
class Tail:
    """The last layer's queries: `rows` of the pack, the ends of its documents between `spans`.

    `wanted` are those of the queries whose output goes on, `places` the same among the rows of the pack.
    """

    rows: torch.Tensor
    wanted: torch.Tensor
    places: torch.Tensor
    spans: Spans


class Handed:
    """The newest gradient of hidden states in 8 bits, made with it, for the half layer that gets it next."""

    def __init__(self) -> None:
        self._newest: tuple[torch.Tensor, Rows] | None = None

    def give(self, gradient: torch.Tensor, rows: Rows | None) -> None:
        """Hand on `rows`, if there are any, beside `gradient`, which autograd hands on."""
        self._newest = None if rows is None else (gradient, rows)

    def take(self, gradient: torch.Tensor) -> torch.Tensor | Unscaled:
        """`gradient` with its 8 bits, if these are of it."""
        newest, self._newest = self._newest, None
        if newest is None or newest[0].data_ptr() != gradient.data_ptr():
            return gradient
        return Unscaled(gradient, newest[1].scales, newest[1])


@dataclass(frozen=True)
class Run:
    """One forward pass over a pack and its backward.

    `spans`: the documents; `turn`: cosines and sines of the rows' positions; `tail`: what the last layer computes, None
    for everything; `row_keys`: dropout's, None where nothing is dropped; `dropout`: its share and threshold; `keep`: a
    backward follows; `handed`: what goes from one half layer's backward to the next beside autograd's gradients.
    """

    spans: Spans
    turn: tuple[torch.Tensor, torch.Tensor]
    tail: Tail | None
    row_keys: torch.Tensor | None
    dropout: tuple[float, int]
    keep: bool
    handed: Handed = field(default_factory=Handed)

    def mask(self, site: int, rows: int, inputs: int) -> Mask | None:
        """The mask at place number `site` of the model over rows × inputs."""
        if self.row_keys is None:
            return None
        mine = self.row_keys[site, :rows]
        return Mask(mine, column_keys(inputs, mine.device), self.dropout[1])

    def scale(self, joined: Joined) -> float:
        """What an adapter's product is multiplied with."""
        return joined.scale if self.row_keys is None else joined.scale / (1 - self.dropout[0])

    def narrow(
        self, joined: Joined, x: torch.Tensor, site: int, means: Means
    ) -> torch.Tensor | None:
        """The adapters' part of input `x`, at place number `site`; None where it counts for nothing and is not kept."""
        if joined.scale == 0 and not self.keep:
            return None
        mask = self.mask(site, x.shape[0], joined.inputs)
        found: torch.Tensor = means.products.project(x, joined.down, self.scale(joined), mask)
        return found

    def added(
        self, joined: Joined, x: torch.Tensor, p: torch.Tensor | None, beside: torch.Tensor
    ) -> Pair:
        """`beside` and the outputs of `joined`, written into `beside` where no backward follows."""
        if self.keep:
            return beside, joined.forward(x, p)
        return joined.add(beside, x, p), None
