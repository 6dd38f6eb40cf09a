"""Freeze a run and carry out its stages: `python -m jobs.submit prep|train|eval|run --model MODEL [--data …]`.

`mirror` and `tiny` bring a model's base weights into the store. Where: this machine with `--mode local`, or when the
store is a folder; else the cluster of the current kube context.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from fingpt import log
from fingpt.cluster.submission import open_backend
from fingpt.config import argument, load_config, read_environment, split_words
from fingpt.models import spec
from fingpt.runs.backend import Mode
from fingpt.runs.run import Stage
from fingpt.runs.stage import guarded
from fingpt.storage import open_store
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
        config = load_config(CONFIGS / f"{model.strip()}.yaml", settings)
        stages = list(Stage) if verb is Verb.RUN else [Stage(verb)]
        backend = open_backend(open_store(environment.store), mode, environment)
        return backend.execute(backend.freeze(config), stages, follow=mode is Mode.WAIT)

    def action() -> None:
        printed = bring_base() if verb in (Verb.MIRROR, Verb.TINY) else carry_out()
        if printed:
            typer.echo(printed)

    sys.exit(guarded(action, debug=environment.debug))


if __name__ == "__main__":
    typer.run(main)
