"""The tensors of a base on their way to a device, a few of them at a time, in the order of its files.

To a GPU they go piece by piece through pinned memory: threads copy out of the page cache, or wait for the disk, while
what they copied before is on its way. No more than `_READERS` tensors are underway, since an engine has left little of
a card's memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import torch
from safetensors import safe_open

_READERS = 4
_PIECE = 32 << 20  # bytes

Named = tuple[str, torch.Tensor]


def weights_ahead(base: Path, place: torch.device) -> Iterator[Named]:
    """Every tensor of the safetensors files in folder `base`, on `place`, by name."""
    carry = _Carry(place)
    names = ((path, name) for path in sorted(base.glob("*.safetensors")) for name in _names(path))
    pool = ThreadPoolExecutor(_READERS, thread_name_prefix="weights")
    try:
        coming = (pool.submit(carry.read, path, name) for path, name in names)
        underway: deque[Future[Named]] = deque(islice(coming, _READERS))
        while underway:
            found = underway.popleft().result()
            underway.extend(islice(coming, 1))
            yield found
    finally:
        pool.shutdown(cancel_futures=True)


def _names(path: Path) -> list[str]:
    with safe_open(path, framework="pt") as held:
        return list(held.keys())


class _Carry:
    """Pinned buffers, and the events behind which they are free again."""

    def __init__(self, place: torch.device) -> None:
        self._place = place
        self._buffers: SimpleQueue[tuple[torch.Tensor, torch.cuda.Event]] = SimpleQueue()
        if place.type == "cuda":
            for _ in range(_READERS):
                buffer = torch.empty(_PIECE, dtype=torch.uint8, pin_memory=True)
                self._buffers.put((buffer, torch.cuda.Event()))  # type: ignore[no-untyped-call]

    def read(self, path: Path, name: str) -> Named:
        """The tensor `name` of the file `path`, where it has to go."""
        with safe_open(path, framework="pt") as held:
            mapped = held.get_tensor(name)
        if self._place.type != "cuda":
            return name, mapped
        found = torch.empty_like(mapped, device=self._place)
        parts = (one.view(-1).view(torch.uint8).split(_PIECE) for one in (found, mapped))
        for to, of in zip(*parts, strict=True):
            self._piece(to, of)
        return name, found

    def _piece(self, to: torch.Tensor, of: torch.Tensor) -> None:
        buffer, free = self._buffers.get()
        try:
            free.synchronize()
            # Torch would wake a thread on every core for each copy, which takes longer where they have other work.
            np.copyto(buffer[: of.numel()].numpy(), of.numpy())
            to.copy_(buffer[: of.numel()], non_blocking=True)
            free.record()
        finally:
            self._buffers.put((buffer, free))
