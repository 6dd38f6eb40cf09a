"""The charts of trials: over time, best so far, what was spent, default beside tuned. Pure: report in, charts out."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from fingpt.report.charts_style import (
    GREY,
    INK,
    LINE_HEIGHT,
    WIDTH,
    Chart,
    Row,
    by_model,
    draw,
    named,
)
from fingpt.report.formatting import number
from fingpt.sweeps.report.document import StudyReport, SweepReport
from fingpt.sweeps.report.lead import Word

STATE_COLOURS = {
    "complete": "#1f7fc4",
    "pruned": "#a8890b",
    "failed": "#c0392b",
    "under way": GREY,
    "finals": "#2a9d6e",
}
_MINUTES_BELOW = 2.0
"""Hours below which the time axis is in minutes."""


def lead_chart(report: SweepReport) -> Chart | None:
    """Every final's value: the chosen setting and the default, a mark for each seed and a bar at their means."""
    studies = [study for study in report.studies if study.word is not Word.SAME]
    found = [(s, f) for s in studies for f in s.finals if f.value is not None]
    if not found:
        return None
    titles = [study.title for study in report.studies]
    rows: list[Row] = []
    for study, final in found:
        values = [
            f.value for f in study.finals if f.setting == final.setting and f.value is not None
        ]
        mean = sum(values) / len(values)
        rows.append(
            {
                "line": f"{study.title}, {final.setting}",
                "name": f"{study.title}, {final.setting}: {number(mean, 4)}",
                "model": study.title,
                "value": final.value,
                "mean": mean,
            }
        )
    colour, shape = by_model(titles)
    base = alt.Chart(named("rows")).encode(y=alt.Y("line:N", sort=None, axis=None))
    x = alt.X(
        "value:Q",
        title="value on validation rows, nats",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(tickCount=5, format=".3f"),
    )
    text = base.mark_text(align="left", fontSize=12, color=INK, x=0, yOffset=-9)
    chart = alt.layer(
        base.mark_tick(thickness=3, height=18, yOffset=8, color=INK, opacity=0.75).encode(
            x=alt.X("mean:Q")
        ),
        base.mark_point(filled=True, size=80, opacity=0.85, yOffset=8).encode(
            x=x, color=colour, shape=shape
        ),
        text.encode(text="name:N").transform_aggregate(groupby=["line", "name"]),
    )
    lines = len({row["line"] for row in rows})
    return Chart(
        key="lead",
        title="Chosen setting beside the default, trained anew: a mark for each seed, a bar at the mean",
        alt="; ".join(dict.fromkeys(str(row["name"]) for row in rows)) + ".",
        svg=draw(chart.properties(width=WIDTH - 30, height=LINE_HEIGHT * lines), rows=rows),
        header=("model", "setting", "seed", "value, nats"),
        rows=tuple((s.title, f.setting, str(f.seed), number(f.value, 4)) for s, f in found),
    )


def progress_chart(report: SweepReport) -> Chart | None:
    """The best value so far, over the time at which complete trials ended."""
    titles = [study.title for study in report.studies]
    scale, unit = _time(report)
    rows = _best_so_far(report, scale)
    if not rows:
        return None
    colour, shape = by_model(titles)
    base = alt.Chart(named("rows")).encode(
        x=alt.X("at:Q", title=f"{unit} since the first trial began", axis=alt.Axis(tickCount=6)),
        color=colour,
    )
    y = alt.Y(
        "best:Q", title="value, nats", scale=alt.Scale(zero=False), axis=alt.Axis(format=".3f")
    )
    chart = alt.layer(
        base.mark_point(filled=True, size=30, opacity=0.4).encode(
            y=alt.Y(
                "value:Q",
                title="value, nats",
                scale=alt.Scale(zero=False),
                axis=alt.Axis(format=".3f"),
            ),
            shape=shape,
        ),
        base.mark_line(interpolate="step-after", strokeWidth=2, aria=False).encode(y=y),
    )
    last = {str(row["model"]): float(row["best"] or 0.0) for row in rows}
    return Chart(
        key="progress",
        title="Best value so far (line), and each complete trial as it ended (marks)",
        alt="; ".join(f"{name}: {number(best, 4)} nats" for name, best in last.items()) + ".",
        svg=draw(chart.properties(width=WIDTH - 60, height=240), rows=rows),
        header=("model", f"ended, {unit}", "value, nats", "best so far"),
        rows=tuple(
            (
                str(r["model"]),
                number(_float(r["at"]), 2),
                number(_float(r["value"]), 4),
                number(_float(r["best"]), 4),
            )
            for r in rows
        ),
    )


def _best_so_far(report: SweepReport, scale: float) -> list[Row]:
    """A row for each complete trial in the order in which they ended."""
    rows: list[Row] = []
    for study in report.studies:
        ended = [
            (t.ended, t.value)
            for t in study.trials
            if t.state == "complete" and t.ended is not None and t.value is not None
        ]
        best = float("inf")
        for hours, value in sorted(ended):
            best = min(best, value)
            rows.append({"model": study.title, "at": hours * scale, "value": value, "best": best})
    return rows


