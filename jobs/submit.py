"""Freeze a run and carry out its stages: `python -m jobs.submit prep|train|eval|run --model MODEL [--data …]`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import RunConfig, load_config, site_config
from fingpt.local import run_locally
from fingpt.run import Run, Stage, code_digest
from fingpt.stage import guarded
from fingpt.storage import ObjectStore, open_store
from fingpt.submit import create_run, freeze_source

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = Path(__file__).resolve().parent / "configs"


class Verb(StrEnum):
    """What to carry out: one stage, or all of them."""

    PREP = "prep"
    TRAIN = "train"
    EVAL = "eval"
    RUN = "run"


def main(
    verb: Annotated[Verb, typer.Argument(help="one stage, or run for all of them")],
    model: Annotated[str, typer.Option(help="name of a file in jobs/configs")],
    data: Annotated[
        str | None, typer.Option(help="source of the rows; default: the configuration's")
    ] = None,
    limit: Annotated[str | None, typer.Option(help="rows to keep per split")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="override, such as train.lr=1e-4")
    ] = None,
) -> None:
    """Freeze a run into the store and carry out its stages; the same command resumes."""
    log.setup()
    overrides = list(set_ or [])
    overrides += [f"prep.source={data}"] if data else []
    overrides += [f"prep.limit={limit}"] if limit else []
    site = site_config()

    def action() -> None:
        config = load_config(CONFIGS / f"{model}.yaml", overrides)
        store = open_store(site.store)
        run = freeze(store, config)
        stages = list(Stage) if verb is Verb.RUN else [Stage(verb)]
        run_locally(store, run, stages)
        typer.echo(run.id)

    sys.exit(guarded(action, debug=site.debug))


def freeze(store: ObjectStore, config: RunConfig) -> Run:
    """Freeze source and configuration into the store; local processes are identified by the hash of their code."""
    config = freeze_source(store, config)
    code = f"local:{code_digest(ROOT)[:16]}"
    run = Run.of(config, {str(stage): code for stage in Stage})
    create_run(store, run)
    return run


if __name__ == "__main__":
    typer.run(main)
