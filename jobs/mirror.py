"""Bring a model's base weights from the hub into the store, once: `python -m jobs.mirror --model llama31`.

A token comes from HF_TOKEN, the file that HF_TOKEN_PATH names, or the hub client's own login. Ctrl-C and SIGTERM leave
what is in the store; the same command resumes.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import read_environment
from fingpt.models import spec
from fingpt.runs.stage import guarded, interrupt_on_signals
from fingpt.storage import open_store


def main(model: Annotated[str, typer.Option(help="a model of the model table")]) -> None:
    """Bring a model's base weights from the hub into the store, verified; the same command resumes."""
    log.setup(stage="mirror")
    environment = read_environment()

    def action() -> None:
        store, row = open_store(environment.store), spec(model)
        from fingpt.weights.hub import Hub
        from fingpt.weights.mirror import mirror

        with interrupt_on_signals():
            mirror(store, row, Hub(environment.hub_token))

    sys.exit(guarded(action, debug=environment.debug))


if __name__ == "__main__":
    typer.run(main)