def time_chart(study: StudyReport, report: SweepReport) -> Chart | None:
    """When each trial began and ended, a bar for each, coloured by how it ended."""
    timed = [t for t in study.trials if t.started is not None]
    if not timed:
        return None
    scale, unit = _time(report)
    now = max((t.ended or t.started or 0.0) for s in report.studies for t in s.trials)
    rows: list[Row] = [
        {
            "trial": float(t.number),
            "from": (t.started or 0.0) * scale,
            "to": (t.ended if t.ended is not None else now) * scale,
            "state": t.state,
        }
        for t in timed
    ]
    states = [state for state in STATE_COLOURS if any(row["state"] == state for row in rows)]
    base = alt.Chart(named("rows")).encode(
        y=alt.Y(
            "trial:Q",
            title="trial",
            scale=alt.Scale(reverse=True, nice=False, padding=6),
            axis=alt.Axis(tickMinStep=1, tickCount=8),
        ),
        x=alt.X("from:Q", title=f"{unit} since the first trial began", axis=alt.Axis(tickCount=6)),
        color=alt.Color(
            "state:N",
            scale=alt.Scale(domain=states, range=[STATE_COLOURS[state] for state in states]),
            legend=alt.Legend(title=None, columns=4),
        ),
    )
    height = min(max(6 * len(timed), 120), 420)
    width = max(1.0, min(5.0, 0.7 * height / max(len(timed), 1)))
    ends = base.mark_point(filled=True, size=18, opacity=1).encode(
        x="to:Q",
        shape=alt.Shape(
            "state:N", scale=alt.Scale(domain=states, range=_shapes(states)), legend=None
        ),
    )
    chart = alt.layer(base.mark_rule(strokeWidth=width, opacity=0.75).encode(x2="to:Q"), ends)
    parts = ", ".join(f"{count} {state}" for state, count in study.counts.items() if count)
    return Chart(
        key=f"time-{study.model}-{study.sweep}",
        title=f"{study.title}: trials over time, by how they ended",
        alt=f"{parts}; the last one known ended after {number(now * scale, 1)} {unit}.",
        svg=draw(chart.properties(width=WIDTH - 60, height=height), rows=rows),
        header=("trial", f"began, {unit}", f"ended, {unit}", "state"),
        rows=tuple(
            (
                str(t.number),
                number((t.started or 0.0) * scale, 2),
                "–" if t.ended is None else number(t.ended * scale, 2),
                t.state,
            )
            for t in timed
        ),
    )


def spent_chart(report: SweepReport) -> Chart | None:
    """What was spent, stacked by how trials ended, and on the finals; a bar for each model."""
    totals = {study.title: sum(study.spent.values()) for study in report.studies}
    if not any(totals.values()):
        return None
    kinds = [kind for kind in STATE_COLOURS if any(s.spent.get(kind) for s in report.studies)]
    rows: list[Row] = [
        {
            "model": study.title,
            "name": f"{study.title}: {number(totals[study.title], 0)}",
            "kind": kind,
            "spent": study.spent[kind],
            "order": float(kinds.index(kind)),
        }
        for study in report.studies
        for kind in kinds
    ]
    base = alt.Chart(named("rows")).encode(y=alt.Y("model:N", sort=None, axis=None))
    bars = base.mark_bar(height=14, yOffset=9, stroke=INK, strokeWidth=0.5).encode(
        x=alt.X("spent:Q", title=report.unit, stack="zero", axis=alt.Axis(tickCount=5)),
        color=alt.Color(
            "kind:N",
            scale=alt.Scale(domain=kinds, range=[STATE_COLOURS[kind] for kind in kinds]),
            legend=alt.Legend(title=None, columns=4),
        ),
        order=alt.Order("order:Q"),
    )
    names = base.mark_text(align="left", fontSize=12, color=INK, x=0, yOffset=-8)
    names = names.encode(text="name:N").transform_aggregate(groupby=["model", "name"])
    height = (LINE_HEIGHT + 4) * len(totals)
    return Chart(
        key="spent",
        title=f"{report.unit[0].upper()}{report.unit[1:]} spent, by how trials ended, and on the finals",
        alt="; ".join(f"{name}: {number(total, 0)}" for name, total in totals.items()) + ".",
        svg=draw(alt.layer(bars, names).properties(width=WIDTH - 30, height=height), rows=rows),
        header=("model", "of", report.unit),
        rows=tuple(
            (s.title, kind, number(s.spent[kind], 0)) for s in report.studies for kind in kinds
        ),
    )


def _shapes(states: Sequence[str]) -> list[str]:
    own = {
        "complete": "circle",
        "pruned": "triangle-down",
        "failed": "cross",
        "under way": "square",
    }
    return [own[state] for state in states]


def _time(report: SweepReport) -> tuple[float, str]:
    """Factor from hours to the unit of time axes, and its name."""
    last = max((t.ended or 0.0 for s in report.studies for t in s.trials), default=0.0)
    return (60.0, "minutes") if last < _MINUTES_BELOW else (1.0, "hours")


def _float(value: str | float | None) -> float | None:
    return value if isinstance(value, float) else None
