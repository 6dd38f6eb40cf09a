"""How far a stage is, from what it has left in the bucket: steps or rows, loss, speed, the newest commit.

Reads only. Between two commits of training the bucket does not know more than the last one; logs do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from fingpt.errors import StorageError
from fingpt.reading import DATA_BYTES, LINE_BYTES, parse_object
from fingpt.runs.manifest import (
    Commit,
    DatasetManifest,
    EngineChoice,
    PrepManifest,
    StageManifest,
    TrainManifest,
    decode,
)
from fingpt.runs.run import (
    LABEL_ROWS,
    Run,
    Stage,
    commit_key,
    dataset_manifest_key,
    engine_key,
    labels_key,
    last_number,
    predictions_key,
)
from fingpt.runs.stage import finished
from fingpt.storage import ObjectStore

METRICS = "metrics.jsonl"
"""Every checkpoint carries the metrics of all steps up to its own."""

_RECENT_STEPS = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` are optimizer steps in train, answered rows in eval; None is unknown.

    Of an evaluation of validation rows alone, rows whose labels are scored.

    `loss` is that of the last step known, in nats per answer token. `seconds_left` counts work at the recent speed;
    commits, evaluations and restarts come on top. `commit` is the newest sound checkpoint's number, and `committed` the
    step it holds.
    """

    done: int | None = None
    total: int | None = None
    loss: float | None = None
    seconds_left: float | None = None
    commit: int = 0
    committed: int = 0


def progress(
    store: ObjectStore, run: Run, stage: Stage, manifest: StageManifest | None
) -> Progress:
    """How far a stage is; `manifest` is its COMPLETE, None when it is not complete. Errors as `ObjectStore.read`."""
    if stage is Stage.PREP:
        return Progress()
    if stage is Stage.EVAL:
        return _evaluation(store, run)
    reached = _training(store, run)
    if not isinstance(manifest, TrainManifest):
        return reached
    return replace(
        reached,
        done=manifest.steps,
        total=manifest.steps,
        loss=manifest.train_loss,
        seconds_left=None,
    )


def sound_commits(store: ObjectStore, run_id: str) -> Iterator[Commit]:
    """The commits of a run whose records are sound, newest first."""
    for n in range(last_number(store.exists, lambda n: commit_key(run_id, n)), 0, -1):
        key = commit_key(run_id, n)
        with suppress(StorageError):
            yield decode(Commit, store.read(key), key)


def _rows(store: ObjectStore, run: Run, split: str) -> int | None:
    """Rows of a split of the run's data set, None before prep."""
    prep = finished(store, run, Stage.PREP)
    if not isinstance(prep, PrepManifest):
        return None
    key = dataset_manifest_key(prep.dataset)
    return decode(DatasetManifest, store.read(key), key).counts.get(split)


def _training(store: ObjectStore, run: Run) -> Progress:
    rows = _rows(store, run, "train")
    total = run.config.train.steps(rows)[1] if rows else None
    commit = next(sound_commits(store, run.id), None)
    if commit is None:
        return Progress(done=0, total=total)
    reached = Progress(done=commit.step, total=total, commit=commit.n, committed=commit.step)
    key = f"{commit.prefix}/{METRICS}"
    return _with_pace(reached, store.read(key, DATA_BYTES)) if store.exists(key) else reached


def _with_pace(reached: Progress, metrics: bytes) -> Progress:
    """`reached` with the loss of the last step, and the time left at the mean speed of the last steps."""
    try:
        steps = [parse_object(line, LINE_BYTES) for line in metrics.splitlines()[-_RECENT_STEPS:]]
        pace = sum(float(step["seconds"]) for step in steps) / len(steps)
        loss = float(steps[-1]["loss"])
    except (ValueError, KeyError, TypeError, ZeroDivisionError):
        return reached
    if reached.total is None or reached.done is None:
        return replace(reached, loss=loss)
    return replace(reached, loss=loss, seconds_left=max(reached.total - reached.done, 0) * pace)


def _evaluation(store: ObjectStore, run: Run) -> Progress:
    if run.config.eval.split == "validation":
        return _validation(store, run)
    rows = _rows(store, run, "test")
    if rows and run.config.eval.answer_rows:
        rows = min(rows, run.config.eval.answer_rows)
    variants = ("base", "tuned") if run.config.eval.include_base else ("tuned",)
    key = engine_key(run.id)
    kept = decode(EngineChoice, store.read(key), key) if store.exists(key) else None
    size = kept.answer_rows if kept else run.config.eval.batch_size
    chunks = [last_number(store.exists, _chunk(run.id, variant)) for variant in variants]
    # Each variant answers every row; with two of them an answer is half of a row's work.
    answers = sum(n * size if rows is None else min(n * size, rows) for n in chunks)
    return Progress(done=answers // len(variants), total=rows)


def _validation(store: ObjectStore, run: Run) -> Progress:
    """Rows whose labels are scored; nothing is answered. They are stored in chunks of many rows."""
    rows = _rows(store, run, "validation")
    chunks = last_number(store.exists, lambda n: labels_key(run.id, "tuned", "validation", n - 1))
    done = chunks * LABEL_ROWS
    return Progress(done=done if rows is None else min(done, rows), total=rows)


def _chunk(run_id: str, variant: str) -> Callable[[int], str]:
    """Key of chunk n counted from 1; their own numbers begin with 0."""
    return lambda n: predictions_key(run_id, variant, n - 1)
