"""The process group of a training's ranks: they meet in a file of the task's folder, not at a port.

By default torch opens a TCPStore, which listens on every address of the machine, and whose values the launcher and
libraries unpickle. All ranks are processes of one machine, so a file that only this user can read does as well.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import torch
import torch.distributed

from fingpt.train.handoff import TrainTask

_TIMEOUT = timedelta(seconds=1800)  # Trainer's `ddp_timeout`


def join_ranks(task: TrainTask, rank: int) -> None:
    """Join the other ranks, before Trainer would; nothing for a process that has none and uses no DeepSpeed."""
    train = task.run.config.train
    if train.processes == 1 and train.zero_stage is None:
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(rank)
    distributed: Any = torch.distributed  # which does not say that it exports FileStore
    store = distributed.FileStore(str(task.rank_store), train.processes)
    distributed.init_process_group(
        "nccl" if cuda else "gloo",
        store=store,
        rank=rank,
        world_size=train.processes,
        timeout=_TIMEOUT,
    )
