"""Compare finished runs: read them, compose and render the report, store it, and write a copy to a local folder.

The report's id is a hash of its content, so comparing the same runs again finds the same report.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fingpt import log
from fingpt.report.chosen import Texts
from fingpt.report.compose import compose
from fingpt.report.inputs import read_runs
from fingpt.report.render import render, report_id
from fingpt.report.rows import read_answers, row_entries
from fingpt.report.rows_page import render_rows
from fingpt.runs.manifest import ReportManifest, encode
from fingpt.runs.run import report_prefix
from fingpt.storage import ObjectStore, put


def compare(
    store: ObjectStore,
    runs: Sequence[str],
    out: Path | None = None,
    texts: Texts = Texts.ALL,
) -> Path:
    """Write the report on `runs` and return the path of report.html.

    `texts`: which texts the page of rows may show.

    Files go to `reports/<id>/` in the store, manifest last, and to the folder `out` (default `./reports/<id>`).
    """
    log.event("compare", runs=" ".join(runs))
    reading = read_runs(store, runs)
    report = compose(
        reading.sides, reading.test, reading.train, reading.inputs, reading.openings, texts
    )
    rendered = render(report)
    name = report_id(rendered)
    answers = [read_answers(store, side, reading.inputs) for side in reading.sides]
    entries = row_entries(reading.sides, answers, reading.test, texts)
    titles = [side.title for side in reading.sides]
    rendered |= render_rows(entries, titles, name, texts, report.watermark)
    for warning in report.warnings:
        log.warning(warning)
    log.event(report.title)
    prefix = report_prefix(name)
    files = tuple(put(store, f"{prefix}/{file}", data) for file, data in sorted(rendered.items()))
    manifest = ReportManifest(id=name, runs=tuple(runs), inputs=reading.inputs, files=files)
    put(store, f"{prefix}/manifest.json", encode(manifest))
    return _copy(rendered, out or Path.cwd() / "reports" / name)


def _copy(rendered: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in rendered.items():
        (folder / file).write_bytes(data)
    return folder / "report.html"
