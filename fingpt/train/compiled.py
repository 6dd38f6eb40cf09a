"""Decoder layers compiled by torch.compile, where the machine can; else they stay as they are, and why is said.

One layer is compiled, for packs of any length, and its code serves all of them. The compiler, Triton, builds a launcher
in C, so it needs a C compiler, or what triton_driver.py has, and a folder to write to (launch.py names one).
"""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Callable
from typing import Any

import torch

from fingpt import log
from fingpt.train import triton_driver

_AMPERE = (8, 0)
_COMPILERS = ("cc", "gcc", "clang")  # that Triton looks for


def obstacle() -> str:
    """Why layers are not compiled on this machine, in words; empty where nothing speaks against it."""
    if not torch.cuda.is_available():
        return "not compiled: no GPU"
    if torch.cuda.get_device_capability() < _AMPERE:
        return f"not compiled: {torch.cuda.get_device_name()} is older than Ampere"
    if importlib.util.find_spec("triton") is None:
        return "not compiled: Triton is not installed"
    if not compiler_found() and triton_driver.prebuilt() is None:
        return "not compiled: Triton needs a C compiler, and there is none"
    return ""


def compiler_found() -> bool:
    """Whether there is a C compiler that Triton takes."""
    return any(shutil.which(name) for name in _COMPILERS)


def ready_triton() -> None:
    """Give Triton what the image brings in place of a C compiler, where there is none."""
    module = triton_driver.prebuilt()
    if module is not None and not compiler_found():
        triton_driver.use(module)


def _ask_for_gradient(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
    """Else the first layer's input has no gradient where all others' have one, and layers are compiled twice."""
    return output.requires_grad_() if torch.is_grad_enabled() else output


def compile_layers(model: Any, attempt: Callable[[], object]) -> str:
    """Compile a PEFT model's decoder layers and try them with `attempt`, a training pass; what came of it, in words.

    A compiler that fails is told of once, and every layer is computed as before.
    """
    model.get_input_embeddings().register_forward_hook(_ask_for_gradient)
    for layer in model.get_base_model().model.layers:
        layer.compile(dynamic=True)
    started = time.monotonic()
    try:
        attempt()
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, OSError) as fault:
        torch.compiler.set_stance("force_eager")
        reason = " ".join(str(fault).split())[:200] or type(fault).__name__
        log.warning("layers could not be compiled and stay slower", reason=reason)
        return f"not compiled: {reason}"
    log.event("layers compiled", seconds=round(time.monotonic() - started, 1))
    return "compiled by torch.compile"
