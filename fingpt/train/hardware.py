"""What the numbers were measured on: library versions, processor, GPU, threads; and the precision that it allows."""

from __future__ import annotations

import platform
import resource
from importlib import metadata
from pathlib import Path

import torch

from fingpt.config import Precision
from fingpt.errors import SetupError
from fingpt.train.engine import ResolvedPrecision

_LIBRARIES = ("torch", "transformers", "peft", "accelerate", "safetensors", "numpy")


def versions(*, deepspeed: bool) -> dict[str, str]:
    """Versions of Python and of every library that touches the numbers."""
    names = (*_LIBRARIES, "deepspeed") if deepspeed else _LIBRARIES
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def hardware(processes: int) -> dict[str, str]:
    """The machine: device, its count, CPU model, threads per process, CUDA version."""
    found = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "processes": str(processes),
        "cpu": _cpu_model(),
        "threads": str(torch.get_num_threads()),
    }
    if torch.cuda.is_available():
        found["cuda"] = str(torch.version.cuda)
        found["capability"] = ".".join(str(part) for part in torch.cuda.get_device_capability())
    return found


def resolve_precision(wanted: Precision) -> ResolvedPrecision:
    """`auto` is bf16 on GPUs that have it and fp32 elsewhere; SetupError when the device lacks what was asked for."""
    cuda = torch.cuda.is_available()
    if wanted == "auto":
        return "bf16" if cuda and torch.cuda.is_bf16_supported() else "fp32"
    if wanted == "fp16" and not cuda:
        raise SetupError("train.precision=fp16 needs a GPU; use train.precision=auto here.")
    if wanted == "bf16" and cuda and not torch.cuda.is_bf16_supported():
        raise SetupError(f"{torch.cuda.get_device_name()} has no bf16; use train.precision=fp32.")
    return wanted


def peak_memory_bytes() -> int:
    """Most memory held so far: allocated on this rank's GPU, or resident on the CPU."""
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
