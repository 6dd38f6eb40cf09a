"""Training state without pickles: optimizer tensors as safetensors; schedule, counters and random states as JSON.

What a checkpoint cannot say in these two formats is refused when it is written, never when it is needed.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fingpt.reading import Loading, parse_object
from fingpt.storage.files import from_os_error

_ANEW = "it was changed: remove its commit, the training goes on from the one before"

OPTIMIZER = "optimizer.safetensors"
ENGINE = "engine.json"

_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")


def save_tensors(
    tensors: Mapping[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write a file of safetensors; NoSpaceError where the disk is full, and what else a system's error stands for."""
    try:
        save_file(dict(tensors), path, metadata=metadata)
    except SafetensorError as error:
        # No OSError: the system's number is in its text alone.
        number = _SYSTEM_ERROR.search(str(error))
        if number is None:
            raise
        known = OSError(int(number[1]), os.strerror(int(number[1])))
        needed = sum(tensor.nbytes for tensor in tensors.values())
        raise from_os_error(known, path, needed) from error


def save_engine(folder: Path, optimizer: Any, scheduler: Any) -> None:
    """Write an optimizer's tensors and groups and a scheduler's numbers."""
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    for index, entries in state["state"].items():
        for name, tensor in entries.items():
            tensors[f"{index}.{name}"] = tensor.detach().cpu().contiguous()
    save_tensors(tensors, folder / OPTIMIZER)
    plain = {"groups": state["param_groups"], "scheduler": scheduler.state_dict()}
    # Floats survive: JSON writes the shortest text that reads back as the same double.
    (folder / ENGINE).write_text(json.dumps(plain, sort_keys=True), encoding="utf-8")


def load_engine(folder: Path, optimizer: Any, scheduler: Any) -> None:
    """Inverse of `save_engine`."""
    with Loading("The checkpoint's optimizer state", _ANEW):
        plain = parse_object((folder / ENGINE).read_bytes())
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in load_file(folder / OPTIMIZER).items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": plain["groups"]})
        scheduler.load_state_dict(plain["scheduler"])


def random_file(rank: int) -> str:
    """Name of the file with rank `rank`'s random states."""
    return f"random-{rank}.json"


def save_random(folder: Path, rank: int) -> None:
    """Write the states of Python's, numpy's and torch's generators (this rank's GPU included)."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    states: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "numpy": [kind, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": _hex(torch.random.get_rng_state()),
    }
    if torch.cuda.is_available():
        states["cuda"] = _hex(torch.cuda.random.get_rng_state())
    (folder / random_file(rank)).write_text(json.dumps(states, sort_keys=True), encoding="utf-8")


def load_random(folder: Path, rank: int) -> None:
    """Inverse of `save_random`."""
    with Loading("The checkpoint's random state", _ANEW):
        states = parse_object((folder / random_file(rank)).read_bytes())
        version, words, gauss = states["python"]
        random.setstate((version, tuple(words), gauss))
        kind, keys, position, has_gauss, cached = states["numpy"]
        np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
        torch.random.set_rng_state(_bytes(states["torch"]))
        if torch.cuda.is_available() and "cuda" in states:
            torch.cuda.random.set_rng_state(_bytes(states["cuda"]))


def _hex(state: torch.Tensor) -> str:
    return state.cpu().numpy().tobytes().hex()


def _bytes(text: str) -> torch.Tensor:
    return torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8)
