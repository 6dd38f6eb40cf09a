"""The trainer process: `python -m fingpt.train.worker task.json`, once per rank.

Handles signals, watches its supervisor and writes its outcome; the training itself is session.py's. It uploads nothing
but checkpoints and never reports success before the last step is committed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from fingpt import log
from fingpt.errors import DivergedError, FingptError, TransientError
from fingpt.storage.files import translate_os_errors
from fingpt.train.ahead import Ahead, leave_out, local_rank
from fingpt.train.handoff import LostPeersError, Outcome, TrainTask, write_outcome
from fingpt.train.limits import Reached

_WATCH_SECONDS = 0.5
_Hook = Callable[[type[BaseException], BaseException, TracebackType | None], None]
_BUG = 1


def main(path: str, supervisor: str = "") -> int:
    """Train the task at `path`; the returned exit code is also in the outcome, which alone counts.

    With a `supervisor` the task may be written later: libraries are imported meanwhile.
    """
    terminated = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: terminated.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ahead = Ahead(Path(path))
    if supervisor:
        threading.Thread(target=_watch, args=(int(supervisor),), daemon=True).start()
        ahead.import_and_wait()
    task = TrainTask.model_validate_json(Path(path).read_bytes())
    local = local_rank()
    rank = task.own_ranks[local]
    if task.node.count > 1:
        _tell_libraries(task, rank, local)
    which = {"rank": str(rank)} if rank else {}
    if task.node.count > 1:
        which = {"node": str(task.node.rank), "rank": str(rank)}
    log.setup(stage="train", run=task.run.id, **which)
    if supervisor:
        log.event("libraries imported", seconds=ahead.seconds)
    if not supervisor:
        threading.Thread(target=_watch, args=(task.supervisor,), daemon=True).start()
    sys.excepthook = _record_bug(task, rank)
    outcome = _run(task, rank, terminated, ahead)
    write_outcome(task, rank, outcome)
    return outcome.code


def _run(task: TrainTask, rank: int, terminated: threading.Event, ahead: Ahead) -> Outcome:
    if task.run.config.train.zero_stage is None:
        leave_out()
    import torch

    if task.run.config.train.zero_stage is not None:
        _load_deepspeed(cuda=torch.cuda.is_available())
    weights = ahead.weights(task)
    from fingpt.train.ranks import lost_peer
    from fingpt.train.session import Session

    session = Session(task, rank, lambda: terminated.is_set() or task.stop.exists(), weights)
    try:
        with translate_os_errors(task.folder):
            result = session.run()
            if isinstance(result, Reached):
                return Outcome(code=0, step=session.step, reached=result)
            return Outcome(code=0, step=session.step, summary=result)
    except torch.OutOfMemoryError as error:
        fault: FingptError = DivergedError(
            f"Out of GPU memory ({str(error).splitlines()[0][:200]}); lower "
            f"{'train.pack_tokens' if task.run.config.train.zero_stage is None else 'train.batch_size'} or "
            "train.max_tokens, or set train.gradient_checkpointing=true."
        )
    except FingptError as error:
        fault = error
    except RuntimeError as error:
        if not lost_peer(error, task):
            raise
        fault = LostPeersError(
            f"Rank {rank} lost the others after step {session.step} ({str(error).splitlines()[0][:200]}); the same "
            "command resumes from the last checkpoint."
        )
    session.leave()
    lost = isinstance(fault, LostPeersError)
    return Outcome(code=fault.exit_code, message=str(fault), step=session.step, lost=lost)


def _tell_libraries(task: TrainTask, rank: int, local: int) -> None:
    """Set what torchrun would set if it knew all nodes; accelerate and DeepSpeed read it."""
    train = task.run.config.train
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(local),
        "WORLD_SIZE": str(train.ranks),
        "LOCAL_WORLD_SIZE": str(train.processes),
        "GROUP_RANK": str(task.node.rank),
        "MASTER_ADDR": task.node.address,
        "MASTER_PORT": str(task.node.port),
    }


def _load_deepspeed(*, cuda: bool) -> None:
    """Import DeepSpeed without what it and the linker that it tries its operators with say meanwhile.

    On a CPU it communicates by gloo; it would else compile a shared-memory operator for minutes, to no gain.
    """
    if not cuda:
        os.environ["DS_ACCELERATOR"] = "cpu"
    with _muted():
        import deepspeed.ops
    if not cuda:
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


@contextmanager
def _muted() -> Iterator[None]:
    """Nothing of this process and its children reaches stdout or stderr; an exception still does, afterwards."""
    kept = [(number, os.dup(number)) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number, _ in kept:
            os.dup2(nowhere, number)
        yield
    finally:
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


def _record_bug(task: TrainTask, rank: int) -> _Hook:
    def hook(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        sys.__excepthook__(kind, value, trace)
        text = f"the trainer (rank {rank}) met an unexpected {kind.__name__}: {value}"
        write_outcome(task, rank, Outcome(code=_BUG, message=text[:2000]))

    return hook


def _watch(supervisor: int) -> None:
    """End this process soon after its supervisor has gone: nobody would read its outcome."""
    while _alive(supervisor):
        time.sleep(_WATCH_SECONDS)
    os._exit(TransientError.exit_code)


def _alive(process: int) -> bool:
    """Whether the process exists and is no zombie (killed, but not yet collected by its parent)."""
    try:
        os.kill(process, 0)
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except ProcessLookupError:
        return False
    except OSError:  # no /proc on this system
        return True
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
