"""Files between the supervisor and its trainer processes: a task, a stop file, one outcome per rank.

Exit codes of launchers are not trusted (torchrun flattens them to 1), so a rank writes its outcome as a file, aside
first and renamed. Imports no torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from fingpt import errors, log
from fingpt.errors import FingptError, TransientError
from fingpt.reading import read_record
from fingpt.record import Frozen, canonical_json
from fingpt.runs.manifest import TrainSummary
from fingpt.runs.nodes import Node
from fingpt.runs.run import Run
from fingpt.storage.files import translate_os_errors
from fingpt.train.limits import Reached

TRAINING_SPLITS = ("train", "validation")
"""What a training may see of a data set: rows to learn from, and rows for the held-out loss. Never the test rows."""

STOPPED_BEFORE = "Stopped before the first step; the same command starts again."

_OUTCOME_BYTES = 64 << 10

# `errors` that a trainer may end with; the code alone says which class the supervisor raises (of 74, the later one).
_BY_CODE: dict[int, type[FingptError]] = {
    kind.exit_code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, FingptError)
}


class LostPeersError(TransientError):
    """Ranks elsewhere are gone or do not come; why is known where they ran."""


class TrainTask(Frozen):
    """One training, as handed to the trainer: paths are local and verified.

    `folder`: scratch of this training. `base`: folder of the base weights. `data`: folder of the splits' JSONL files.
    `context`: hashes that a resume must match. `attempt`: number of the claim that it works under. `supervisor`:
    process id; the trainer ends when it is gone. `node`: this one among those of the training; only node 0 knows the
    attempt beforehand, the others hear of it when they join (`joined`). `cache`: where compiled code may outlive it.
    """

    run: Run
    store: str
    folder: Path
    base: Path
    data: Path
    context: dict[str, str]
    attempt: int
    supervisor: int
    node: Node = Node()
    cache: Path | None = None

    @property
    def path(self) -> Path:
        """Where the task itself is written."""
        return self.folder / "task.json"

    @property
    def stop(self) -> Path:
        """A file whose presence asks every rank to commit a checkpoint and stop."""
        return self.folder / "stop"

    @property
    def launcher_store(self) -> Path:
        """The file in which torchrun agrees with itself on the ranks."""
        return self.folder / "launcher.store"

    @property
    def rank_store(self) -> Path:
        """The file in which the ranks find each other."""
        return self.folder / "ranks.store"

    @property
    def joined(self) -> Path:
        """The number of the attempt that this node has joined."""
        return self.folder / "joined"

    @property
    def own_ranks(self) -> range:
        """Ranks of this node."""
        processes = self.run.config.train.processes
        return range(self.node.rank * processes, (self.node.rank + 1) * processes)

    @property
    def adapter(self) -> Path:
        """Folder of the final adapter."""
        return self.folder / "adapter"

    @property
    def metrics(self) -> Path:
        """One JSON line per optimizer step."""
        return self.folder / "metrics.jsonl"

    def outcome(self, rank: int) -> Path:
        """Where rank `rank` writes how it ended."""
        return self.folder / f"outcome-{rank}.json"


class StepRecord(Frozen):
    """One line of metrics.jsonl: one optimizer step.

    `loss`, `eval_loss`: nats per answer token; `eval_seconds`: what the latter took. `lr`: rate used by this step.
    `grad_norm`: before clipping. `tokens`: prompt and answer tokens of all ranks without padding; speeds and `seconds`
    leave evaluation and checkpoints out. `peak_memory_bytes`: most memory so far, of rank 0's GPU or process.
    """

    step: int
    epoch: float
    loss: float
    eval_loss: float | None = None
    eval_seconds: float | None = None
    lr: float
    grad_norm: float | None
    rows: int
    tokens: int
    answer_tokens: int
    tokens_per_second: float
    samples_per_second: float
    peak_memory_bytes: int
    seconds: float


class Outcome(Frozen):
    """How a rank ended: exit code (docs/operations.md), one sentence, last finished step; `lost`: others were gone.

    With code 0 the training is complete and has a `summary`, or is paused and says what it had `reached`.
    """

    code: int
    message: str = ""
    lost: bool = False
    step: int = 0
    summary: TrainSummary | None = None
    reached: Reached | None = None

    def error(self) -> FingptError:
        """The error that stands for this outcome."""
        return _BY_CODE.get(self.code, FingptError)(self.message)


def write_task(task: TrainTask) -> None:
    """Leave `task` for the trainers, which may be waiting for it."""
    _write(task.path, canonical_json(task))


def write_outcome(task: TrainTask, rank: int, outcome: Outcome) -> None:
    """Leave `outcome` for the supervisor; where the disk refuses it, say it in the log."""
    try:
        _write(task.outcome(rank), canonical_json(outcome))
    except OSError as error:
        # Nobody is left here to be told: the supervisor, which finds no outcome, asks the disk itself.
        log.warning(
            f"The outcome could not be written ({error}): {outcome.message or outcome.code}"
        )


def require_room(task: TrainTask) -> None:
    """StorageError where the task's folder has no room for an outcome: found by writing, since a quota may be spent on
    a disk with free space.
    """
    with translate_os_errors(task.folder, _OUTCOME_BYTES):
        _write(task.folder / "room", bytes(_OUTCOME_BYTES))


def _write(path: Path, data: bytes) -> None:
    """The file whole or not at all."""
    aside = path.with_suffix(".part")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def read_outcomes(task: TrainTask) -> list[Outcome]:
    """Outcomes of this node's ranks that left one, in order of rank."""
    paths: Iterable[Path] = (task.outcome(rank) for rank in task.own_ranks)
    return [Outcome.model_validate_json(path.read_bytes()) for path in paths if path.is_file()]


def read_records(path: Path) -> list[StepRecord]:
    """All complete lines of a metrics file; none when there is no file. StorageError for one that is no step."""
    if not path.is_file():
        return []
    return [
        read_record(StepRecord, line, f"{path.name}, line {number}", "restore the checkpoint")
        for number, line in enumerate(path.read_bytes().splitlines(), start=1)
    ]
