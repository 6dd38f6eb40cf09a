"""The process group of a training's ranks, and the small things that they tell one another beside tensors.

On one node the ranks meet in a file of the task's folder. By default torch opens a TCPStore, which listens on every
address of the machine, and whose values the launcher and libraries unpickle; all ranks are processes of one machine, so
a file that only this user can read does as well. On several nodes there has to be a port: rank 0 listens at the one
address of its node that the others are told (a pod's own), under names that carry the run and the attempt. What is
told there is JSON and bytes, never a pickle.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed

from fingpt.errors import Interrupted
from fingpt.train.handoff import STOPPED_BEFORE, LostPeersError, TrainTask

JOIN_SECONDS = 1800.0
"""How long nodes wait for one another before the first step: one of them may still pull its image or its base."""

_TIMEOUT = timedelta(seconds=1800)  # Trainer's `ddp_timeout`
_PAUSE_SECONDS = 0.2
_GONE = "gone"


class Ranks:
    """This rank among the others; without a `store` there are none."""

    def __init__(self, task: TrainTask, rank: int, stopping: Callable[[], bool]) -> None:
        self.rank, self.node = rank, task.node.rank
        self._processes = task.run.config.train.processes
        self._ranks, self._stopping = task.run.config.train.ranks, stopping
        self._store: Any = None
        # The group that exchanges what processors know; None is that of all.
        self._words: Any = None

    @property
    def leads_node(self) -> bool:
        """Whether it is the first rank of its node, which fetches files for all of them."""
        return self.rank % self._processes == 0

    @property
    def elsewhere(self) -> list[int]:
        """Ranks of other nodes."""
        mine = self.rank // self._processes
        return [rank for rank in range(self._ranks) if rank // self._processes != mine]

    def tell(self, name: str, value: bytes) -> None:
        """Let every rank know `value` as `name`."""
        if self._store is not None:
            self._store.set(name, value)

    def hear(self, name: str) -> bytes:
        """What some rank tells, or will tell, as `name`.

        Interrupted after a stop, LostPeersError when a node has left or none has told it within JOIN_SECONDS.
        """
        self._await([name], f"the others' word on {name}", self._stopping)
        return bytes(self._store.get(name))

    def leave(self) -> None:
        """Tell the others that this node will not go on, as far as they can still be told."""
        try:
            self.tell(_GONE, str(self.node).encode())
        except RuntimeError:  # rank 0, whose store it is, went first
            return

    def gather(self, folder: Path, name: Callable[[int], str]) -> None:
        """Bring the file `name(rank)` of every rank elsewhere into rank 0's `folder`; all ranks call it."""
        if self.node:
            self.tell(name(self.rank), (folder / name(self.rank)).read_bytes())
        elif self.rank == 0:
            for rank in self.elsewhere:
                self._await([name(rank)], f"the state of rank {rank}", lambda: False)
                (folder / name(rank)).write_bytes(self._store.get(name(rank)))
                self._store.delete_key(name(rank))

    def _await(self, names: list[str], what: str, stopping: Callable[[], bool]) -> None:
        end = time.monotonic() + JOIN_SECONDS
        while not self._store.check(names):
            if stopping():
                raise Interrupted(STOPPED_BEFORE)
            if self._store.check([_GONE]):
                raise LostPeersError(f"Node {self._store.get(_GONE).decode()} does not go on.")
            if time.monotonic() > end:
                raise LostPeersError(
                    f"Rank {self.rank} of {self._ranks} waited {JOIN_SECONDS:.0f} s in vain for {what}."
                )
            time.sleep(_PAUSE_SECONDS)

    def join(self, task: TrainTask) -> None:
        """Become part of the process group, before Trainer would."""
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(self.rank % self._processes)
        distributed: Any = torch.distributed  # which does not say that it exports stores
        if task.node.count == 1:
            self._store = distributed.FileStore(str(task.rank_store), self._ranks)
        else:
            self._store = distributed.PrefixStore(task.run.id, self._meet(task))
            self.tell(f"here/{self.rank}", b"1")
            everybody = [f"here/{rank}" for rank in range(self._ranks)]
            self._await(everybody, "the other ranks", self._stopping)
        self._store.set_timeout(_TIMEOUT)
        distributed.init_process_group(
            "nccl" if cuda else "gloo",
            store=self._store,
            rank=self.rank,
            world_size=self._ranks,
            timeout=_TIMEOUT,
        )
        if cuda and self._ranks > 1:
            self._words = distributed.new_group(backend="gloo", timeout=_TIMEOUT)

    def agree(self, *mine: bool) -> list[bool]:
        """Whether any rank says so, for each of some questions; all ranks ask. No GPU is waited for."""
        if self._ranks == 1:
            return list(mine)
        flags = torch.tensor(mine, dtype=torch.int32)
        torch.distributed.all_reduce(flags, op=torch.distributed.ReduceOp.MAX, group=self._words)
        return [bool(flag) for flag in flags.tolist()]

    def _meet(self, task: TrainTask) -> Any:
        """Rank 0's store of this training: opened there, reached from elsewhere."""
        node = task.node
        distributed: Any = torch.distributed  # which does not say that it exports stores
        options = {"wait_for_workers": False, "timeout": _TIMEOUT}
        address = self._until(lambda: _address(node.address), f"{node.address} has no address")
        if self.rank:
            self._until(lambda: _answers(address, node.port), f"no rank 0 at {address}:{node.port}")
            return distributed.TCPStore(address, node.port, is_master=False, **options)
        listening = self._until(
            lambda: _listen(address, node.port), f"{address}:{node.port} is not this node's to use"
        )
        return distributed.TCPStore(
            address, node.port, is_master=True, master_listen_fd=listening.detach(), **options
        )

    def _until(self, look: Callable[[], Any], otherwise: str) -> Any:
        """The first answer of `look` that is something."""
        end = time.monotonic() + JOIN_SECONDS
        while (found := look()) is None:
            if self._stopping():
                raise Interrupted(STOPPED_BEFORE)
            if time.monotonic() > end:
                raise LostPeersError(
                    f"Rank {self.rank} cannot meet the others after {JOIN_SECONDS:.0f} s: {otherwise}; MASTER_ADDR and "
                    "MASTER_PORT name node 0."
                )
            time.sleep(_PAUSE_SECONDS)
        return found


def join_ranks(task: TrainTask, rank: int, stopping: Callable[[], bool]) -> Ranks:
    """Join the other ranks; nothing for a process that has none and uses no DeepSpeed."""
    ranks = Ranks(task, rank, stopping)
    train = task.run.config.train
    if train.ranks > 1 or train.zero_stage is not None:
        ranks.join(task)
    return ranks


def lost_peer(error: RuntimeError, task: TrainTask) -> bool:
    """Whether a collective failed because a rank it needs is gone: torch's own classes, and gloo's by its text."""
    if task.run.config.train.ranks == 1:
        return False
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def _address(name: str) -> str | None:
    """The IPv4 address of a host, None while its name does not resolve: that of a pod does once it has been placed."""
    try:
        return str(socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return None


def _answers(address: str, port: int) -> bool | None:
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return None
    return True


def _listen(address: str, port: int) -> socket.socket | None:
    """A socket at that one address; None while another process of an earlier attempt still has it."""
    try:
        return socket.create_server((address, port))
    except OSError:
        return None
