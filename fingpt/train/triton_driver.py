"""Triton's driver module, compiled when the image was built: the image itself has no C compiler.

Triton compiles its kernels by itself, and with a C compiler only the module by which Python loads and starts them. From
version 3.7 on that is one file that belongs to the version: images/train brings it, named by its source's sha256.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from fingpt.record import sha256_bytes

FOLDER = "triton-driver"
"""In the environment's folder; images/train/Dockerfile fills it."""

_NAME = "cuda_utils"
_SOURCE = Path("backends", "nvidia", "driver.c")


def prebuilt() -> Path | None:
    """The compiled module of the Triton that is installed here, None where none was brought."""
    spec = importlib.util.find_spec("triton")
    if spec is None or spec.origin is None:
        return None
    source = Path(spec.origin).parent / _SOURCE
    if not source.is_file():
        return None
    module = Path(sys.prefix) / FOLDER / f"{sha256_bytes(source.read_bytes())}.so"
    return module if module.is_file() else None


def use(module: Path) -> None:
    """Let Triton take `module` where it would call a compiler; RuntimeError from it for any other source."""
    from triton import knobs

    def built(name: str, *_: Any) -> str:
        if name != _NAME:
            raise RuntimeError(f"Triton wants to compile {name}, and there is no C compiler")
        return str(module)

    knobs.build.impl = built
