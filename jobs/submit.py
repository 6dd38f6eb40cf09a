"""Freeze a run and carry out its stages: `python -m jobs.submit prep|train|eval|run --model MODEL [--data …]`.

`mirror` brings base weights and rows from the hub into the store, `tiny` makes the weights of a tiny model. Where: this
machine with `--mode local`, or when the store is a folder; else the cluster of the current kube context.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from fingpt import log
from fingpt.cluster.submission import open_backend
from fingpt.config import load_config, read_environment
from fingpt.errors import ConfigError
from fingpt.models import spec
from fingpt.runs.backend import Mode
from fingpt.runs.run import Stage
from fingpt.runs.stage import guarded
from fingpt.storage import open_store
from fingpt.weights.base import require_origin
from jobs import CONFIGS


class Verb(StrEnum):
    """What to carry out: one stage, all of them, or to bring what they need: from the hub, or made."""

    PREP = "prep"
    TRAIN = "train"
    EVAL = "eval"
    RUN = "run"
    MIRROR = "mirror"
    TINY = "tiny"


def main(
    verb: Annotated[Verb, typer.Argument(help="one stage, run for all of them, or base weights")],
    model: Annotated[str, typer.Option(help="a file in jobs/configs; a tiny model")] = "",
    data: Annotated[
        str | None, typer.Option(help="source of the rows; default: the configuration's")
    ] = None,
    limit: Annotated[str | None, typer.Option(help="rows to keep per split")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="override, such as train.lr=1e-4")
    ] = None,
    mode: Annotated[Mode, typer.Option(help="how to carry it out")] = Mode.SUBMIT,
) -> None:
    """Freeze a run into the store and carry out its stages; the same command resumes."""
    log.setup()
    overrides = list(set_ or [])
    overrides += [f"prep.source={data}"] if data else []
    overrides += [f"prep.limit={limit}"] if limit else []
    environment = read_environment()

    def make_tiny() -> str:
        row = spec(model)
        require_origin(row, environment.store, tiny=True)
        return open_backend(open_store(environment.store), mode, environment).bring_base(row)

    def mirror() -> str:
        if not (model or data):
            raise ConfigError(
                "Name a model or rows: make mirror MODEL=llama31, or DATA=hub:owner/name."
            )
        config = load_config(CONFIGS / f"{model}.yaml", overrides) if model else None
        if config:
            require_origin(spec(config.model), environment.store, tiny=False)
        source = data or (config.prep.source if config else "")
        if not config and not source.startswith("hub:"):
            raise ConfigError(
                f"DATA={source} is not on the hub; it is read where it lies, without a mirror."
            )
        backend = open_backend(open_store(environment.store), mode, environment)
        printed = [backend.bring_rows(source)] if source.startswith("hub:") else []
        printed += [backend.bring_base(spec(config.model))] if config else []
        return "---\n".join(filter(None, printed))

    def carry_out() -> str:
        config = load_config(CONFIGS / f"{model}.yaml", overrides)
        stages = list(Stage) if verb is Verb.RUN else [Stage(verb)]
        backend = open_backend(open_store(environment.store), mode, environment)
        return backend.execute(backend.freeze(config), stages, follow=mode is Mode.WAIT)

    def action() -> None:
        special = {Verb.MIRROR: mirror, Verb.TINY: make_tiny}
        printed = special.get(verb, carry_out)()
        if printed:
            typer.echo(printed)

    sys.exit(guarded(action, debug=environment.debug))


if __name__ == "__main__":
    typer.run(main)
