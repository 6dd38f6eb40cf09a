"""What a trainer does before it has a task: imports, and then the base's weights on their way to the GPU."""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fingpt.config import child_environment
from fingpt.errors import Interrupted
from fingpt.train.handoff import STOPPED_BEFORE, Outcome, TrainTask, write_outcome

if TYPE_CHECKING:
    from fingpt.train.read_ahead import ReadAhead

_POLL_SECONDS = 0.02
_FOR_WEIGHTS = ("torch", "fingpt.train.read_ahead")
_DRIVER = "libcuda.so.1"
_LEFT_OUT = ("deepspeed", "datasets", "pandas", "scipy", "sklearn")
_NEEDED = ("fingpt.train.session", "peft", "transformers.models.llama.modeling_llama")
_ON_GPUS = ("triton", "cudnn")  # not what torch.compile needs, which fast layers do without


class Ahead:
    """The libraries and weights of the trainer whose task will be at `path`; `seconds`: what imports took."""

    def __init__(self, path: Path) -> None:
        self._path, self._started = path, False
        self._began, self.seconds = time.monotonic(), 0.0
        self._ready, self._imported = threading.Event(), threading.Event()
        self._weights: ReadAhead | None = None

    def import_and_wait(self) -> None:
        """Import what a training without DeepSpeed needs, until the task is written; weights start as soon as it is.

        A stop meanwhile ends the process at once: there is nothing to save, and an import cannot be interrupted.
        """
        leave_out()
        threading.Thread(target=_wake_driver, daemon=True).start()
        reader = threading.Thread(target=self._await_task, daemon=True)
        reader.start()
        # What a failing import says is met again, and told, when the task is there.
        with suppress(Exception), _without_collector():
            for name in _FOR_WEIGHTS:
                importlib.import_module(name)
            self._ready.set()
            for name in (*_NEEDED, *(_ON_GPUS if _gpu() else ())):
                importlib.import_module(name)
        self._ready.set()
        threading.Thread(target=_name_triton, daemon=True).start()
        self.seconds = round(time.monotonic() - self._began, 2)
        self._imported.set()
        reader.join()

    def _await_task(self) -> None:
        while not self._path.is_file():
            time.sleep(_POLL_SECONDS)
        task = TrainTask.model_validate_json(self._path.read_bytes())
        self._ready.wait()  # two threads that import can wait for each other
        with suppress(Exception):  # likewise
            self.weights(task)
        while not self._imported.wait(_POLL_SECONDS):
            if task.stop.exists():
                told = Outcome(code=Interrupted.exit_code, message=STOPPED_BEFORE)
                write_outcome(task, task.own_ranks[local_rank()], told)
                os._exit(told.code)

    def weights(self, task: TrainTask) -> ReadAhead | None:
        """Those of the task's base, from now on if not already; None where no GPU takes them."""
        import torch

        if self._started or not _gpu():
            return self._weights
        if task.run.config.train.zero_stage is None:
            from fingpt.train.read_ahead import ReadAhead

            self._weights = ReadAhead(task.base, torch.device("cuda", local_rank()))
        self._started = True
        return self._weights


def leave_out() -> None:
    """Keep libraries that nothing here needs from being imported wherever they are installed.

    transformers and accelerate look for them; DeepSpeed takes seconds and runs a linker, the others take one together.
    """
    for name in _LEFT_OUT:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def _wake_driver() -> None:
    """Start the NVIDIA driver, if there is one, for which torch would wait later while it holds the interpreter."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(_DRIVER).cuInit(0)


def _name_triton() -> None:
    """Let Triton hash its 400 MB of compiler, by which it finds its compiled kernels, before it is asked for one."""
    if "triton" in sys.modules:
        with suppress(
            Exception
        ):  # it is Triton's own affair: where that changes, a start takes longer
            importlib.import_module("triton.runtime.cache").triton_key()


@contextmanager
def _without_collector() -> Iterator[None]:
    """No garbage collector: imports make a million objects that stay, and it would look through them again and again.

    That takes a quarter of the imports' time. Afterwards it leaves them alone.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def local_rank() -> int:
    """Set by torchrun, which starts the ranks of one node and knows of no other."""
    return int(child_environment().get("LOCAL_RANK", "0"))
