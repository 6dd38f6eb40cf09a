"""Compare finished runs in one report: `python -m jobs.compare [--runs "ID ID"] [--out FOLDER]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fingpt.config import split_names
from fingpt.report.chosen import chosen_texts, finished_runs, newest_runs
from fingpt.storage import ObjectStore
from jobs.page import print_page


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

    def make(store: ObjectStore, folder: Path | None) -> object:
        shown = chosen_texts(texts)
        named = split_names(runs, "RUNS") or newest_runs(store)
        finished_runs(store, named)
        from fingpt.report.compare import compare  # loads for seconds, so that typos come before

        return compare(store, named, folder, shown)

    print_page(out, make)


if __name__ == "__main__":
    typer.run(main)
