"""The figures of an optimizer step: asked for when its work has been handed to the device, read once that is done.

Reading them at once would leave a GPU without work until the next step's has reached it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fingpt.train.batching import Row

Losses = list[tuple[tuple[str, ...], torch.Tensor]]
"""The loss of each pack or micro-batch, and the examples in it."""


@dataclass(frozen=True)
class StepFigures:
    """What a step made: its number (from 1), all ranks' rows, loss in nats per answer token, the gradient's norm before
    clipping (None where there is none), the rate it used, and how long it took since the step before.
    """

    step: int
    rows: Sequence[Row]
    loss: float
    grad_norm: float | None
    lr: float
    seconds: float


class Mark:
    """A moment in the work of a device, which a GPU reaches later than the processor does."""

    def __init__(self, device: torch.device) -> None:
        self._event: Any = None
        self._time = time.monotonic()
        if device.type == "cuda":
            self._event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            self._event.record()

    def wait(self) -> None:
        """Until the device has come to it."""
        if self._event is not None:
            self._event.synchronize()

    def since(self, earlier: Mark) -> float:
        """Seconds of the device between two moments that it has passed."""
        if self._event is None or earlier._event is None:
            return self._time - earlier._time
        return float(earlier._event.elapsed_time(self._event)) / 1000


class Asked:
    """Loss and norm of step `step` on their way from the device, with what is known of it already."""

    def __init__(
        self,
        step: int,
        loss: torch.Tensor,
        grad_norm: torch.Tensor | float | None,
        lr: float,
        losses: Losses,
        began: Mark,
    ) -> None:
        self.step, self.losses = step, losses
        self._lr, self._began = lr, began
        self._norm = None if isinstance(grad_norm, torch.Tensor) else grad_norm
        numbers = [loss, grad_norm] if isinstance(grad_norm, torch.Tensor) else [loss]
        self._numbers = torch.stack([each.float() for each in numbers]).to("cpu", non_blocking=True)
        self.ended = Mark(loss.device)

    def read(self, rows: Sequence[Row]) -> StepFigures:
        """Wait for them; `rows` are the step's."""
        self.ended.wait()
        loss, *norm = self._numbers.tolist()
        seconds = self.ended.since(self._began)
        return StepFigures(
            self.step, rows, loss, norm[0] if norm else self._norm, self._lr, seconds
        )
