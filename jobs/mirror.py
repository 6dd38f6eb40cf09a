"""Bring base weights or rows from the hub into the store: `python -m jobs.mirror --model llama31`, `--data hub:…`.

A token comes from HF_TOKEN, the file that HF_TOKEN_PATH names, or the hub client's own login. Ctrl-C and SIGTERM leave
what is in the store; the same command resumes.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import read_environment
from fingpt.errors import ConfigError
from fingpt.models import spec
from fingpt.runs.signals import interrupt_on_signals
from fingpt.runs.stage import guarded
from fingpt.storage import open_store


def main(
    model: Annotated[str, typer.Option(help="a model of the model table")] = "",
    data: Annotated[str, typer.Option(help="rows: hub:owner/name@revision")] = "",
) -> None:
    """Bring a model's base weights, rows, or both from the hub into the store, verified; the same command resumes."""
    log.setup(stage="mirror")

    def action() -> None:
        environment = read_environment()
        if not (model or data):
            raise ConfigError(
                "Name a model or rows: make mirror MODEL=llama31, or DATA=hub:owner/name."
            )
        store, row = open_store(environment.store), spec(model) if model else None
        from fingpt.weights.hub import Hub
        from fingpt.weights.mirror import mirror
        from fingpt.weights.rows import mirror_rows

        with interrupt_on_signals():
            hub = Hub(environment.hub_token)
            if data:
                mirror_rows(store, data, hub)
            if row:
                mirror(store, row, hub)

    sys.exit(guarded(action))


if __name__ == "__main__":
    typer.run(main)
