"""The train stage in processes that need not import torch: a server that has imported it once forks them.

What runs is the stage itself: supervisor and trainer in processes of their own, with signals, sessions and exit codes.
Only the interpreter's start is left out, so that a test can afford many; `World.start` has it.
"""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import tqdm

from fingpt.runs.run import Stage
from fingpt.runs.stage import main
from fingpt.train import launch, worker
from jobs.train import load_body

# As the worker does before it imports anything: accelerate would import DeepSpeed.
sys.modules.setdefault("deepspeed", None)
for _name in (
    "fingpt.train.stage",
    "fingpt.train.session",
    "peft.utils.transformers_weight_conversion",
    "transformers.models.llama.modeling_llama",
):
    importlib.import_module(_name)
# The lock of its own is a semaphore, which a killed process leaves to whoever started the tests.
tqdm.tqdm.set_lock(threading.RLock())

_WARM = multiprocessing.get_context("forkserver")
_WARM.set_forkserver_preload([__name__])


class Start:
    """A stage that was started; its log is a file."""

    def __init__(self, uri: str, log: Path) -> None:
        self._log, self._trainer = log, log.with_suffix(".trainer")
        log.touch()
        arguments = (uri, str(log), str(self._trainer), dict(os.environ))
        self._process = _WARM.Process(target=_supervise, args=arguments)
        self._process.start()

    @property
    def text(self) -> str:
        """The log so far."""
        return self._log.read_text("utf-8")

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def terminate(self) -> None:
        """SIGTERM to the supervisor, as a kubelet sends it."""
        self._process.terminate()

    def kill_supervisor(self) -> None:
        """SIGKILL to the supervisor; its trainer ends by itself."""
        self._process.kill()

    def kill_trainer(self) -> None:
        """SIGKILL to the trainer, if there is one."""
        with suppress(ProcessLookupError, FileNotFoundError, ValueError):
            os.kill(int(self._trainer.read_text()), signal.SIGKILL)

    def kill_both(self) -> None:
        """What a power cut does."""
        self.kill_supervisor()
        self.kill_trainer()

    def wait(self, timeout: float = 120) -> int:
        """The exit code as a shell gives it: 128 and the number of the signal that ended the process."""
        self._process.join(timeout)
        code = self._process.exitcode
        assert code is not None, f"still running after {timeout} s:\n{self.text}"
        return code if code >= 0 else 128 - code


def _supervise(uri: str, log: str, note: str, environment: dict[str, str]) -> None:
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    _take(environment)
    gc.freeze()  # what was imported is no garbage; Trainer looks for some at every start
    trainer = _Trainer(note)
    launch.subprocess = SimpleNamespace(
        Popen=trainer.start, TimeoutExpired=subprocess.TimeoutExpired
    )
    sys.exit(main(Stage.TRAIN, load_body, ["--run", uri]))


class _Trainer:
    """What `run_trainer` needs of a Popen; forked before the supervisor has threads, it waits until it is started."""

    def __init__(self, note: str) -> None:
        self._note = note
        order, self._order = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            os.close(self._order)
            _train(order)
        os.close(order)

    def start(self, command: list[str], env: dict[str, str], start_new_session: bool) -> _Trainer:
        assert command[:3] == [sys.executable, "-m", "fingpt.train.worker"]
        _, _, _, *words = command
        assert start_new_session
        Path(self._note).write_text(str(self.pid))
        with os.fdopen(self._order, "w") as order:
            json.dump([words, env], order)
        return self

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                pid, status = os.waitpid(self.pid, 0 if end is None else os.WNOHANG)
            except (
                ChildProcessError
            ):  # a signal came when an earlier wait had just got its end; Popen says 0 then
                return 0
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("trainer", timeout)
            time.sleep(0.002)


def _train(order: int) -> None:
    """The trainer, once it is ordered; nothing when its supervisor ends before."""
    with os.fdopen(order) as orders:
        text = orders.read()
    code = 1
    try:
        if text:
            words, environment = json.loads(text)
            _take(environment)
            code = worker.main(*words)
    except Exception:  # noqa: BLE001 - what an interpreter does with an exception that nobody caught
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _take(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
