"""The frame that every stage runs in: load the run, skip a complete stage, run the body, commit the manifest last.

Errors become exit codes here and nowhere else. A body gets a Context, uploads its files and returns its manifest; it
never writes COMPLETE itself, so nothing half-done can look finished.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from fingpt import log
from fingpt.config import (
    Environment,
    child_environment,
    pod_and_node,
    read_environment,
    shows_traceback,
)
from fingpt.errors import (
    ConfigError,
    FingptError,
    Interrupted,
    MissingInputError,
    RunConflictError,
    SetupError,
    StorageError,
)
from fingpt.record import Frozen, sha256_bytes
from fingpt.runs.attempt import Attempt, claim
from fingpt.runs.manifest import (
    EvalManifest,
    PrepManifest,
    StageManifest,
    TrainManifest,
    decode,
    encode,
)
from fingpt.runs.nodes import Node, node_of
from fingpt.runs.remedy import stage_command
from fingpt.runs.run import Run, Stage, complete_key, run_key
from fingpt.runs.signals import interrupt_on_signals
from fingpt.storage import ObjectStore, open_store
from fingpt.storage.files import from_os_error

M = TypeVar("M", bound=Frozen)

TERMINATION_MESSAGE = Path("/dev/termination-log")
"""Where Kubernetes keeps a container's last message."""

MANIFEST_TYPES: dict[Stage, type[StageManifest]] = {
    Stage.PREP: PrepManifest,
    Stage.TRAIN: TrainManifest,
    Stage.EVAL: EvalManifest,
}


@dataclass
class Context:
    """What a body works with: the store, the run, the environment, a scratch folder that is deleted afterwards.

    `attempt` is the claim that the body works under; its `check` is to be called before every commit of the body's own.
    `node` is this process's among those of a training on several; only node 0 has a claim, others have attempt 0.
    `inputs` collects bucket key → sha256 of every manifest read through `read`, for the stage's own manifest.
    """

    store: ObjectStore
    run: Run
    stage: Stage
    environment: Environment
    scratch: Path
    attempt: Attempt
    node: Node = field(default_factory=Node)
    inputs: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def read(self, kind: type[M], key: str) -> M:
        """Read a sealed manifest and remember its hash as an input; errors as `ObjectStore.read` and `decode`."""
        data = self.store.read(key)
        self.inputs[key] = sha256_bytes(data)
        return decode(kind, data, key)

    def previous(self, stage: Stage, kind: type[M]) -> M:
        """The manifest of an earlier stage of this run; MissingInputError says which stage to run first."""
        key = complete_key(self.run.id, stage)
        if not self.store.exists(key):
            raise MissingInputError(
                f"Stage {self.stage} of {self.run.id} needs stage {stage}, which has not finished; "
                f"run it first: {stage_command(self.store.uri, stage, self.run)}"
            )
        return self.read(kind, key)

    def identity(self) -> dict[str, object]:
        """The fields that every stage's manifest shares, to be passed on to its constructor."""
        return {
            "run": self.run.id,
            "stage": str(self.stage),
            "config_sha256": self.run.config.sha256,
            "image": self.run.images.get(self.stage, ""),
            "inputs": dict(self.inputs),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }


@dataclass(frozen=True, slots=True)
class Paused:
    """A stage that did what it was told to and is not complete; `message` says how far it is, and is its last line."""

    message: str


Body = Callable[[Context], StageManifest | Paused | None]
"""Does a stage's work; None on a node that has a part of it only, while node 0 finishes the stage."""


def run_stage(stage: Stage, uri: str, load_body: Callable[[], Body], sha256: str = "") -> int:
    """Run one stage of the run at `uri` (`…/runs/<id>/run.json`) and return the process's exit code.

    `sha256` is the run's whole hash as whoever submitted it knew it; a run of another hash is refused (`load_run`).
    `load_body` imports the body, so that a stage that is complete already is skipped before anything heavy loads.
    """
    log.setup(stage=str(stage))
    return guarded(lambda: _frame(stage, (uri, sha256), read_environment(), load_body))


def guarded(action: Callable[[], None]) -> int:
    """Run `action`, log any error as one sentence, and return its exit code (1 for a bug)."""
    try:
        action()
        return 0
    except FingptError as fault:
        return _end(str(fault), fault.exit_code)
    except KeyboardInterrupt:
        message = "Interrupted; what was committed stays, the same command resumes."
        return _end(message, Interrupted.exit_code)
    except OSError as fault:
        known = from_os_error(fault, Path(str(fault.filename or tempfile.gettempdir())))
        return _end(str(known), known.exit_code)
    # The one place where anything becomes a sentence and an exit code. Nothing is hidden: what is no known fault ends
    # as a bug, with 1, its place, and the way to its traceback.
    except Exception as fault:
        if type(fault) is LookupError and str(fault).startswith("unknown encoding"):
            summary = f"Something is written in a code page that is not known here: {fault}."
            return _end(summary, SetupError.exit_code)
        # A bug of ours.
        if shows_traceback():
            traceback.print_exc()
        where = traceback.extract_tb(fault.__traceback__)[-1]
        return _end(
            f"Unexpected {type(fault).__name__}: {fault} (in {Path(where.filename).name}, line {where.lineno}). "
            "This is a bug; run again with FINGPT_DEBUG=1 for the traceback and report it.",
            1,
        )


