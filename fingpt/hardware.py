"""The device, the precision that it allows, and what the numbers were measured on: versions, processor, memory."""

from __future__ import annotations

import logging
import platform
import resource
import warnings
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import torch

from fingpt.config import Precision, ResolvedPrecision
from fingpt.errors import SetupError

_DTYPES: dict[ResolvedPrecision, torch.dtype] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
}


def device() -> torch.device:
    """The first GPU, else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def resolve_precision(wanted: Precision, setting: str) -> ResolvedPrecision:
    """`auto` is bf16 on GPUs that have it and fp32 elsewhere.

    SetupError, naming the `setting` that `wanted` comes from, when the device lacks it.
    """
    cuda = torch.cuda.is_available()
    if wanted == "auto":
        return "bf16" if cuda and torch.cuda.is_bf16_supported() else "fp32"
    if wanted == "fp16" and not cuda:
        raise SetupError(f"{setting}=fp16 needs a GPU; use {setting}=auto here.")
    if wanted == "bf16" and cuda and not torch.cuda.is_bf16_supported():
        raise SetupError(f"{torch.cuda.get_device_name()} has no bf16; use {setting}=fp32.")
    return wanted


def dtype(precision: ResolvedPrecision) -> torch.dtype:
    """Type of the base weights."""
    return _DTYPES[precision]


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of `libraries`."""
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in libraries},
    }


def hardware() -> dict[str, str]:
    """Device, processor, threads of this process, and CUDA's version where there is a GPU."""
    found = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "cpu": _cpu_model(),
        "threads": str(torch.get_num_threads()),
    }
    if torch.cuda.is_available():
        found["cuda"] = str(torch.version.cuda)
    return found


def peak_memory_bytes() -> int:
    """Most memory held so far: allocated on this process's GPU, or resident on the CPU."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if platform.system() == "Darwin" else used * 1024


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def quiet_libraries() -> None:
    """Keep progress bars, advice and warnings of the model libraries from between our own lines; errors stay."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for name in ("accelerate", "peft", "DeepSpeed", "torch.distributed"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in ("accelerate", "peft", "deepspeed", "transformers", "torch.distributed"):
        warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
    # PEFT asks transformers for a property by its old name; nothing of ours can ask otherwise.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
