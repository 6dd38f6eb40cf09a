"""Base weights on their way to the GPU while libraries are still imported, which takes the interpreter about as long.

Reading and copying leave the interpreter free, so a start takes the longer of both instead of their sum, and no second
copy of the weights is made in main memory.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors import safe_open

from fingpt import log
from fingpt.weights.contents import INDEX, WEIGHTS

_THREADS = 4

Tensors = dict[str, torch.Tensor]


class ReadAhead:
    """Tensors of the base in `folder`, on their way to `device`; its index has been checked when it was fetched."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.device = device
        self._started = self._ended = time.monotonic()
        pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="weights")
        self._parts: list[Future[Tensors]] = [
            pool.submit(self._read, folder / name) for name in _files(folder)
        ]
        pool.shutdown(wait=False)

    def tensors(self) -> Tensors:
        """All of them, once; raises what reading them raised. Says how long that took, and was waited for."""
        wanted = time.monotonic()
        parts, self._parts = self._parts, []
        found = {name: value for part in parts for name, value in part.result().items()}
        if parts:
            log.event(
                "weights read",
                seconds=round(self._ended - self._started, 2),
                waited=round(time.monotonic() - wanted, 2),
            )
        return found

    def _read(self, path: Path) -> Tensors:
        with safe_open(path, framework="pt", device=str(self.device)) as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        self._ended = time.monotonic()
        return found


def _files(folder: Path) -> list[str]:
    index = folder / INDEX
    if not index.is_file():
        return [WEIGHTS]
    table = json.loads(index.read_bytes())["weight_map"]
    return sorted(set(table.values()))
