"""A SweepReport → sweep.html (one file, no network, no scripts), sweep.md and sweep.json. Pure: bytes out."""

from __future__ import annotations

import json
from collections.abc import Sequence

from markupsafe import Markup

from fingpt.record import canonical_json, sha256_bytes
from fingpt.report.charts_style import COLOURS, GLYPHS, Chart
from fingpt.report.render import csv_link, embeddable, page_template, source
from fingpt.sweeps.report.charts_space import coordinates_chart, importance_chart, value_chart
from fingpt.sweeps.report.charts_trials import lead_chart, progress_chart, spent_chart, time_chart
from fingpt.sweeps.report.document import StudyReport, SweepReport, TrialLine
from fingpt.sweeps.report.sentences import described, facts

ROOM = "fingpt.sweeps.report"
PAGES = {"sweep.html": "sweep.html.jinja", "sweep.md": "sweep.md.jinja"}


def render(report: SweepReport) -> dict[str, bytes]:
    """File name → bytes of the three forms. The report gets its id here: a hash of content, charts and templates."""
    charts = sweep_charts(report)
    looks = [source(name, ROOM) for name in (*PAGES.values(), "sweep.css")]
    drawn = [str(chart.svg) for chart in charts]
    content = canonical_json([report.model_dump(mode="json"), drawn, looks, source("report.css")])
    named = report.model_copy(update={"id": sha256_bytes(content)[:16]})
    data = json.dumps(named.model_dump(mode="json"), ensure_ascii=False, indent=1, allow_nan=False)
    pages = {
        file: _text(template, named, charts, data).encode() for file, template in PAGES.items()
    }
    return {**pages, "sweep.json": data.encode() + b"\n"}


def report_id(rendered: dict[str, bytes]) -> str:
    """The id that `render` gave."""
    return str(json.loads(rendered["sweep.json"])["id"])


def sweep_charts(report: SweepReport) -> list[Chart]:
    """The charts that there is something to draw for, in the page's order."""
    found = [lead_chart(report), importance_chart(report.studies)]
    found += [value_chart(study) for study in report.studies]
    found += [coordinates_chart(study) for study in report.studies]
    found += [time_chart(study, report) for study in report.studies]
    found += [progress_chart(report), spent_chart(report)]
    return [chart for chart in found if chart is not None]


def best_trials(study: StudyReport) -> list[TrialLine]:
    """The trials of the table of the best, the best first."""
    known = {trial.number: trial for trial in study.trials}
    return [known[number] for number in study.best]


def early(study: StudyReport) -> list[TrialLine]:
    """The trials that were pruned or failed, by number."""
    return [trial for trial in study.trials if trial.state in ("pruned", "failed")]


def _text(template: str, report: SweepReport, charts: Sequence[Chart], data: str) -> str:
    css = source("report.css") + source("sweep.css", ROOM)
    return page_template(template, ROOM).render(
        report=report,
        charts=charts,
        best_trials=best_trials,
        early=early,
        described=described,
        facts=facts(report.studies),
        colours=COLOURS,
        glyphs=GLYPHS,
        csv_of=csv_link,
        css=Markup(css),  # noqa: S704 - our own files
        embedded=Markup(embeddable(data)),  # noqa: S704 - escaped for a script element
    )
