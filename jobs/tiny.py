"""Make the base weights of a tiny model and keep them in the store: `python -m jobs.tiny --model tiny-llama31`.

Without `--model` all tiny models are made. Weights whose manifest is in the store already are left as they are.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import read_environment
from fingpt.models import MODELS, spec
from fingpt.runs.stage import guarded
from fingpt.storage import open_store


def main(
    model: Annotated[str | None, typer.Option(help="a tiny model; default: all of them")] = None,
) -> None:
    """Make the base weights of tiny models and keep them in the store."""
    log.setup(stage="tiny")

    def action() -> None:
        environment = read_environment()
        rows = [spec(model)] if model else [row for row in MODELS.values() if row.tiny]
        from fingpt.synthetic.tiny import publish

        for row in rows:
            publish(open_store(environment.store), row)

    sys.exit(guarded(action))


if __name__ == "__main__":
    typer.run(main)
