"""Score answers that another system made: `python -m jobs.score --answers FILE --data SOURCE --out FOLDER`.

Answers (columns symbol, period, prediction) are matched to the test rows of SOURCE, which may be anything that a run's
DATA may be, and go through the same parsers and metrics as the eval stage; scores.json appears whole or not at all.
What a report would say of them (intervals, trivial forecasts, skill, leaks, power) is printed, and in verdicts.json.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fingpt import log
from fingpt.config import local_path, read_environment
from fingpt.errors import ConfigError
from fingpt.runs.stage import guarded
from fingpt.storage import open_store

if TYPE_CHECKING:
    from fingpt.eval.external import Matched
    from fingpt.report.alone import Alone


def score(
    answers: Annotated[
        str,
        typer.Option(envvar="FINGPT_ARG_ANSWERS", help="File with symbol, period and prediction."),
    ] = "",
    data: Annotated[
        str,
        typer.Option(
            envvar="FINGPT_ARG_DATA", help="Source with test rows of the published schema."
        ),
    ] = "",
    out: Annotated[
        str,
        typer.Option(envvar="FINGPT_ARG_OUT", help="Folder that scores.json is written to."),
    ] = "",
) -> None:
    """Score ANSWERS against the test rows of DATA and write OUT/scores.json."""
    log.setup()

    def act() -> None:
        if not all(text.strip() for text in (answers, data, out)):
            raise ConfigError(
                "Scoring needs all three: make score ANSWERS=file.parquet DATA=folder OUT=folder."
            )
        from fingpt.eval.external import read_matched, score_pairs, write_scores

        with tempfile.TemporaryDirectory(prefix="fingpt-") as scratch:
            store = open_store(read_environment().store)
            matched = read_matched(local_path(answers), data, store, Path(scratch))
            scores = score_pairs([one.pair for one in matched], Path(scratch))
        judged = judge(matched)
        if judged is not None:
            write_scores(judged.model_dump(mode="json"), local_path(out), "verdicts.json")
        path = write_scores(scores, local_path(out))
        _show(scores, path)
        _tell(judged)

    sys.exit(guarded(act))


def judge(matched: list[Matched]) -> Alone | None:
    """What a report would say of the answers; None where a row is none of the published schema."""
    from fingpt.eval.external import forecasts
    from fingpt.prep.importer import normalize
    from fingpt.prep.lint import lint
    from fingpt.report.alone import alone
    from fingpt.rows.raw_rows import RawRow, Reject

    rows = [
        normalize(RawRow("test", "test", line, {"prompt": "", **one.values}))
        for line, one in enumerate(matched, start=1)
    ]
    examples = [row for row in rows if not isinstance(row, Reject)]
    if len(examples) < len(rows):
        return None
    return alone(
        examples, *forecasts([one.pair for one in matched]), findings=lint({"test": examples})
    )


def _tell(judged: Alone | None) -> None:
    from fingpt.report.alone import told

    lines = ["no verdicts: they need the prompts and the periods of the published schema"]
    for line in lines if judged is None else told(judged):
        typer.echo(log.printable(line))


def _show(scores: dict[str, dict[str, Any]], path: Path) -> None:
    table = Table()
    table.add_column("")
    for name in scores:
        table.add_column(name.replace("_", " "), justify="right")
    for name in ("n", "parsed", "valid", "binary_accuracy", "accuracy_all", "mse", "mse_all"):
        table.add_row(name, *(_cell(one[name]) for one in scores.values()))
    for section in ("pros", "cons", "analysis"):
        for kind in ("rouge1", "rouge2", "rougeL"):
            cells = (one["rouge"][section][kind] for one in scores.values())
            table.add_row(f"{section} {kind}", *map(_cell, cells))
    console = Console()
    console.print(table)
    typer.echo(f"written to {path}")


def _cell(value: object) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    typer.run(score)
