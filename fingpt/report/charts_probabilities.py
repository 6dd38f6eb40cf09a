"""The charts about label probabilities: reliability, risk by coverage, rank correlation by week, cutoffs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt

from fingpt.report.charts_style import COLOURS, INK, WIDTH, Chart, Row, by_model, draw, named
from fingpt.report.formatting import interval, number
from fingpt.report.memory import CutoffMap
from fingpt.report.reliability import CoveragePoint, Reliability

Sides = Mapping[str, Reliability]
"""Title → the numbers of a model whose label probabilities were measured."""

_HEIGHT = 280
_CURVE_POINTS = 60
_LEAST_COVERAGE = 0.05


def probability_charts(sides: Sides, titles: Sequence[str]) -> list[Chart]:
    """The charts that there are numbers for, in the page's order."""
    if not sides:
        return []
    charts = [reliability_chart(sides, titles), risk_chart(sides, titles)]
    return (
        [*charts, correlations(sides, titles)] if any(s.weeks for s in sides.values()) else charts
    )


def reliability_chart(sides: Sides, titles: Sequence[str]) -> Chart:
    """What was called likely against how often it happened; on the diagonal, probabilities are honest."""
    colour, shape = by_model(titles)
    share = alt.Scale(domain=[0, 1])
    percent = alt.Axis(format="%", tickCount=5)
    points: list[Row] = [
        {
            "model": title,
            "rows": one.n,
            "forecast": one.forecast,
            "happened": one.happened.value,
            "low": one.happened.low,
            "high": one.happened.high,
        }
        for title, side in sides.items()
        for one in side.bins
    ]
    base = alt.Chart(named("points")).encode(
        x=alt.X("forecast:Q", title="stated probability of a rise", scale=share, axis=percent),
        color=colour,
    )
    bars = (
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=2, opacity=0.5, aria=False)
        .encode(y=alt.Y("low:Q", title="share that rose", scale=share, axis=percent), y2="high:Q")
    )
    marks = base.mark_point(filled=True, size=70, opacity=1, aria=False).encode(
        y=alt.Y("happened:Q", title="share that rose", scale=share, axis=percent), shape=shape
    )
    honest = (
        alt.Chart(named("honest"))
        .mark_line(color=INK, strokeDash=[4, 3], opacity=0.45)
        .encode(x="forecast:Q", y=alt.Y("happened:Q", scale=share))
    )
    chart = alt.layer(honest, bars, marks).properties(width=WIDTH - 60, height=_HEIGHT)
    bins = [(title, one) for title, side in sides.items() for one in side.bins]
    return Chart(
        key="reliability",
        title="Reliability: what was called likely, and how often it happened (groups of rows, 95 % intervals)",
        alt="; ".join(
            f"{title}: {one.forecast * 100:.0f} % stated, {(one.happened.value or 0) * 100:.0f} % of {one.n} rose"
            for title, one in bins
        ),
        svg=draw(
            chart,
            points=points,
            honest=[{"forecast": 0.0, "happened": 0.0}, {"forecast": 1.0, "happened": 1.0}],
        ),
        header=("model", "rows", "stated, %", "rose, %", "95 % interval, %"),
        rows=tuple(
            (
                title,
                str(one.n),
                number(100 * one.forecast, 1),
                number(100 * (one.happened.value or 0.0), 1),
                interval(one.happened, 1, 100),
            )
            for title, one in bins
        ),
    )


def risk_chart(sides: Sides, titles: Sequence[str]) -> Chart:
    """Wrong directions when only the surest forecasts count: a model that knows what it knows falls to the left."""
    colour, _ = by_model(titles)
    share = alt.Scale(domain=[0, 1])
    percent = alt.Axis(format="%", tickCount=5)
    curves = {title: _thinned(side.coverage) for title, side in sides.items()}
    lines = (
        alt.Chart(named("points"))
        .mark_line(strokeWidth=2, aria=False)
        .encode(
            x=alt.X(
                "coverage:Q",
                title="share of rows kept, the surest first",
                scale=share,
                axis=percent,
            ),
            y=alt.Y("risk:Q", title="wrong among them", scale=share, axis=percent),
            color=colour,
        )
    )
    even = (
        alt.Chart(named("even"))
        .mark_rule(color=INK, strokeDash=[4, 3], opacity=0.45)
        .encode(y="at:Q")
    )
    chart = alt.layer(even, lines).properties(width=WIDTH - 60, height=_HEIGHT)
    points: list[Row] = [
        {"model": title, **point.model_dump()} for title, curve in curves.items() for point in curve
    ]
    halves = {
        title: min(curve, key=lambda point: abs(point.coverage - 0.5))
        for title, curve in curves.items()
    }
    return Chart(
        key="risk",
        title="Risk by coverage: wrong directions when only the surest forecasts count (dashed: a coin)",
        alt="; ".join(
            f"{title}: {100 * half.risk:.0f} % wrong among the surest {100 * half.coverage:.0f} %, "
            f"{100 * curves[title][-1].risk:.0f} % among all"
            for title, half in halves.items()
        ),
        svg=draw(chart, points=points, even=[{"at": 0.5}]),
        header=("model", "rows kept, %", "wrong, %"),
        rows=tuple(
            (title, number(100 * point.coverage, 1), number(100 * point.risk, 1))
            for title, curve in curves.items()
            for point in curve
        ),
    )


