"""Start the trainer, pass a stop on to it, and turn its outcome into a result or an error.

One process is started plainly; several, and DeepSpeed, which wants ranks even for one, through torchrun: `accelerate
launch` itself uses it on GPUs, and starts no second process on a CPU. Launcher and ranks meet in files of the task's
folder and exchange tensors over the loopback interface, so nothing listens where another machine could reach it. With
several nodes each has its own launcher for its own ranks, and ranks.py lets those of all nodes meet. The
trainer is in a session of its own: a Ctrl-C at the terminal reaches only the supervisor, which asks for a checkpoint by
a file. Imports no torch.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from fingpt import log
from fingpt.config import child_environment
from fingpt.errors import Interrupted, TransientError
from fingpt.runs.manifest import TrainSummary
from fingpt.train.compiled_cache import compiled_folder
from fingpt.train.handoff import (
    LostPeersError,
    Outcome,
    TrainTask,
    read_outcomes,
    require_room,
)
from fingpt.train.limits import Reached

GRACE_SECONDS = 100.0
"""From a stop to the kill: time to finish a step and commit a checkpoint."""

_BUG = 1


class EarlyTrainer:
    """Trainers that import their libraries while their inputs are still fetched; a block that ends them unless taken.

    `task` has this training's folder, run and node already; the trainers wait for the file that says the rest. With
    DeepSpeed other libraries are imported, on several nodes others are told first: there is nothing to start early.
    """

    def __init__(self, task: TrainTask) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if task.run.config.train.zero_stage is None and task.node.count == 1:
            self._process = _start(task, early=True)

    def __enter__(self) -> EarlyTrainer:
        return self

    def take(self) -> subprocess.Popen[bytes] | None:
        """The process, which whoever takes it ends; None where there is none."""
        process, self._process = self._process, None
        return process

    def __exit__(self, *_: object) -> None:
        process = self.take()
        if process is not None:
            _kill_group(process)


def run_trainer(
    task: TrainTask, early: subprocess.Popen[bytes] | None = None
) -> TrainSummary | Reached:
    """Run the trainer to its end and return what it measured, or where a limit paused it; `early` is one that waits.

    Raises the error that the trainer ended with. After SIGTERM or Ctrl-C (both KeyboardInterrupt here) that is
    Interrupted, naming what was saved; without an outcome the KeyboardInterrupt is raised again. TransientError when it
    was killed (usually by the kernel's out-of-memory killer).
    """
    process = early or _start(task, early=False)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        _stop(process, task)
        _raise_interruption(task)
        raise
    finally:
        _kill_group(process)
    return trainer_result(task, code)


def _start(task: TrainTask, *, early: bool) -> subprocess.Popen[bytes]:
    words = command(task)
    if early:
        words.append(str(task.supervisor))
    return subprocess.Popen(words, env=environment(task), start_new_session=True)


def command(task: TrainTask) -> list[str]:
    """The trainer's command line."""
    train = task.run.config.train
    worker = ["-m", "fingpt.train.worker", str(task.path)]
    if train.processes == 1 and train.zero_stage is None:
        return [sys.executable, *worker]
    ranks = f"--nproc-per-node={train.processes}"
    # `--standalone` would open a TCPStore on every address and unpickle what anybody puts there.
    meet = [
        "--nnodes=1",
        "--max-restarts=0",
        "--rdzv-backend=c10d",
        "--rdzv-conf=store_type=file",
        f"--rdzv-endpoint={task.launcher_store}",
        f"--rdzv-id={task.run.id}",
        "--local-addr=127.0.0.1",
    ]
    return [sys.executable, "-m", "torch.distributed.run", ranks, *meet, *worker]


def environment(task: TrainTask) -> dict[str, str]:
    """The trainer's environment: no hub, no telemetry; no socket beyond loopback on one node; one GPU for one process.

    Compiled code is kept where compiled_cache.py says, unless the site names other folders.

    With more GPUs in sight than processes Trainer would split its batches. ConfigError for
    a variable that a library would misread.
    """
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    own = child_environment(
        HF_HUB_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        TOKENIZERS_PARALLELISM="true",  # nothing is forked afterwards that would use one
        PYTHONUNBUFFERED="1",
        TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1",  # torchrun would open one for the ranks, on every address
        NCCL_RAS_ENABLE="0",  # a status service with a port of its own
    )
    if task.node.count == 1 or task.node.address in ("localhost", "127.0.0.1"):
        own |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": f"={loopback}"}
    else:
        own.setdefault("NCCL_SOCKET_IFNAME", "^lo,docker")  # gloo takes the host name's address
        own.setdefault("TORCH_NCCL_DUMP_ON_TIMEOUT", "1")  # says which rank did not come
    # What torchrun would take for its own options: it starts the ranks of this node and has no others to wait for.
    for name in [name for name in own if name.startswith("PET_")]:
        del own[name]
    own.pop("TORCHELASTIC_HEALTH_CHECK_PORT", None)
    if not own.get("OMP_NUM_THREADS", "").strip():  # OpenMP would complain of an empty one
        own.pop("OMP_NUM_THREADS", None)
    compiled = compiled_folder(task.cache or task.folder, task.folder)
    own.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled / "inductor"))
    own.setdefault("TRITON_CACHE_DIR", str(compiled / "triton"))
    own.setdefault("CUDA_CACHE_PATH", str(compiled / "cuda"))  # the driver's, of cuDNN's kernels
    # Packs differ in size: pieces of freed memory grow together instead of being left over.
    own.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    if task.run.config.train.deterministic:
        own["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # one of the two with equal results, and fast
        own["TORCHINDUCTOR_DETERMINISTIC"] = "1"  # else a stopwatch chooses among compiled kernels
    if task.run.config.train.processes > 1:
        own.setdefault(
            "OMP_NUM_THREADS", "1"
        )  # torchrun's own choice, which it would explain in seven lines
    if task.run.config.train.processes == 1:
        own["CUDA_VISIBLE_DEVICES"] = own.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return own


def trainer_result(task: TrainTask, code: int) -> TrainSummary | Reached:
    """What this node's first rank measured or had reached, or the error that explains best why there is none.

    A rank's own error goes before a bug, a bug before a rank that was stopped, and that before one that lost the
    others: when one rank fails, the launcher stops the rest of its node, and collectives fail. LostPeersError when
    nothing but that is known here, NoSpaceError where a full disk explains a bug or an end without an outcome.
    """
    outcomes = read_outcomes(task)
    failed = [outcome for outcome in outcomes if outcome.code]
    if failed:
        worst = min(failed, key=_rank_of_cause)
        if worst.code == _BUG:
            require_room(task)  # a library's error of a full disk has many names
            raise RuntimeError(worst.message)
        if worst.lost:
            raise LostPeersError(worst.message)
        raise worst.error()
    complete = len(outcomes) == len(task.own_ranks)
    result = (outcomes[0].summary or outcomes[0].reached) if complete else None
    if result is None:
        require_room(task)
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        raise TransientError(
            f"The trainer ended {how} without an outcome (killed, most likely out of memory); "
            "the same command resumes from its last checkpoint."
        )
    return result


def _raise_interruption(task: TrainTask) -> None:
    """Raise the trainer's own Interrupted, if it left one: it names what was saved."""
    for outcome in read_outcomes(task):
        if outcome.code == Interrupted.exit_code:
            raise outcome.error() from None


def _rank_of_cause(outcome: Outcome) -> int:
    if outcome.lost:
        return 3
    return {_BUG: 1, Interrupted.exit_code: 2}.get(outcome.code, 0)


def _stop(process: subprocess.Popen[bytes], task: TrainTask) -> None:
    """Ask for a checkpoint and wait for it; a second signal or the end of the grace time ends the wait."""
    log.event("stopping after this step, to save a checkpoint", grace_seconds=GRACE_SECONDS)
    task.stop.touch()
    try:
        process.wait(timeout=GRACE_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        log.warning("no checkpoint in time, the trainer is killed; the last commit is kept")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the trainer's session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
