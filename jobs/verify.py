"""Re-hash all that a run's results rest on: `python -m jobs.verify --run ID [--deep]`.

`--sweep ID` or `--ledger NAME` instead of a run.

Exit 0, 74 where something is damaged, 66 where something is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import read_environment
from fingpt.errors import ConfigError
from fingpt.runs.stage import guarded
from fingpt.runs.state import require_run
from fingpt.runs.verify import Link, require_sound, verify
from fingpt.storage import ObjectStore, open_store


def main(
    run: Annotated[str, typer.Option(envvar="FINGPT_ARG_RUN", help="run id")] = "",
    ledger: Annotated[
        str, typer.Option(envvar="FINGPT_ARG_LEDGER", help="name of a ledger, instead of a run")
    ] = "",
    sweep: Annotated[
        str, typer.Option(envvar="FINGPT_ARG_SWEEP", help="id of a sweep, instead of a run")
    ] = "",
    deep: Annotated[bool, typer.Option(help="hash the base weights' files too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line per link")] = False,
) -> None:
    """Print each link of the chain: run, source, data set, base, commits, adapter, answers, scores, reports.

    Of a ledger: its beginning, entries, forecasts and scores.
    """
    log.setup()

    def show(link: Link) -> None:
        if as_json:
            typer.echo(log.to_json(asdict(link)))
        else:
            message = f"  {link.message}" if link.message else ""
            typer.echo(log.printable(f"{link.status:8} {link.key}{message}"))

    def action() -> None:
        environment = read_environment()
        store = open_store(environment.store)
        name = run.strip()
        named = {"RUN=": name, "LEDGER=": ledger.strip(), "SWEEP=": sweep.strip()}
        if len(given := [word for word, text in named.items() if text]) > 1:
            raise ConfigError(f"{' and '.join(given)} are both named; verify one of them.")
        if ledger.strip():
            log.event(**_ledger(store, ledger.strip(), show))
            return
        if sweep.strip():
            from fingpt.sweeps.verify import verify_sweep

            links = verify_sweep(store, sweep.strip(), show)
            counts = require_sound(sweep.strip(), links, kind="Sweep")
            log.event(f"sweep {sweep.strip()} verifies", links=counts)
            return
        require_run(store, name)
        links = verify(store, name, deep=deep, on_link=show)
        log.event(f"run {name} verifies", links=require_sound(name, links))

    sys.exit(guarded(action))


def _ledger(store: ObjectStore, name: str, show: Callable[[Link], None]) -> dict[str, str]:
    """Verify a ledger; what to say of it: the numbers of its links, and the heads that one may keep elsewhere."""
    from fingpt.ledger.verify import heads, require_sound_ledger, verify_ledger

    links = verify_ledger(store, name, on_link=show)
    counts = require_sound_ledger(name, links)
    return {"name": f"ledger {name} verifies", "links": counts, "heads": heads(store, name)}


if __name__ == "__main__":
    typer.run(main)
