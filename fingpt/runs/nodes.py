"""Which of several nodes a process is, and the records by which the nodes of one training agree on how it ended.

Node 0 claims the attempt, commits and finishes the stage, as a training on one node does; the others only work. Each
node signs in and leaves how it ended, create-only, below the attempt, so that no node's cause hides behind another's
consequence. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from fingpt import log
from fingpt.config import pod_and_node
from fingpt.errors import (
    ConfigError,
    FencedError,
    FingptError,
    Interrupted,
    SetupError,
    StorageError,
    TransientError,
)
from fingpt.record import Frozen, canonical_json
from fingpt.runs.attempt import Claim, read_note
from fingpt.runs.run import Run, Stage, node_ending_key, node_key
from fingpt.storage import ObjectStore

PASSING = frozenset(
    kind.exit_code for kind in (FingptError, StorageError, TransientError, FencedError, Interrupted)
)
"""Exit codes after which the same command may end well; any other one is a verdict."""

_DEFAULT_PORT = 29500  # torchrun's


class Node(Frozen):
    """Node `rank` of `count`; `address` and `port` are where the ranks of all nodes meet, at node 0."""

    rank: int = 0
    count: int = 1
    address: str = ""
    port: int = 0


class NodeEnding(BaseModel):
    """How a node's part of an attempt ended; `lost`: because another node was gone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: int | None = None
    message: str = ""
    lost: bool = False
    ended_at: str = ""


def node_of(run: Run, stage: Stage, environment: Mapping[str, str]) -> Node:
    """The node that this process is, by NNODES, NODE_RANK, NPROC_PER_NODE, MASTER_ADDR and MASTER_PORT.

    The same names with PET_ in front, as torchrun reads them, count where the plain one is absent. A run on one node
    needs none of them. ConfigError when a run on several nodes is told nothing, SetupError when it is told something
    else than its configuration says.
    """
    count = run.config.train.nodes
    if count == 1 or stage is not Stage.TRAIN:
        return Node()
    told = {
        name: environment.get(name) or environment.get(f"PET_{name}") or ""
        for name in ("NNODES", "NODE_RANK", "NPROC_PER_NODE", "MASTER_ADDR", "MASTER_PORT")
    }
    if not told["NODE_RANK"] or not told["MASTER_ADDR"]:
        raise ConfigError(
            f"train.nodes={count} trains on {count} machines, and this process is not told which of them it is; submit "
            "the run to a cluster with JobSet, or start this command once per machine with NNODES, NODE_RANK, "
            "MASTER_ADDR and MASTER_PORT. On this machine alone: SET=train.nodes=1."
        )
    nodes = told["NNODES"].split(":")[0] or str(count)
    processes = told["NPROC_PER_NODE"]
    if nodes != str(count):
        raise SetupError(f"NNODES={nodes}, but the run has train.nodes={count}; set both alike.")
    if processes.isdecimal() and int(processes) != run.config.train.processes:
        raise SetupError(
            f"NPROC_PER_NODE={processes}, but the run has train.processes={run.config.train.processes}; set both alike."
        )
    return Node(
        rank=_number("NODE_RANK", told["NODE_RANK"], count - 1),
        count=count,
        address=told["MASTER_ADDR"],
        port=_number("MASTER_PORT", told["MASTER_PORT"] or str(_DEFAULT_PORT), 65535),
    )


def _number(name: str, text: str, most: int) -> int:
    if not text.isdecimal() or int(text) > most:
        raise SetupError(f"{name} is '{text[:40]}'; expected a number from 0 to {most}.")
    return int(text)


def sign_in(store: ObjectStore, run_id: str, attempt: int, node: int) -> None:
    """Record where node `node` works in attempt `attempt`."""
    pod, machine = pod_and_node()
    note = {"pod": pod, "node": machine, "started_at": _now()}
    store.create(node_key(run_id, attempt, node), canonical_json(note))


def sign_out(
    store: ObjectStore, run_id: str, attempt: int, node: int, fault: FingptError, *, lost: bool
) -> None:
    """Record how a node's part ended; a store that refuses is only logged, the error that ends it counts more."""
    ending = NodeEnding(code=fault.exit_code, message=str(fault)[:4000], lost=lost, ended_at=_now())
    try:
        store.create(
            node_ending_key(run_id, attempt, node), canonical_json(ending.model_dump(mode="json"))
        )
    except FingptError as refused:
        log.warning("how this node ended could not be stored", reason=str(refused))


def ending_of(store: ObjectStore, run_id: str, attempt: int, node: int) -> NodeEnding:
    """How a node's part ended; an ending without a code where it has left none."""
    return read_note(store, NodeEnding, node_ending_key(run_id, attempt, node))


def whereabouts(store: ObjectStore, run_id: str, attempt: int, node: int) -> str:
    """`node 1 (pod p on machine m)`, as far as it has signed in."""
    claim = read_note(store, Claim, node_key(run_id, attempt, node))
    places = [f"pod {claim.pod}"] if claim.pod else []
    places += [f"on {claim.node}"] if claim.node else []
    return f"node {node}" + (f" ({' '.join(places)})" if places else "")


def cause(endings: Mapping[int, NodeEnding]) -> int | None:
    """The node that ended first in the order of causes: a verdict, then any fault of its own, then a stop."""

    def order(node: int) -> tuple[int, int]:
        code = endings[node].code
        return (0 if code not in PASSING else 2 if code == Interrupted.exit_code else 1, node)

    own = [node for node, each in endings.items() if each.code and not each.lost]
    return min(own, key=order, default=None)


def silent(endings: Mapping[int, NodeEnding], nodes: Iterable[int]) -> list[int]:
    """Nodes that have left no ending."""
    return [node for node in nodes if endings[node].code is None]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
