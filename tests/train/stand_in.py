"""A trainer in the test's own process, in place of those that the stage would start."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from fingpt.train import stage
from fingpt.train.handoff import TrainTask


def stand_in(monkeypatch: pytest.MonkeyPatch, trainer: Callable[[TrainTask], object]) -> None:
    """Let the stage call `trainer` with its task, and start nothing."""
    none = SimpleNamespace(take=lambda: None)
    monkeypatch.setattr(stage, "EarlyTrainer", lambda _: nullcontext(none))
    monkeypatch.setattr(stage, "run_trainer", lambda task, _: trainer(task))
