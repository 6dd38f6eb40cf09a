"""How this machine would train: its precision, attention and compiler, and which settings it refuses."""

from __future__ import annotations

import importlib.util

from fingpt.config import RunConfig
from fingpt.doctor.checks import Check, Grade, failed, passed
from fingpt.errors import FingptError
from fingpt.models import spec

NAME = "training on this machine"


def training_check(config: RunConfig) -> Check:
    """What the train stage would choose here, as its manifest will say it; a setting that it would refuse fails."""
    if importlib.util.find_spec("torch") is None:
        return Check(NAME, Grade.WARN, "torch is not installed here", "make installs it")
    from fingpt.train.machine import Machine

    machine = Machine(config.train, tiny=spec(config.model).tiny)
    try:
        machine.check()
        return passed(NAME, "; ".join(f"{name}: {how}" for name, how in machine.outlook().items()))
    except FingptError as fault:
        return failed(NAME, fault)