def _end(summary: str, code: int) -> int:
    """Log why the process ends; in a pod also where Kubernetes keeps it, for commands that follow the Job."""
    log.error(summary, code=code)
    in_pod = bool(pod_and_node()[0])
    if in_pod and os.access(TERMINATION_MESSAGE, os.W_OK):
        TERMINATION_MESSAGE.write_text(f"{log.printable(summary)}\n", encoding="utf-8")
    return code


def locate(uri: str) -> tuple[ObjectStore, str]:
    """The store and the run id behind `<store>/runs/<id>/run.json`; ConfigError when `uri` is no such thing."""
    root, found, rest = uri.rpartition("/runs/")
    run_id, slash, name = rest.partition("/")
    if not found or not slash or name != "run.json":
        raise ConfigError(
            f"Run URI '{uri}' must look like 's3://bucket/prefix/runs/<id>/run.json'."
        )
    return open_store(root), run_id


def load_run(store: ObjectStore, run_id: str, sha256: str = "") -> Run:
    """Read and verify a frozen run; RunConflictError unless it is the one with the whole hash `sha256`, where given."""
    run = Run.decode(store.read(run_key(run_id)), f"{store.uri}/{run_key(run_id)}")
    if sha256 and run.sha256 != sha256:
        raise RunConflictError(
            f"{run_key(run_id)} holds another run of the same short id (sha256 {run.sha256[:16]}…) than the one that "
            f"was submitted ({sha256[:16]}…): it was replaced; nothing was started. Find out who wrote it, or use "
            "another store."
        )
    if run.id != run_id:
        raise StorageError(
            f"{run_key(run_id)} holds run {run.id}; the object was moved or changed."
        )
    return run


def finished(store: ObjectStore, run: Run, stage: Stage) -> StageManifest | None:
    """The stage's manifest if it is complete for this very configuration, else None."""
    key = complete_key(run.id, stage)
    if not store.exists(key):
        return None
    manifest = decode(MANIFEST_TYPES[stage], store.read(key), key)
    if manifest.config_sha256 != run.config.sha256:
        raise StorageError(f"{key} was made from another configuration than {run.id}'s; remove it.")
    return manifest


def _frame(
    stage: Stage,
    which: tuple[str, str],
    environment: Environment,
    load_body: Callable[[], Body],
) -> None:
    """`which`: the run's URI and its whole hash, empty where a person names the URI alone."""
    uri, sha256 = which
    with interrupt_on_signals():
        store, run_id = locate(uri)
        run = load_run(store, run_id, sha256)
        log.setup(stage=str(stage), run=run.id)
        if _skips(store, run, stage):
            return
        log.event("start", stage=str(stage), run=run.id)
        body = load_body()
        node = node_of(run, stage, child_environment())
        if node.count > 1:
            log.setup(stage=str(stage), run=run.id, node=str(node.rank))
        unclaimed = nullcontext(Attempt(store, run.id, stage, 0))
        with (
            unclaimed if node.rank else claim(store, run.id, stage) as attempt,
            _interrupted_by_signals(),
            _scratch() as scratch,
        ):
            # The attempt that was watched may have finished meanwhile.
            if _skips(store, run, stage):
                return
            context = Context(store, run, stage, environment, scratch, attempt, node)
            manifest = body(context)
            if isinstance(manifest, Paused):
                attempt.note = manifest.message
                log.event("paused", stage=str(stage), message=manifest.message)
                return
            if manifest is None:
                log.event("this node's part is done", node=node.rank)
                return
            attempt.check()
            _commit(store, complete_key(run.id, stage), encode(manifest))
        log.event(
            "complete", stage=str(stage), seconds=round(time.monotonic() - context.started, 1)
        )


def _skips(store: ObjectStore, run: Run, stage: Stage) -> bool:
    """Whether the stage is complete, which is logged."""
    if finished(store, run, stage) is None:
        return False
    log.event("already complete, skipped", stage=str(stage), run=run.id)
    return True


def _commit(store: ObjectStore, key: str, data: bytes) -> None:
    if not store.create(key, data):
        log.warning("another process completed this stage first; its result is kept", key=key)
    elif store.read(key) != data:
        raise StorageError(
            f"{key} reads back other bytes than were written; the store cannot be trusted."
        )


@contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fingpt-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Turn a signal into Interrupted, whose code and sentence are stored as the attempt's ending."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Interrupted(
            f"{str(stop) or 'Ctrl-C received'}; what was committed stays, the same command resumes."
        ) from None


def main(stage: Stage, load_body: Callable[[], Body], arguments: list[str] | None = None) -> int:
    """Command line of a stage: `python -m jobs.<stage> --run URI [--sha256 HEX]`."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[::2] not in (["--run"], ["--run", "--sha256"]) or len(words) % 2:
        usage = f"usage: python -m jobs.{stage} --run <store>/runs/<id>/run.json [--sha256 HASH]"
        print(usage, file=sys.stderr)
        return 0 if words in (["-h"], ["--help"]) else ConfigError.exit_code
    return run_stage(stage, words[1], load_body, *words[3:])
