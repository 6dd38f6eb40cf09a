"""Freeze a run and carry out its stages: `python -m jobs.submit prep|train|eval|run --model MODEL [--data …]`.

`mirror` and `tiny` bring a model's base weights into the store. Where: this machine with `--mode local`, or when the
store is a folder; else the cluster of the current kube context.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import RunConfig, load_config, read_environment
from fingpt.models import ModelSpec, spec
from fingpt.runs.freeze import create_run, freeze_source
from fingpt.runs.local import run_locally
from fingpt.runs.run import Run, Stage, code_digest
from fingpt.runs.stage import guarded
from fingpt.storage import ObjectStore, open_store
from fingpt.weights.base import require_way

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = Path(__file__).resolve().parent / "configs"


class Verb(StrEnum):
    """What to carry out: one stage, all of them, or the bringing of base weights, fetched or made."""

    PREP = "prep"
    TRAIN = "train"
    EVAL = "eval"
    RUN = "run"
    MIRROR = "mirror"
    TINY = "tiny"


class Mode(StrEnum):
    """How: leave a stage's Job alone, wait for it, only print it, or use processes of this machine."""

    SUBMIT = "submit"
    WAIT = "wait"
    DRY_RUN = "dry-run"
    LOCAL = "local"


def main(
    verb: Annotated[Verb, typer.Argument(help="one stage, run for all of them, or base weights")],
    model: Annotated[str, typer.Option(help="a file in jobs/configs; a model, for base weights")],
    data: Annotated[
        str | None, typer.Option(help="source of the rows; default: the configuration's")
    ] = None,
    limit: Annotated[str | None, typer.Option(help="rows to keep per split")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="override, such as train.lr=1e-4")
    ] = None,
    mode: Annotated[Mode, typer.Option(help="how; see the words of the modes")] = Mode.SUBMIT,
) -> None:
    """Freeze a run into the store and carry out its stages; the same command resumes."""
    log.setup()
    overrides = list(set_ or [])
    overrides += [f"prep.source={data}"] if data else []
    overrides += [f"prep.limit={limit}"] if limit else []
    environment = read_environment()

    def action() -> None:
        if verb in (Verb.MIRROR, Verb.TINY):
            row = spec(model)
            require_way(row, tiny=verb is Verb.TINY)
            bring_base(open_store(environment.store), row, mode)
            return
        config = load_config(CONFIGS / f"{model}.yaml", overrides)
        stages = list(Stage) if verb is Verb.RUN else [Stage(verb)]
        carry_out(open_store(environment.store), config, stages, mode)

    sys.exit(guarded(action, debug=environment.debug))


def carry_out(store: ObjectStore, config: RunConfig, stages: list[Stage], mode: Mode) -> None:
    """Freeze a run and start its stages where `mode` and the store say."""
    if _here(store, mode):
        run = freeze(store, config)
        log.event("on this machine", run=run.id, stages=", ".join(stages))
        run_locally(store, run, stages)
        typer.echo(run.id)
    else:
        _in_cluster(store, config, stages, mode)


def freeze(store: ObjectStore, config: RunConfig) -> Run:
    """Freeze source and configuration into the store; local processes are identified by the hash of their code."""
    config = freeze_source(store, config)
    code = f"local:{code_digest(ROOT)[:16]}"
    run = Run.of(config, {str(stage): code for stage in Stage})
    create_run(store, run)
    return run


def bring_base(store: ObjectStore, model: ModelSpec, mode: Mode) -> None:
    """Bring base weights into the store, in this process or by a Job, which is always followed."""
    if _here(store, mode):
        from jobs import mirror, tiny

        if model.tiny:
            tiny.make(model.key, store.uri)
        else:
            mirror.bring(model.key, read_environment())
        return
    from fingpt.cluster import submission
    from fingpt.cluster.api.cluster import Cluster

    cluster = Cluster.connect(read_environment().namespace)
    if mode is Mode.DRY_RUN:
        typer.echo(submission.dry_run_base(model, cluster.site()))
        return
    log.event(f"in the cluster {cluster.where}", namespace=cluster.namespace, model=model.key)
    submission.bring_base(cluster, store, model)


def _here(store: ObjectStore, mode: Mode) -> bool:
    return mode is Mode.LOCAL or (store.uri.startswith("file:") and mode is not Mode.DRY_RUN)


def _in_cluster(store: ObjectStore, config: RunConfig, stages: list[Stage], mode: Mode) -> None:
    from fingpt.cluster import submission
    from fingpt.cluster.api.cluster import Cluster

    cluster = Cluster.connect(read_environment().namespace)
    cluster_site = cluster.site()
    dry = mode is Mode.DRY_RUN
    run = submission.freeze(store, config, cluster_site, dry=dry)
    if dry:
        typer.echo(submission.dry_run(run, stages, cluster_site, store.uri))
        return
    log.event(
        f"in the cluster {cluster.where}",
        namespace=cluster.namespace,
        run=run.id,
        stages=", ".join(stages),
    )
    follow = mode is Mode.WAIT or len(stages) > 1
    submission.submit(cluster, store, run, stages, follow=follow)
    typer.echo(run.id)


if __name__ == "__main__":
    typer.run(main)
