"""The train stage: inputs to this machine, trainer processes, adapter and metrics to the bucket. Imports no torch.

The supervisor that runs this is a pod's main process, so it stays small and alone decides the exit code.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from fingpt import log
from fingpt.errors import DataError
from fingpt.models import spec
from fingpt.prompts.families import template_sha256
from fingpt.record import FileRef
from fingpt.runs.manifest import (
    BaseManifest,
    DatasetManifest,
    PrepManifest,
    TrainManifest,
    TrainSummary,
)
from fingpt.runs.run import (
    Stage,
    base_manifest_key,
    dataset_manifest_key,
    dataset_prefix,
    stage_prefix,
)
from fingpt.runs.stage import Context, Paused
from fingpt.storage import download_tree, upload_tree
from fingpt.train.endings import await_node_0, joint_ending
from fingpt.train.handoff import TRAINING_SPLITS, TrainTask, write_task
from fingpt.train.launch import EarlyTrainer, run_trainer
from fingpt.train.limits import Reached
from fingpt.weights.contents import open_base

_TOKENIZER = "tokenizer.json"


def body(ctx: Context) -> TrainManifest | Paused | None:
    """Train the run's adapter, or finish an interrupted training, and upload it; Paused where a limit ends it before.

    None on every node but the first, once that one has finished the stage.

    Raises DataError when inputs do not fit, and what `run_trainer` raises.
    """
    started = time.monotonic()
    _folder(ctx).mkdir()
    with EarlyTrainer(_task(ctx, base=ctx.scratch, data=ctx.scratch, context={})) as trainer:
        task = prepare(ctx)
        fetched = time.monotonic()
        with joint_ending(ctx.store, task):
            summary = run_trainer(task, trainer.take())
    if isinstance(summary, Reached):
        return Paused(summary.sentence)
    if task.node.rank:
        await_node_0(ctx.store, task)
        return None
    trained = time.monotonic()
    files = _upload(ctx, task)
    ended = time.monotonic()
    seconds = {
        "fetch": fetched - started,
        **summary.seconds,
        "upload": ended - trained,
        "total": ended - started,
    }
    return _manifest(ctx, task, summary, files, seconds)


def prepare(ctx: Context) -> TrainTask:
    """Download and verify data set and base, and write the task for the trainer."""
    model = spec(ctx.run.config.model)
    prep = ctx.previous(Stage.PREP, PrepManifest)
    key = dataset_manifest_key(prep.dataset)
    dataset = ctx.read(DatasetManifest, key)
    if ctx.inputs[key] != prep.dataset_sha256:
        raise DataError(
            f"Data set {prep.dataset} is not the one that prep finished with (manifest {ctx.inputs[key][:12]}, "
            f"expected {prep.dataset_sha256[:12]}); submit the run again."
        )
    _folder(ctx).mkdir(exist_ok=True)
    data = ctx.scratch / "data"
    wanted = {f"{split}.jsonl" for split in TRAINING_SPLITS}
    splits = tuple(file for file in dataset.files if file.name in wanted)
    download_tree(ctx.store, dataset_prefix(dataset.id), splits, data)
    base_folder = open_base(ctx.store, model, ctx.environment.cache)
    base = ctx.read(BaseManifest, base_manifest_key(model.base_prefix))
    task = _task(
        ctx,
        base=base_folder,
        data=data,
        context={
            "config": ctx.run.config.sha256,
            "base": base.sha256,
            "tokenizer": _tokenizer(base),
            "template": template_sha256(model),
            "data_set": ctx.inputs[key],
        },
    )
    write_task(task)
    return task


def _folder(ctx: Context) -> Path:
    return ctx.scratch / "train"


def _task(ctx: Context, base: Path, data: Path, context: dict[str, str]) -> TrainTask:
    return TrainTask(
        run=ctx.run,
        store=ctx.store.uri,
        folder=_folder(ctx),
        base=base,
        data=data,
        context=context,
        attempt=ctx.attempt.number,
        supervisor=os.getpid(),
        node=ctx.node,
        cache=ctx.environment.cache,
    )


def _tokenizer(base: BaseManifest) -> str:
    found = [file.sha256 for file in base.files if file.name == _TOKENIZER]
    if not found:
        raise DataError(
            f"Base {base.base}@{base.revision} has no {_TOKENIZER} in the bucket; mirror it again with its tokenizer."
        )
    return found[0]


def _upload(ctx: Context, task: TrainTask) -> tuple[FileRef, ...]:
    """Adapter and metrics to the bucket; named relative to the stage's prefix."""
    prefix = stage_prefix(ctx.run.id, Stage.TRAIN)
    adapter = upload_tree(ctx.store, task.adapter, f"{prefix}/{task.adapter.name}")
    metrics = ctx.store.upload(task.metrics, f"{prefix}/{task.metrics.name}")
    named = [
        file.model_copy(update={"name": f"{task.adapter.name}/{file.name}"}) for file in adapter
    ]
    return (*named, metrics)


def _manifest(
    ctx: Context,
    task: TrainTask,
    summary: TrainSummary,
    files: tuple[FileRef, ...],
    seconds: dict[str, float],
) -> TrainManifest:
    model = spec(ctx.run.config.model)
    log.event(
        "trained",
        steps=summary.steps,
        train_loss=round(summary.train_loss, 4),
        eval_loss=None if summary.eval_loss is None else round(summary.eval_loss, 4),
        padding_share=round(summary.padding_share, 4),
        exactness=summary.exactness,
    )
    return TrainManifest.model_validate(
        {
            **ctx.identity(),
            **summary.model_dump(),
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "base": f"{model.base}@{model.revision}",
            "base_sha256": task.context["base"],
            "tokenizer_sha256": task.context["tokenizer"],
            "template_sha256": task.context["template"],
            "dataset": ctx.previous(Stage.PREP, PrepManifest).dataset,
            "files": files,
        }
    )
