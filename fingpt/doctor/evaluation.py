"""How an evaluation would answer: the engine and precision of this machine, and whether a pod's image has vLLM.

`python -m fingpt.doctor.evaluation` looks for vLLM alone: doctor runs it in a pod, whose image it is about.
"""

from __future__ import annotations

import importlib.util
import sys

from fingpt import log
from fingpt.config import RunConfig, read_environment
from fingpt.doctor.checks import Check, Grade, failed, passed
from fingpt.errors import FingptError
from fingpt.eval.engine import outlook, require_vllm
from fingpt.runs.stage import guarded

NAME = "evaluation on this machine"


def evaluation_check(config: RunConfig) -> Check:
    """What the eval stage would choose here, as its manifest will say it; a setting that it would refuse fails."""
    if importlib.util.find_spec("torch") is None:
        return Check(NAME, Grade.WARN, "torch is not installed here", "make installs it")
    try:
        found = outlook(config.eval)
    except FingptError as fault:
        return failed(NAME, fault)
    return passed(NAME, "; ".join(f"{name}: {how}" for name, how in found.items()))


def asks_for_vllm(config: RunConfig) -> bool:
    """Whether its answers have to be vLLM's; validation rows are not answered."""
    return config.eval.engine == "vllm" and config.eval.split == "test"


def require_evaluation(config: RunConfig) -> None:
    """SetupError for an evaluation that this machine would refuse, before prep and training are done for it.

    Settings that run everywhere are not asked about: torch takes seconds to load.
    """
    if asks_for_vllm(config):
        require_vllm()
    if config.eval.precision == "bf16" and importlib.util.find_spec("torch") is not None:
        outlook(config.eval)


def main() -> int:
    """Look for vLLM in this process's installation; returns the exit code."""
    log.setup()
    return guarded(require_vllm, debug=read_environment().debug)


if __name__ == "__main__":
    sys.exit(main())
