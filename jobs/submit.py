"""Freeze a run and carry out its stages: `python -m jobs.submit prep|train|eval|run --model MODEL [--data …]`.

`mirror` and `tiny` bring a model's base weights into the store. Where: this machine with `--mode local`, or when the
store is a folder; else the cluster of the current kube context.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fingpt import log
from fingpt.cluster.submission import open_backend
from fingpt.config import (
    Environment,
    RunConfig,
    argument,
    load_config,
    read_environment,
    split_words,
)
from fingpt.errors import ConfigError
from fingpt.models import ModelSpec, spec
from fingpt.runs.backend import Mode
from fingpt.runs.run import Run, Stage
from fingpt.runs.stage import guarded
from fingpt.storage import ObjectStore, open_store
from fingpt.weights.base import require_origin
from jobs import CONFIGS


class Verb(StrEnum):
    """What to carry out: one stage, all of them, or the bringing of base weights, from the hub or made."""

    PREP = "prep"
    TRAIN = "train"
    EVAL = "eval"
    RUN = "run"
    MIRROR = "mirror"
    TINY = "tiny"


def main(
    verb: Annotated[Verb, typer.Argument(help="one stage, run for all of them, or base weights")],
    model: Annotated[
        str,
        typer.Option(
            envvar="FINGPT_ARG_MODEL", help="a file in jobs/configs; a model, for base weights"
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            envvar="FINGPT_ARG_DATA", help="source of the rows; default: the configuration's"
        ),
    ] = "",
    limit: Annotated[
        str, typer.Option(envvar="FINGPT_ARG_LIMIT", help="rows to keep per split")
    ] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help='overrides, such as "train.lr=1e-4 train.epochs=1"'),
    ] = None,
    mode: Annotated[Mode, typer.Option(help="how to carry it out")] = Mode.SUBMIT,
) -> None:
    """Freeze a run into the store and carry out its stages; the same command resumes."""
    log.setup()
    environment = read_environment()

    def bring_base() -> str:
        row = spec(model.strip())
        require_origin(row, tiny=verb is Verb.TINY)
        return open_backend(open_store(environment.store), mode, environment).bring_base(row)

    def carry_out() -> str:
        settings = [word for text in set_ or [argument("SET")] for word in split_words(text, "SET")]
        settings += [f"prep.source={data}"] if data.strip() else []
        settings += [f"prep.limit={limit}"] if limit.strip() else []
        adapter = argument("ADAPTER")
        settings += [f"eval.adapter={adapter}"] if adapter.strip() else []
        config = load_config(CONFIGS / f"{model.strip()}.yaml", settings)
        _require_use(config, verb)
        store = open_store(environment.store)
        backend = open_backend(store, mode, environment)
        if config.eval.adapter and mode is not Mode.DRY_RUN:
            config = freeze_adapter(store, config, environment)
        run = backend.freeze(config)
        return backend.execute(run, stages_of(run, verb), follow=mode is Mode.WAIT)

    def action() -> None:
        printed = bring_base() if verb in (Verb.MIRROR, Verb.TINY) else carry_out()
        if printed:
            typer.echo(printed)

    sys.exit(guarded(action, debug=environment.debug))


def _require_use(config: RunConfig, verb: Verb) -> None:
    if config.eval.adapter and verb is Verb.TRAIN:
        raise ConfigError(
            "ADAPTER names an adapter to evaluate, so there is nothing to train: make eval ADAPTER=…."
        )


def stages_of(run: Run, verb: Verb) -> Sequence[Stage]:
    """What to carry out. A foreign adapter is evaluated by a run of its own, whose rows `eval` has to prepare first."""
    whole = verb is Verb.RUN or (run.config.eval.adapter and verb is Verb.EVAL)
    return run.stages if whole else [Stage(verb)]


def freeze_adapter(store: ObjectStore, config: RunConfig, environment: Environment) -> RunConfig:
    """`config` with its foreign adapter in the store; the hub is asked only for one that lies there."""
    from fingpt.eval import foreign

    def fetch(repository: ModelSpec, folder: Path, names: tuple[str, ...]) -> None:
        from fingpt.weights.hub import Hub

        hub = Hub(environment.hub_token)
        there = hub.files(repository)
        wanted = [there[name] for name in names if name in there]
        with log.progress(f"fetch {repository.base}", sum(file.size for file in wanted)) as meter:
            for file in wanted:
                hub.download(repository, file, folder, meter)

    return foreign.freeze_adapter(store, config, fetch)


if __name__ == "__main__":
    typer.run(main)
