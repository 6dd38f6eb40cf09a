"""Re-hash all that a run's results rest on: `python -m jobs.verify --run ID [--deep]`; exit 0, 74 or 66."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import read_environment
from fingpt.runs.ledger import require_run
from fingpt.runs.stage import guarded
from fingpt.runs.verify import Link, require_sound, verify
from fingpt.storage import open_store


def main(
    run: Annotated[str, typer.Option(envvar="FINGPT_ARG_RUN", help="run id")] = "",
    deep: Annotated[bool, typer.Option(help="hash the base weights' files too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line per link")] = False,
) -> None:
    """Print each link of the chain: run, source, data set, base, commits, adapter, answers, scores, reports."""
    log.setup()
    environment = read_environment()

    def show(link: Link) -> None:
        if as_json:
            typer.echo(log.to_json(asdict(link)))
        else:
            message = f"  {link.message}" if link.message else ""
            typer.echo(log.printable(f"{link.status:8} {link.key}{message}"))

    def action() -> None:
        store = open_store(environment.store)
        name = run.strip()
        require_run(store, name)
        links = verify(store, name, deep=deep, on_link=show)
        log.event(f"run {name} verifies", links=require_sound(name, links))

    sys.exit(guarded(action, debug=environment.debug))


if __name__ == "__main__":
    typer.run(main)