def _thinned(curve: Sequence[CoveragePoint]) -> list[CoveragePoint]:
    """The curve at even steps of coverage, its first rows left out: they are noise to a reader."""
    kept = [point for point in curve if point.coverage >= _LEAST_COVERAGE] or list(curve)
    stride = max(1, len(kept) // _CURVE_POINTS)
    return [point for place, point in enumerate(reversed(kept)) if place % stride == 0][::-1]


def correlations(sides: Sides, titles: Sequence[str]) -> Chart:
    """Rank correlation of each week: a lucky month is seen at once."""
    colour, shape = by_model(titles)
    base = alt.Chart(named("points")).encode(
        x=alt.X("day:O", title=None, axis=alt.Axis(labelAngle=-90)),
        y=alt.Y("ic:Q", title="rank correlation", scale=alt.Scale(domain=[-1, 1])),
        color=colour,
    )
    zero = alt.Chart(named("zero")).mark_rule(color=INK, opacity=0.45).encode(y="at:Q")
    lines = base.mark_line(strokeWidth=1.5, opacity=0.6, aria=False)
    marks = base.mark_point(filled=True, size=60, opacity=1, aria=False).encode(shape=shape)
    chart = alt.layer(zero, lines, marks).properties(width=WIDTH - 60, height=_HEIGHT)
    means = "; ".join(
        f"{title}: mean {number(side.ic_mean, 3, signed=True)}"
        + (f", t {number(side.ic_t, 2, signed=True)}" if side.ic_t is not None else "")
        for title, side in sides.items()
    )
    weeks = [(title, week) for title, side in sides.items() for week in side.weeks]
    points: list[Row] = [
        {"model": title, "day": week.week[2:], "ic": week.ic} for title, week in weeks
    ]
    return Chart(
        key="rank-correlation",
        title=f"Weekly rank correlation of expected and realised moves ({means})",
        alt=f"{means}; the data below has each week.",
        svg=draw(chart, points=points, zero=[{"at": 0.0}]),
        header=("model", "week from", "rows", "rank correlation"),
        rows=tuple(
            (title, week.week, str(week.n), number(week.ic, 3, signed=True))
            for title, week in weeks
        ),
    )


def cutoff_chart(cutoffs: CutoffMap) -> Chart | None:
    """When each split lies, and until when each model may have read; None where no model has read anything."""
    if not cutoffs.models or not cutoffs.splits:
        return None
    first = min(split.first for split in cutoffs.splits)
    bars: list[Row] = [
        {"name": f"rows: {split.split}", "from": split.first, "to": split.last, "kind": "rows"}
        for split in cutoffs.splits
    ]
    for model in cutoffs.models:
        stated = model.stated or first
        bars += [
            {"name": model.model, "from": first, "to": max(stated, first), "kind": "stated"},
            {"name": model.model, "from": max(stated, first), "to": max(model.clean_from, first), "kind": "possible"},
        ]  # fmt: skip
    kinds = {"rows": COLOURS[2], "stated": COLOURS[1], "possible": "#8a8a8a"}
    legend = alt.Legend(title=None)
    scale = alt.Scale(domain=list(kinds), range=list(kinds.values()))
    chart = (
        alt.layer(
            alt.Chart(named("bars"))
            .mark_bar(height=14, aria=False)
            .encode(
                x=alt.X("from:T", title=None, axis=alt.Axis(format="%b %Y", tickCount=5)),
                x2="to:T",
                y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=190)),
                color=alt.Color("kind:N", scale=scale, legend=legend),
            )
        )
    ).properties(width=WIDTH - 170, height=26 * len({bar["name"] for bar in bars}))
    told = "; ".join(
        f"{model.model} may know weeks before {model.clean_from} ({model.source})"
        for model in cutoffs.models
    )
    return Chart(
        key="cutoffs",
        title="When the rows lie, and until when the models may have read (stated by the vendor, or possible)",
        alt=f"{told}.",
        svg=draw(chart, bars=bars),
        header=("what", "from", "to", "source"),
        rows=(
            *((f"rows: {s.split}", s.first, s.last, f"{s.rows} rows") for s in cutoffs.splits),
            *((m.model, m.stated or "not stated", m.clean_from, m.source) for m in cutoffs.models),
        ),
    )
