"""Keys and values of several texts at once, each in a slot of its own: as long as it is, without padding before it.

A text is read alone and put into a slot; a step then adds a token to all of them. What has ended makes room by moving
the last slot into its place, so that a step costs what the texts that still go on cost. For models whose layers attend
to all that came before.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache

_WIDTH = 8  # masks of widths that are no multiple of this are copied by the attention of GPUs


class Slots(Cache):
    """A cache of transformers for texts of different lengths, each at most `capacity` tokens long.

    Between two steps `lengths` says how many tokens of each slot are held. Memory for all of them is taken at once:
    what does not fit fails with the first text, not in the middle of an answer.
    """

    def __init__(self, count: int, capacity: int) -> None:
        super().__init__(
            layers=[]
        )  # the layers of transformers pad, and copy all they hold with every token
        self.lengths: list[int] = []
        self._shape = (count, -(-capacity // _WIDTH) * _WIDTH)
        self._held: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._rows = self._ends = torch.empty(0, dtype=torch.long)
        self._width = 0

    def put(self, read: Any) -> None:
        """Fill the next slot from the cache `read` of a text that was read alone."""
        slot = len(self.lengths)
        for index, layer in enumerate(read.layers):
            if slot == 0:
                count, capacity = self._shape
                _, heads, _, size = layer.keys.shape
                held = (layer.keys.new_zeros(count, heads, capacity, size) for _ in range(2))
                self._held.append((next(held), next(held)))
            length = layer.keys.shape[2]
            for whole, part in zip(self._held[index], (layer.keys, layer.values), strict=True):
                whole[slot, :, :length] = part[0]
        self.lengths.append(length)

    def drop(self, slot: int) -> None:
        """Give up a slot; the last one takes its place and number."""
        last = len(self.lengths) - 1
        if slot != last:
            length = self.lengths[last]
            for whole in (tensor for layer in self._held for tensor in layer):
                whole[slot, :, :length] = whole[last, :, :length]
            self.lengths[slot] = length
        self.lengths.pop()

    def step(self, place: torch.device) -> dict[str, torch.Tensor]:
        """Make room for a token in every slot; positions and mask (slots, 1, 1, width) for the model's next call."""
        ends = torch.tensor(self.lengths)
        self._width = -(-(max(self.lengths) + 1) // _WIDTH) * _WIDTH
        mask = torch.arange(self._width) <= ends[:, None]
        self._rows = torch.arange(len(self.lengths)).to(place)
        self._ends = ends.to(place)
        self.lengths = [length + 1 for length in self.lengths]
        return {
            "position_ids": self._ends[:, None],
            "attention_mask": mask[:, None, None].to(place),
        }

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Called by the model in each layer: keep the new token of every slot, give all of it back."""
        keys, values = self._held[layer_idx]
        keys[self._rows, :, self._ends] = key_states[:, :, 0]
        values[self._rows, :, self._ends] = value_states[:, :, 0]
        count = len(self.lengths)
        return keys[:count, :, : self._width], values[:count, :, : self._width]
