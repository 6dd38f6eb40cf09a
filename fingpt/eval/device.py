"""The device, the precision it allows, and what a reader of the numbers must know about both."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Literal

import torch

from fingpt.errors import DivergedError, SetupError

_LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "tokenizers",
    "evaluate",
    "rouge_score",
    "numpy",
)
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def device() -> torch.device:
    """The first GPU, else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def resolve_precision(wanted: Literal["auto", "bf16", "fp32"]) -> Literal["bf16", "fp32"]:
    """`auto` is bf16 on GPUs that have it, fp32 elsewhere; SetupError when the device lacks what was asked for."""
    cuda = torch.cuda.is_available()
    if wanted == "auto":
        return "bf16" if cuda and torch.cuda.is_bf16_supported() else "fp32"
    if wanted == "bf16" and cuda and not torch.cuda.is_bf16_supported():
        raise SetupError(f"{torch.cuda.get_device_name()} has no bf16; use eval.precision=fp32.")
    return wanted


def dtype(precision: Literal["bf16", "fp32"]) -> torch.dtype:
    """Type of the base weights."""
    return _DTYPES[precision]


def versions() -> dict[str, str]:
    """Versions of Python and of every library that touches the numbers."""
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _LIBRARIES},
    }


def hardware() -> dict[str, str]:
    """Device, processor, threads, and the most GPU memory used so far in bytes."""
    found = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "cpu": _cpu_model(),
        "threads": str(torch.get_num_threads()),
    }
    if torch.cuda.is_available():
        found["cuda"] = str(torch.version.cuda)
        found["peak_memory_bytes"] = str(torch.cuda.max_memory_allocated())
    return found


@contextmanager
def memory_in_words(batch_size: int) -> Iterator[None]:
    """Turn an out-of-memory error of the GPU into one sentence."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise DivergedError(
            f"Out of GPU memory with eval.batch_size={batch_size} on {torch.cuda.get_device_name()}; "
            "submit the run again with a smaller one, such as SET=eval.batch_size="
            f"{max(1, batch_size // 2)}."
        ) from None


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
