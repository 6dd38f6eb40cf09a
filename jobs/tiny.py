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
from fingpt.runs.run import base_manifest_key
from fingpt.runs.stage import guarded
from fingpt.storage import open_store
from fingpt.weights.base import require_way

TINY = tuple(key for key, row in MODELS.items() if row.tiny)


def main(
    model: Annotated[str | None, typer.Option(help="a tiny model; default: all of them")] = None,
) -> None:
    """Make the base weights of tiny models and keep them in the store."""
    log.setup(stage="tiny")
    environment = read_environment()

    def action() -> None:
        for key in TINY if model is None else (model,):
            make(key, environment.store)

    sys.exit(guarded(action, debug=environment.debug))


def make(key: str, uri: str) -> None:
    """Make and store one tiny base unless it is there; ConfigError when `key` is a full-size model."""
    row = spec(key)
    require_way(row, tiny=True)
    store = open_store(uri)
    if store.exists(base_manifest_key(row.base_prefix)):
        log.event("tiny base is there", model=key, store=store.uri)
        return
    from fingpt.synthetic.tiny import publish

    publish(store, row)


if __name__ == "__main__":
    typer.run(main)
