"""The frame of the commands that make a page out of what the store holds, `compare` and `sweep_report`; no command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import typer

from fingpt import log
from fingpt.config import local_path, read_environment
from fingpt.runs.stage import guarded
from fingpt.storage import ObjectStore, open_store

Make = Callable[[ObjectStore, Path | None], object]
"""From the store and the folder of the copy, None for the usual one, to where the page is."""


def print_page(out: str, make: Make) -> NoReturn:
    """Print where the page is that `make` makes, with its copy in the folder `out`, and exit with the code of that."""
    log.setup()

    def action() -> None:
        environment = read_environment()
        folder = local_path(out) if out.strip() else None
        typer.echo(make(open_store(environment.store), folder))

    sys.exit(guarded(action))
