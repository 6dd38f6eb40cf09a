"""The ledger of forecasts: `python -m jobs.ledger write | score | page | update | demo`.

`write` and `score` are what the weekly jobs of the chart call; `make ledger` is `update`: write, score, page.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from fingpt import log
from fingpt.config import local_path, read_environment, split_names
from fingpt.runs.stage import guarded
from fingpt.storage import ObjectStore, open_store

if TYPE_CHECKING:
    from fingpt.ledger.chains import Ledger
    from fingpt.ledger.score import OpenMarket

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Name = Annotated[
    str,
    typer.Option("--ledger", envvar="FINGPT_ARG_LEDGER", help="its name; default: the only one"),
]
Runs = Annotated[
    str,
    typer.Option(
        envvar="FINGPT_ARG_RUNS",
        help="run ids, the first one is the champion of a new ledger; default: all that forecast",
    ),
]
Data = Annotated[
    str, typer.Option(envvar="FINGPT_ARG_DATA", help="a folder of files with the prices")
]
Sources = Annotated[
    str, typer.Option(envvar="FINGPT_ARG_SOURCES", help="a YAML file of sources of the prices")
]
Out = Annotated[
    str,
    typer.Option(
        envvar="FINGPT_ARG_OUT", help="folder of the page; default: ./reports/ledger-<name>"
    ),
]


@app.command("write")
def write_command(ledger: Name = "", runs: Runs = "") -> None:
    """Write forecasts that the ledger does not have yet into it; a repeated call adds nothing."""
    _run(lambda store: _write(store, ledger, runs))


@app.command("score")
def score_command(
    ledger: Name = "",
    data: Data = "",
    sources: Sources = "",
    if_begun: Annotated[
        bool, typer.Option(help="a ledger that nothing was written into yet is no error")
    ] = False,
) -> None:
    """Score the weeks that are over; what has no price yet is tried again by a later call."""

    def action(store: ObjectStore) -> None:
        opened = _open_begun(store, ledger) if if_begun else _open(store, ledger)
        prices = _prices(store, sources, data)
        if opened:
            _score(opened, prices)
        else:
            log.event("nothing was written into the ledger yet, so nothing is scored")

    _run(action)


@app.command("page")
def page_command(ledger: Name = "", out: Out = "") -> None:
    """Write ledger.html, ledger.md and ledger.json, and print where the page is."""
    _run(lambda store: _page(_open(store, ledger), out))


@app.command("update")
def update_command(
    ledger: Name = "", runs: Runs = "", data: Data = "", sources: Sources = "", out: Out = ""
) -> None:
    """Write what is new, score what is over where prices are named, and make the page."""

    def action(store: ObjectStore) -> None:
        prices = _prices(store, sources, data) if data.strip() or sources.strip() else None
        _write(store, ledger, runs)
        opened = _open(store, ledger)
        if prices:
            _score(opened, prices)
        else:
            log.event("nothing is scored: DATA= or SOURCES= names the prices of past weeks")
        _page(opened, out)

    _run(action)


@app.command("demo")
def demo_command(out: Out = "") -> None:
    """Live through an invented year, and print where its page is; its store lies beside the page."""

    def action(_: ObjectStore) -> None:
        from fingpt.ledger.simulated import NAME, NOTICE, Year, simulate

        folder = local_path(out) if out.strip() else Path.cwd() / "reports" / "ledger-demo"
        store = folder / "store"
        ledger = simulate(store, Year())
        _page(ledger, str(folder), NOTICE)
        verify = f"make verify LEDGER={NAME} STORE={quote(str(store))}"
        log.event(f"every price and forecast in it is invented; verify it: {verify}")

    _run(action)


def _run(action: Callable[[ObjectStore], None]) -> None:
    log.setup()
    sys.exit(guarded(lambda: action(open_store(read_environment().store))))


def _open_begun(store: ObjectStore, asked: str) -> Ledger | None:
    """The ledger, None before its first entry; the chart's score job comes a day before that."""
    from fingpt.ledger.chains import chosen_name, ledger_names

    name = chosen_name(store, asked, new=True)
    return _open(store, name) if name in ledger_names(store) else None


def _open(store: ObjectStore, asked: str) -> Ledger:
    from fingpt.ledger.chains import chosen_name, open_ledger

    return open_ledger(store, chosen_name(store, asked))


def _write(store: ObjectStore, asked: str, runs: str) -> None:
    from fingpt.ledger.chains import chosen_name
    from fingpt.ledger.write import tell, tell_outside, write

    name = chosen_name(store, asked, new=True)
    done = write(store, name, split_names(runs, "RUNS"), datetime.now(UTC))
    for entry in done.entries:
        tell(entry)
    tell_outside(done)
    log.event(
        f"ledger {name}: entries written",
        written=len(done.entries),
        late_forecasts=done.late,
        weeks_known_before=done.known,
    )


def _prices(store: ObjectStore, sources: str, data: str) -> OpenMarket:
    from fingpt.ledger.market import market_opener

    return market_opener(store, sources, data)


def _score(ledger: Ledger, prices: OpenMarket) -> None:
    from fingpt.ledger.score import score, tell

    done = score(ledger, prices, datetime.now(UTC))
    for one in done.scores:
        tell(one)
    log.event(
        f"ledger {ledger.name}: entries scored",
        scored=len(done.scores),
        to_be_scored_again=done.degraded,
        weeks_not_over=done.waiting,
        final_before=done.final,
    )


def _page(ledger: Ledger, out: str, notice: str = "") -> None:
    from fingpt.ledger.page import make_page

    folder = local_path(out) if out.strip() else None
    typer.echo(make_page(ledger, datetime.now(UTC), folder, notice))


if __name__ == "__main__":
    app()
