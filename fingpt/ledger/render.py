"""A LedgerPage → ledger.html (one file, no network, no scripts), ledger.md and ledger.json. Pure: bytes out."""

from __future__ import annotations

import json
from collections.abc import Sequence

from markupsafe import Markup

from fingpt.ledger.charts import ledger_charts, model_titles
from fingpt.ledger.document import LedgerPage, Role
from fingpt.ledger.headline import capital
from fingpt.report.charts_style import COLOURS, GLYPHS, Chart
from fingpt.report.render import csv_link, embeddable, page_template, source

ROOM = "fingpt.ledger"


def render(page: LedgerPage) -> dict[str, bytes]:
    """File name → bytes of the three forms."""
    charts = ledger_charts(page)
    data = json.dumps(page.model_dump(mode="json"), ensure_ascii=False, indent=1, allow_nan=False)
    return {
        "ledger.html": _text("ledger.html.jinja", page, charts, data).encode(),
        "ledger.md": _text("ledger.md.jinja", page, charts, data).encode(),
        "ledger.json": data.encode() + b"\n",
    }


def _text(template: str, page: LedgerPage, charts: Sequence[Chart], data: str) -> str:
    css = source("report.css") + source("ledger.css", ROOM)
    models = [one for one in page.standings if one.role is not Role.TRIVIAL]
    return page_template(template, ROOM).render(
        capital=capital,
        page=page,
        models=models,
        titles=model_titles(page),
        charts=charts,
        colours=COLOURS,
        glyphs=GLYPHS,
        csv_of=csv_link,
        css=Markup(css),  # noqa: S704 - our own files
        embedded=Markup(embeddable(data)),  # noqa: S704 - escaped for a script element
    )
