"""A GPU that is given its next work before the last is done: what goes there and comes back without waiting.

A copy out of ordinary memory waits until the card has done all that it was told, and so does reading a number from it;
the card then rests until its next work is made up. Copies out of pinned memory, and an event behind each result, let
the process stay ahead.
"""

from __future__ import annotations

import torch


def there(tensor: torch.Tensor, place: torch.device) -> torch.Tensor:
    """`tensor` of the CPU on `place`, for what is started there from now on."""
    if place.type != "cuda":
        return tensor.to(place)
    return tensor.pin_memory().to(place, non_blocking=True)


def numbers(values: list[int], place: torch.device, kind: torch.dtype) -> torch.Tensor:
    """`values` as a vector on `place`, as `there`."""
    return there(torch.tensor(values, dtype=kind), place)


class Result:
    """Numbers on their way back: those of `found`, whatever the device is told after it."""

    def __init__(self, found: torch.Tensor) -> None:
        self._copied: torch.cuda.Event | None = None
        self._values = found
        if found.is_cuda:
            self._values = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
            self._values.copy_(found, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    def wait(self) -> list[float] | list[list[float]]:
        """Them, row by row, once they are here."""
        if self._copied is not None:
            self._copied.synchronize()
        values: list[float] | list[list[float]] = self._values.tolist()
        return values
