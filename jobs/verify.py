"""Re-hash all that a run's results rest on: `python -m jobs.verify --run ID [--deep]`; exit 0, 74 or 66."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import read_environment
from fingpt.errors import MissingInputError, StorageError
from fingpt.runs.ledger import require_run
from fingpt.runs.stage import guarded
from fingpt.runs.verify import Link, LinkStatus, exit_code, verify
from fingpt.storage import open_store


def main(
    run: Annotated[str, typer.Option(help="run id")],
    deep: Annotated[bool, typer.Option(help="hash the base weights' files too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line per link")] = False,
) -> None:
    """Print each link of the chain: run, source, data set, base, commits, adapter, answers, scores, reports."""
    log.setup()
    environment = read_environment()

    def say(link: Link) -> None:
        if as_json:
            typer.echo(json.dumps(asdict(link), ensure_ascii=False))
        else:
            typer.echo(f"{link.status:8} {link.key}{f'  {link.message}' if link.message else ''}")

    def action() -> None:
        store = open_store(environment.store)
        require_run(store, run)
        links = verify(store, run, deep=deep, say=say)
        count = {status: sum(link.status is status for link in links) for status in LinkStatus}
        words = ", ".join(f"{number} {status}" for status, number in count.items() if number)
        code = exit_code(links)
        if code == StorageError.exit_code:
            raise StorageError(
                f"Run {run} does not verify: {words}; the damaged objects are named above."
            )
        if code:
            raise MissingInputError(f"Run {run} is not whole: {words}; what lacks is named above.")
        log.event(f"run {run} verifies", links=words)

    sys.exit(guarded(action, debug=environment.debug))


if __name__ == "__main__":
    typer.run(main)
