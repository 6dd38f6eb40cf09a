"""A LedgerPage → ledger.html (one file, no network, no scripts), ledger.md and ledger.json. Pure: bytes out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup

from fingpt.ledger.charts import ledger_charts, model_titles
from fingpt.ledger.document import LedgerPage, Role
from fingpt.ledger.headline import capital
from fingpt.report import formatting
from fingpt.report.charts_style import COLOURS, GLYPHS, Chart
from fingpt.report.render import cell, csv_link, embeddable
from fingpt.report.render import source as report_source


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
    css = report_source("report.css") + _source("ledger.css")
    models = [one for one in page.standings if one.role is not Role.TRIVIAL]
    return (
        _environment(html=template.endswith(".html.jinja"))
        .get_template(template)
        .render(
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
    )


def _source(name: str) -> str:
    """One of the packaged templates as text."""
    return (files("fingpt.ledger") / "templates" / name).read_text(encoding="utf-8")


@cache
def _environment(*, html: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=html,  # noqa: S701 - the other form is Markdown, escaped by `cell`
        finalize=None if html else cell,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    for name in ("number", "interval", "percent"):
        environment.filters[name] = getattr(formatting, name)
    environment.filters["capital"] = capital
    return environment
