"""Compare finished runs in one report: `python -m jobs.compare [--runs "ID ID"] [--out FOLDER]`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import local_path, read_environment, split_words
from fingpt.report.chosen import chosen_texts, finished_runs, newest_runs
from fingpt.runs.stage import guarded
from fingpt.storage import open_store


def main(
    runs: Annotated[
        str,
        typer.Option(
            envvar="FINGPT_ARG_RUNS",
            help="run ids, the first is the reference; default: newest of each model",
        ),
    ] = "",
    out: Annotated[
        str,
        typer.Option(envvar="FINGPT_ARG_OUT", help="folder of the copy; default: ./reports/<id>"),
    ] = "",
    texts: Annotated[
        str,
        typer.Option(
            envvar="FINGPT_ARG_TEXTS",
            help="of prompts and answers in rows.html: all, without-news, none",
        ),
    ] = "",
) -> None:
    """Write report.html, rows.html, report.md and report.json on finished runs, and print where the page is."""
    log.setup()
    environment = read_environment()

    def action() -> None:
        folder = local_path(out) if out.strip() else None
        shown = chosen_texts(texts)
        store = open_store(environment.store)
        named = split_words(runs, "RUNS") or newest_runs(store)
        finished_runs(store, named)
        from fingpt.report.compare import compare  # loads for seconds, so that typos come before

        typer.echo(compare(store, named, folder, shown))

    sys.exit(guarded(action, debug=environment.debug))


if __name__ == "__main__":
    typer.run(main)
