"""Make the base weights of a tiny model and keep them in the store: `python -m jobs.tiny --model tiny-llama31`.

Without `--model` all tiny models are made. Weights whose manifest is in the store already are left as they are.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import read_environment
from fingpt.models import MODELS, spec
from fingpt.record import sha256_bytes
from fingpt.runs.stage import guarded
from fingpt.storage import open_store
from fingpt.storage.files import one_at_a_time


def main(
    model: Annotated[str | None, typer.Option(help="a tiny model; default: all of them")] = None,
) -> None:
    """Make the base weights of tiny models and keep them in the store."""
    log.setup(stage="tiny")

    def action() -> None:
        environment = read_environment()
        rows = [spec(model)] if model else [row for row in MODELS.values() if row.tiny]
        from fingpt.synthetic.tiny import publish

        store = open_store(environment.store)
        for row in rows:
            # A command that was killed leaves its process behind, which makes the same base to its end.
            name = f"{row.key}-{sha256_bytes(store.uri.encode())[:16]}.lock"
            wait = partial(log.event, "another process makes it; waiting for it", model=row.key)
            with one_at_a_time(environment.cache / name, wait):
                publish(store, row)

    sys.exit(guarded(action))


if __name__ == "__main__":
    typer.run(main)
