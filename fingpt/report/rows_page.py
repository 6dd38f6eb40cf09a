"""rows.html: every test row with what was asked, answered and realised. One file, no network.

The table is plain HTML and complete without scripts. A small script adds filters, sorting and the long texts, which
are embedded compressed: 300 published prompts are 2 MB as text. Its hash stands in the page's content policy, so no
text of a row can ever run as code.
"""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
import math
from collections.abc import Sequence

from markupsafe import Markup

from fingpt.report.charts_rows import outcome_maps
from fingpt.report.charts_style import COLOURS, GLYPHS
from fingpt.report.chosen import Texts
from fingpt.report.formatting import number
from fingpt.report.render import page_template, source
from fingpt.report.rows import RowEntry


def render_rows(
    entries: Sequence[RowEntry], titles: Sequence[str], report: str, texts: Texts, warning: str = ""
) -> dict[str, bytes]:
    """`rows.html` and `rows.csv` of a report with that id; `titles` name the models, `warning` stands on top."""
    script = source("rows.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = page_template("rows.html.jinja").render(
        rows=[_cells(entry) for entry in entries],
        titles=titles,
        maps=outcome_maps(entries, titles),
        marks=list(zip(COLOURS, GLYPHS, strict=True)),
        report=report,
        texts=texts,
        warning=warning,
        symbols=sorted({entry.symbol for entry in entries}),
        weeks=sorted({entry.week for entry in entries}),
        probabilities=any(m.up is not None for entry in entries for m in entry.models),
        css=Markup(source("report.css") + source("rows.css")),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704 - our own file
        digest=digest,
        packed="" if texts is Texts.NONE else packed_texts(entries),
    )
    return {"rows.html": page.encode(), "rows.csv": rows_csv(entries, titles)}


def packed_texts(entries: Sequence[RowEntry]) -> str:
    """Base64 of gzip of JSON: per row the prompt, the reference answer, and each model's answer and its base's."""
    texts = [
        [row.prompt, row.reference, [[m.answer, m.base_answer] for m in row.models]]
        for row in entries
    ]
    data = json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(data, compresslevel=9, mtime=0)).decode()


def rows_csv(entries: Sequence[RowEntry], titles: Sequence[str]) -> bytes:
    """The table as CSV in UTF-8, numbers unrounded, without the long texts."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(
        ["week", "symbol", "happened"]
        + [
            f"{title}: {name}"
            for title in titles
            for name in ("forecast", "right", "error in points", "probability up")
        ]
    )
    for entry in entries:
        cells: list[object] = [entry.week, entry.symbol, entry.happened]
        for model in entry.models:
            right = "" if model.right is None else int(model.right)
            error = "" if math.isnan(model.error) else model.error
            cells += [model.label, right, error, "" if model.up is None else model.up]
        writer.writerow([_inert(cell) for cell in cells])
    return sink.getvalue().encode()


def _inert(cell: object) -> object:
    """Text that a spreadsheet would run as a formula gets an apostrophe in front."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell


def _cells(entry: RowEntry) -> dict[str, object]:
    return {
        "symbol": entry.symbol,
        "week": entry.week,
        "happened": entry.happened,
        "outcome": entry.outcome,
        "models": [
            {
                "label": model.label,
                "right": model.direction,
                "error": number(None if math.isnan(model.error) else model.error, 1),
                "up": number(None if model.up is None else 100 * model.up, 0),
                "error_order": -1 if math.isnan(model.error) else model.error,
                "up_order": -1 if model.up is None else model.up,
            }
            for model in entry.models
        ],
    }
