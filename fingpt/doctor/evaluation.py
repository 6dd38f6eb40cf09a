"""How an evaluation would answer: the engine and precision of this machine, and whether a pod's image has vLLM.

`python -m fingpt.doctor.evaluation` looks for vLLM alone: doctor runs it in a pod, whose image it is about.
"""

from __future__ import annotations

import importlib.util
import sys

from fingpt import log
from fingpt.config import RunConfig
from fingpt.doctor.checks import Check, Grade, failed, passed
from fingpt.errors import FingptError
from fingpt.eval.engine import NO_ANSWERS, outlook, require_vllm
from fingpt.runs.stage import guarded

NAME = "evaluation on this machine"
PODS = "evaluation in the cluster"


def evaluation_check(config: RunConfig) -> Check:
    """What the eval stage would choose here, as its manifest will say it; a setting that it would refuse fails."""
    if importlib.util.find_spec("torch") is None:
        return Check(NAME, Grade.WARN, "torch is not installed here", "make installs it")
    try:
        found = outlook(config.eval)
    except FingptError as fault:
        # What the stage would refuse is what doctor is asked for.
        return failed(NAME, fault)
    return passed(NAME, "; ".join(f"{name}: {how}" for name, how in found.items()))


def pods_check(config: RunConfig, gpus: int) -> Check:
    """Which engine a pod of eval that asks for `gpus` would answer with; the trial of its image looks for vLLM."""
    evaluation, answers = config.eval, "transformers (asked for)"
    if evaluation.split == "validation":
        answers = NO_ANSWERS
    elif evaluation.engine == "vllm":
        answers = "vllm (asked for)"
    elif evaluation.engine == "auto" and not gpus:
        answers = "transformers (its pod asks for no GPU)"
    elif evaluation.engine == "auto" and evaluation.precision == "fp32":
        answers = "transformers (vLLM is for bf16, and eval.precision is fp32)"
    elif evaluation.engine == "auto":
        answers = "vllm where its image has it, else transformers"
    message = f"answers: {answers}"
    if not asks_for_vllm(config) or gpus:
        return passed(PODS, message)
    return Check(
        PODS,
        Grade.WARN,
        f"{message}, but its pod asks for no GPU, which the image that `make images GPU=1` builds needs",
        "set eval.engine=transformers, or have gpu.tiny set in the chart's values",
    )


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
    return guarded(require_vllm)


if __name__ == "__main__":
    sys.exit(main())
