"""A Report → report.html (one file, no network, no scripts), report.md and report.json. Pure: bytes out.

Every text is escaped by the template engine; the embedded JSON can hold no `<`, so no content can end its element.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from fingpt.record import canonical_json, sha256_bytes
from fingpt.report import formatting
from fingpt.report.charts_probabilities import cutoff_chart, probability_charts
from fingpt.report.charts_run import loss_curves, run_times, speeds
from fingpt.report.charts_scores import score_charts
from fingpt.report.charts_style import COLOURS, GLYPHS, Chart, marked
from fingpt.report.document import Report
from fingpt.report.glossary import load_glossary
from fingpt.report.headline import SKILLS, scope
from fingpt.report.power import statement

_SOURCES = (
    *("report.html.jinja", "report.md.jinja", "lines.md.jinja", "report.css"),
    *("rows.html.jinja", "rows.css", "rows.js"),
)
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def render(report: Report) -> dict[str, bytes]:
    """File name → bytes of the three forms. The report gets its id here: a hash of content, charts and templates."""
    titles = [model.title for model in report.models]
    charts = [
        marked(chart, report.watermark)
        for chart in (
            *score_charts(report),
            *probability_charts(report.reliability, titles),
            loss_curves(report),
            speeds(report),
            run_times(report),
            cutoff_chart(report.cutoffs),
        )
        if chart is not None
    ]
    drawn = [str(chart.svg) for chart in charts]
    content = canonical_json(
        [report.model_dump(mode="json"), drawn, [source(name) for name in _SOURCES]]
    )
    named = report.model_copy(update={"id": sha256_bytes(content)[:16]})
    data = json.dumps(named.model_dump(mode="json"), ensure_ascii=False, indent=1, allow_nan=False)
    return {
        "report.html": _page("report.html.jinja", named, charts, data).encode(),
        "report.md": _page("report.md.jinja", named, charts, data).encode(),
        "report.json": data.encode() + b"\n",
    }


def pairs_of(report: Report) -> list[tuple[int, int]]:
    """The numbers of the models that each comparison of a line is about."""
    return [(comparison.first, comparison.second) for comparison in report.table[0].comparisons]


def report_id(rendered: dict[str, bytes]) -> str:
    """The id that `render` gave."""
    return str(json.loads(rendered["report.json"])["id"])


def _page(template: str, report: Report, charts: Sequence[Chart], data: str) -> str:
    text = page_template(template)
    order = ("accuracy", "mse")
    return text.render(
        report=report,
        titles=[model.title for model in report.models],
        scored=[next(line for line in report.table if line.key == key) for key in order],
        pairs=pairs_of(report),
        scope=scope(report.asked),
        power=statement(report.power),
        skill_names=SKILLS,
        charts=charts,
        colours=COLOURS,
        glyphs=GLYPHS,
        csv_of=csv_link,
        words=load_glossary(),
        css=Markup(source("report.css")),  # noqa: S704 - our own file
        embedded=Markup(embeddable(data)),  # noqa: S704 - escaped for a script element
    )


def csv_link(chart: Chart) -> str:
    """The chart's data as CSV in a `data:` address, for a download that needs neither network nor script."""
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows([chart.header, *chart.rows])
    return f"data:text/csv;charset=utf-8,{quote(sink.getvalue())}"


def embeddable(text: str) -> str:
    """JSON text that is the same value and can stand inside an HTML script element."""
    for character, escape in _UNSAFE.items():
        text = text.replace(character, escape)
    return text


def cell(text: object) -> str:
    """Text for a Markdown table or line: marks that Markdown or HTML would obey are escaped, line breaks removed."""
    plain = " ".join(str(text).split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>|" else c for c in plain)


def page_template(name: str, room: str = "fingpt.report") -> jinja2.Template:
    """One of the packaged templates of a room, escaping for HTML or for Markdown by its name."""
    return _environment(room, html=name.endswith(".html.jinja")).get_template(name)


def source(name: str, room: str = "fingpt.report") -> str:
    """One of the packaged templates of a room as text."""
    return (files(room) / "templates" / name).read_text(encoding="utf-8")


@cache
def _environment(room: str, *, html: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: source(name, room)),
        autoescape=html,  # noqa: S701 - the other form is Markdown, escaped by `cell`
        finalize=None if html else cell,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    for name in ("number", "interval", "value", "spread", "unit", "percent", "p_value"):
        environment.filters[name] = getattr(formatting, name)
    return environment
