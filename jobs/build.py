"""Build rows of own symbols: `python -m jobs.build --symbols "AAPL MSFT" --first 2025-01-01 --last 2026-10-30`.

Raw data come from a folder of files (DATA) or from what a SOURCES file names, and are kept in the store; the rows rest
on them alone, go through the leak linter, and appear under `built/<id>/` whole or not at all. A repeated command says
that they are there.
"""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import argument, read_environment, split_words
from fingpt.errors import ConfigError
from fingpt.runs.signals import interrupt_on_signals
from fingpt.runs.stage import guarded
from fingpt.storage import open_store

_EXAMPLE = 'make build SYMBOLS="AAPL MSFT" FROM=2025-01-01 TO=2026-10-30 DATA=folder'


def main(
    symbols: Annotated[str, typer.Option(envvar="FINGPT_ARG_SYMBOLS", help='"AAPL MSFT"')] = "",
    first: Annotated[str, typer.Option(envvar="FINGPT_ARG_FROM", help="YYYY-MM-DD")] = "",
    last: Annotated[str, typer.Option(envvar="FINGPT_ARG_TO", help="YYYY-MM-DD")] = "",
    sources: Annotated[
        str, typer.Option(envvar="FINGPT_ARG_SOURCES", help="a YAML file of sources and features")
    ] = "",
    data: Annotated[str, typer.Option(envvar="FINGPT_ARG_DATA", help="a folder of files")] = "",
) -> None:
    """Build a data set and print its address."""
    log.setup()

    def action() -> None:
        environment = read_environment()
        chosen = asked_symbols(symbols)
        span = _day(first, "FROM"), _day(last, "TO")
        if span[0] >= span[1]:
            raise ConfigError(f"FROM={first} is not before TO={last}: {_EXAMPLE}.")
        from fingpt.built.build import build
        from fingpt.built.dataset import address
        from fingpt.sources.selection import load_selection

        store = open_store(environment.store)
        with interrupt_on_signals():
            built = build(store, load_selection(sources, data), chosen, span)
        typer.echo(address(store, built.id))

    sys.exit(guarded(action))


def asked_symbols(text: str) -> tuple[str, ...]:
    """The symbols of SYMBOLS in order, each once; ConfigError for none, or for what is none."""
    from fingpt.sources.symbols import checked_symbols

    for name in ("SYMBOL", "WATCHLIST"):
        if argument(name).strip():
            raise ConfigError(f"{name} is for make forecast; build takes SYMBOLS: {_EXAMPLE}.")
    words = split_words(text, "SYMBOLS")
    if not words:
        raise ConfigError(f"SYMBOLS names no symbol: {_EXAMPLE}.")
    return tuple(sorted(checked_symbols(words, "SYMBOLS")))


def _day(text: str, name: str) -> date:
    try:
        found = date.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"{name}={text[:40]!r} is no day; write YYYY-MM-DD, as in {_EXAMPLE}."
        ) from None
    if found > datetime.now(UTC).date():
        raise ConfigError(f"{name}={text} lies in the future; rows need weeks that are over.")
    return found


if __name__ == "__main__":
    typer.run(main)
