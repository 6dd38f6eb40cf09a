"""A SweepReport → sweep.html (one file, no network, no scripts), sweep.md and sweep.json. Pure: bytes out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random

from markupsafe import Markup

from fingpt.record import canonical_json, sha256_bytes
from fingpt.report.charts_style import COLOURS, GLYPHS, Chart
from fingpt.report.render import csv_link, embeddable, page_template, source
from fingpt.sweeps.report.charts_space import coordinates_chart, importance_chart, value_chart
from fingpt.sweeps.report.charts_trials import lead_chart, progress_chart, spent_chart, time_chart
from fingpt.sweeps.report.document import StudyReport, SweepReport, TrialLine
from fingpt.sweeps.report.sentences import described, facts

ROOM = "fingpt.sweeps.report"
MOST_DRAWN = 500
"""Trials of a study that its charts draw: more can neither be told apart nor be opened by a browser in seconds."""

MOST_LISTED = 200
"""Trials that were pruned or failed, and records that were read, which the page lists one by one."""

PAGES = {"sweep.html": "sweep.html.jinja", "sweep.md": "sweep.md.jinja"}


def render(report: SweepReport) -> dict[str, bytes]:
    """File name → bytes of the three forms. The report gets its id here: a hash of content, charts and templates."""
    shown = drawn(report)
    charts = sweep_charts(shown)
    looks = [source(name, ROOM) for name in (*PAGES.values(), "sweep.css")]
    pictures = [str(chart.svg) for chart in charts]
    parts = [report.model_dump(mode="json"), pictures, looks, source("report.css")]
    identity = {"id": sha256_bytes(canonical_json(parts))[:16]}
    named, page = report.model_copy(update=identity), shown.model_copy(update=identity)
    pages = {
        file: _text(template, (named, page), charts).encode() for file, template in PAGES.items()
    }
    return {**pages, "sweep.json": _json(named).encode() + b"\n"}


def drawn(report: SweepReport) -> SweepReport:
    """The report with no more trials and records than a page can show; the very same where there are few."""
    notes = []
    studies = []
    for study in report.studies:
        kept = _kept(study)
        studies.append(study.model_copy(update={"trials": kept}))
        if len(kept) < len(study.trials):
            notes.append(
                f"{study.title}: the charts draw {len(kept)} of {len(study.trials)} trials, those that were the best "
                "when they ended, the best of all, and others by lot. sweep.json has all of them."
            )
    few = len(report.inputs) <= MOST_LISTED or not notes
    return report.model_copy(
        update={
            "studies": tuple(studies),
            "skipped": (*report.skipped, *notes),
            "inputs": report.inputs if few else {},
        }
    )


def _kept(study: StudyReport) -> tuple[TrialLine, ...]:
    if len(study.trials) <= MOST_DRAWN:
        return study.trials
    numbers = {*study.best}
    best = float("inf")
    for trial in sorted(study.trials, key=lambda one: (one.ended or 0.0, one.number)):
        if trial.state == "complete" and trial.value is not None and trial.value < best:
            best = trial.value
            numbers.add(trial.number)
    # Every so many-th trial of a grid has the same value of its fastest parameters, so others are drawn by lot.
    numbers |= {*Random(0).sample([trial.number for trial in study.trials], MOST_DRAWN)}
    return tuple(trial for trial in study.trials if trial.number in numbers)


def _json(report: SweepReport) -> str:
    return json.dumps(report.model_dump(mode="json"), ensure_ascii=False, indent=1, allow_nan=False)


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


def _text(template: str, reports: tuple[SweepReport, SweepReport], charts: Sequence[Chart]) -> str:
    """`reports`: the whole one, and the one that is shown, which the page carries as data too."""
    whole, shown = reports
    css = source("report.css") + source("sweep.css", ROOM)
    return page_template(template, ROOM).render(
        report=whole.model_copy(update={"skipped": shown.skipped, "inputs": shown.inputs}),
        records=len(whole.inputs),
        most_listed=MOST_LISTED,
        charts=charts,
        best_trials=best_trials,
        early=early,
        described=described,
        facts=facts(whole.studies),
        colours=COLOURS,
        glyphs=GLYPHS,
        csv_of=csv_link,
        css=Markup(css),  # noqa: S704 - our own files
        embedded=Markup(embeddable(_json(shown))),  # noqa: S704 - escaped for a script element
    )
