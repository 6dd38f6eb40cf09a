"""What a machine lacks for these layers, and what a fault of theirs is told as: in a few words."""

from __future__ import annotations

import torch

AMPERE, HOPPER = (8, 0), (9, 0)
_NAMES = {AMPERE: "Ampere", HOPPER: "Hopper"}

FAULTS = (RuntimeError, OSError, ImportError)
"""What a trial of kernels raises where they do not work: of CUDA and cuDNN, of compilers, of libraries."""


def lack(least: tuple[int, int], precision: str) -> str:
    """What speaks against layers that are for bf16 and cards from `least` on; empty where nothing does."""
    if not torch.cuda.is_available():
        return "there is no GPU"
    if torch.cuda.get_device_capability() < least:
        return f"{torch.cuda.get_device_name()} is older than {_NAMES[least]}"
    if precision != "bf16":
        return f"the precision is {precision}, not bf16"
    return ""


def short(fault: BaseException) -> str:
    """What `fault` says on one line, 200 characters of it; its kind where it says nothing."""
    return " ".join(str(fault).split())[:200] or type(fault).__name__
