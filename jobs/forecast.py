"""Forecast with finished runs: `python -m jobs.forecast ask | answer | week-request | week-answer`.

`ask` is `make forecast`: the request is made here, from what was known at a close, and answered here (`--mode local`,
or a store in a folder) or by a Job, which runs `answer`. The chart's weekly job calls `week-request`, where the data
sources are, and then `week-answer`, which starts the Jobs.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import Environment, read_environment, split_names
from fingpt.errors import ConfigError, DataError, FingptError, Interrupted, MissingInputError
from fingpt.runs.backend import Mode, require_one_mode
from fingpt.runs.signals import interrupt_on_signals
from fingpt.runs.stage import guarded, load_run, locate
from fingpt.storage import ObjectStore, open_store

app = typer.Typer(add_completion=False, no_args_is_help=True)

Runs = Annotated[str, typer.Option(envvar="FINGPT_ARG_RUNS", help="run ids")]
Symbols = Annotated[str, typer.Option(envvar="FINGPT_ARG_SYMBOLS", help='several, "AAPL MSFT"')]
Watchlist = Annotated[
    str, typer.Option(envvar="FINGPT_ARG_WATCHLIST", help="a file with a symbol a line")
]


@app.command("ask")
def ask_command(
    run: Annotated[str, typer.Option(envvar="FINGPT_ARG_RUN", help="run id")] = "",
    symbol: Annotated[str, typer.Option(envvar="FINGPT_ARG_SYMBOL", help="one symbol")] = "",
    symbols: Symbols = "",
    watchlist: Watchlist = "",
    mode: Annotated[Mode, typer.Option(help="how to carry it out")] = Mode.SUBMIT,
) -> None:
    """Ask a run for the week after a close, keep the record, and print it; the same command prints the same record."""

    def action(store: ObjectStore, environment: Environment) -> None:
        from fingpt.forecast.request import named_symbols

        require_one_mode(mode)
        named = named_symbols(symbol, symbols, watchlist)
        _ask(store, run.strip(), named, mode, environment)

    _run(action)


@app.command("answer")
def answer_command(
    request: Annotated[str, typer.Argument(help="its key in the store")],
    run: Annotated[str, typer.Option(help="<store>/runs/<id>/run.json")],
    sha256: Annotated[str, typer.Option(help="the run's whole hash")] = "",
) -> None:
    """Answer a request that is in the store: what the pod of a forecast does."""

    def action(_: ObjectStore, environment: Environment) -> None:
        with interrupt_on_signals():
            _answer(run, sha256, request, environment)

    _run(action)


@app.command("week-request")
def week_request_command(symbols: Symbols = "", watchlist: Watchlist = "") -> None:
    """Make the request of the week that is over, and of weeks that were missed."""

    def action(store: ObjectStore, _: Environment) -> None:
        from fingpt.forecast.request import named_symbols

        _request_weeks(store, named_symbols("", symbols, watchlist))

    _run(action)


@app.command("week-answer")
def week_answer_command(runs: Runs = "") -> None:
    """Let every run answer the requests of the last weeks that it has not answered."""
    _run(lambda store, site: _answer_weeks(store, split_names(runs, "RUNS"), site))


def _run(action: Callable[[ObjectStore, Environment], None]) -> None:
    log.setup(stage="forecast")

    def act() -> None:
        environment = read_environment()
        action(open_store(environment.store), environment)

    sys.exit(guarded(act))


def _ask(
    store: ObjectStore, run_id: str, symbols: list[str], mode: Mode, environment: Environment
) -> None:
    """What a person asks for: one close, one run."""
    from fingpt.forecast.ready import ready_run

    run = ready_run(store, run_id)  # before anything heavy loads
    from fingpt.forecast.inputs import open_inputs
    from fingpt.forecast.place import open_place, planned
    from fingpt.forecast.record import find_records, keep_request
    from fingpt.forecast.render import render

    with _raw_store(store, mode) as raw:
        inputs = open_inputs(raw)
        request = inputs.request(symbols, inputs.close(datetime.now(UTC)))
    if mode is Mode.DRY_RUN:
        typer.echo(planned(run, request, store, environment.namespace), nl=False)
        return
    keep_request(store, request)
    known = set(find_records(store, run.id, request))
    for record in open_place(store, mode, environment).answer(run, request):
        for line in render(record):
            typer.echo(line)
        again = "made before, nothing was computed" if record.symbol in known else "kept"
        typer.echo(f"{again}: {store.uri}/{record.key}\n")
    _require_all(request.refused)


@contextmanager
def _raw_store(store: ObjectStore, mode: Mode) -> Iterator[ObjectStore]:
    """Where data of sources are kept: the store, but for a dry run, which leaves nothing."""
    if mode is not Mode.DRY_RUN:
        yield store
        return
    with tempfile.TemporaryDirectory(prefix="fingpt-") as scratch:
        yield open_store(Path(scratch).as_uri())


def _require_all(refused: dict[str, str]) -> None:
    """Raise after everything else is done: MissingInputError when no source knows the refused, else DataError."""
    from fingpt.sources.symbols import NO_PRICES

    if refused:
        absent = all(why.startswith(NO_PRICES) for why in refused.values())
        kind = MissingInputError if absent else DataError
        told = " ".join(f"{symbol}: {why}" for symbol, why in refused.items())
        raise kind(f"{len(refused)} of the symbols were not forecast. {told}")


def _answer(uri: str, sha256: str, key: str, environment: Environment) -> None:
    """What the pod of a forecast does."""
    from fingpt.forecast.record import read_request

    store, run_id = locate(uri)
    run = load_run(store, run_id, sha256)
    log.setup(stage="forecast", run=run.id)
    request = read_request(store, key)  # before anything heavy loads
    from fingpt.forecast.answer import answer

    records = answer(store, run, request, environment)
    log.event("complete", records=len(records))


def _request_weeks(store: ObjectStore, symbols: list[str]) -> None:
    """Make the requests that this week and missed ones lack."""
    from fingpt.forecast.inputs import open_inputs
    from fingpt.forecast.weeks import ask_weeks

    inputs = open_inputs(store)
    made = ask_weeks(
        store, inputs.exchange, datetime.now(UTC), lambda close: inputs.request(symbols, close)
    )
    if not made:
        log.event("every week that is over has its request, nothing to do")


def _answer_weeks(store: ObjectStore, runs: list[str], environment: Environment) -> None:
    """Let every run answer every week; one that fails does not keep the others from it, and is raised at the end."""
    if not runs:
        raise ConfigError('No run is named; give RUNS="id id", or forecast.runs in the chart.')
    from fingpt.cluster.follow import unpullable
    from fingpt.forecast.inputs import open_inputs
    from fingpt.forecast.place import open_place
    from fingpt.forecast.ready import ready_run
    from fingpt.forecast.weeks import await_request, requests_of_weeks

    await_request(store, open_inputs(store).exchange, datetime.now(UTC))
    place = open_place(store, Mode.SUBMIT, environment, gives_up=unpullable)
    faults: list[FingptError] = []
    for request in requests_of_weeks(store, datetime.now(UTC)):
        for run_id in runs:
            try:
                place.answer(ready_run(store, run_id), request)
            except Interrupted:
                raise
            except FingptError as fault:
                log.warning(str(fault), run=run_id, close=str(request.as_of.date()))
                faults.append(fault)
    if faults:
        raise faults[0]


if __name__ == "__main__":
    app()
