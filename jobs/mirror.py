"""Bring a model's base weights from the hub into the store, once: `python -m jobs.mirror --model llama31`.

A token comes from HF_TOKEN, the file that HF_TOKEN_PATH names, or the hub client's own login. Ctrl-C and SIGTERM leave
what is in the store; the same command goes on from there.
"""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import Environment, read_environment
from fingpt.models import spec
from fingpt.runs.stage import guarded
from fingpt.storage import open_store


def main(model: Annotated[str, typer.Option(help="a model of the model table")]) -> None:
    """Bring a model's base weights from the hub into the store, verified; the same command resumes."""
    log.setup(stage="mirror")
    environment = read_environment()
    sys.exit(guarded(lambda: bring(model, environment), debug=environment.debug))


def bring(key: str, environment: Environment) -> None:
    """Mirror the weights of `key` into the site's store; SIGTERM ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    store, row = open_store(environment.store), spec(key)
    from fingpt.weights.hub import Hub
    from fingpt.weights.mirror import mirror

    mirror(store, row, Hub(environment.hub_token))


if __name__ == "__main__":
    typer.run(main)
