"""The charts about label probabilities: reliability, risk by coverage, rank correlation by week. Pure: curves in."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from fingpt.report.charts_style import INK, WIDTH, Chart, Row, by_model, draw, named
from fingpt.report.formatting import number
from fingpt.report.probability_curves import ProbabilityCurves

_HEIGHT = 280


def probability_charts(curves: ProbabilityCurves, titles: Sequence[str]) -> list[Chart]:
    """The charts that there are points for, in the page's order."""
    charts = []
    if curves.reliability:
        charts += [reliability(curves, titles), risk(curves, titles)]
    if curves.weeks:
        charts.append(correlations(curves, titles))
    return charts


def reliability(curves: ProbabilityCurves, titles: Sequence[str]) -> Chart:
    """What was called likely against how often it happened; on the diagonal, probabilities are honest."""
    colour, shape = by_model(titles)
    share = alt.Scale(domain=[0, 1])
    percent = alt.Axis(format="%", tickCount=5)
    base = alt.Chart(named("points")).encode(
        x=alt.X("forecast:Q", title="stated probability of a rise", scale=share, axis=percent),
        color=colour,
    )
    happened = alt.Y("happened:Q", title="share that rose", scale=share, axis=percent)
    bars = base.mark_rule(strokeWidth=2, opacity=0.5, aria=False).encode(
        y=alt.Y("low:Q", title="share that rose", scale=share, axis=percent), y2="high:Q"
    )
    marks = base.mark_point(filled=True, size=70, opacity=1, aria=False).encode(
        y=happened, shape=shape
    )
    honest = (
        alt.Chart(named("honest"))
        .mark_line(color=INK, strokeDash=[4, 3], opacity=0.45)
        .encode(x="forecast:Q", y=alt.Y("happened:Q", scale=share))
    )
    chart = alt.layer(honest, bars, marks).properties(width=WIDTH - 60, height=_HEIGHT)
    points: list[Row] = [point.model_dump() for point in curves.reliability]
    return Chart(
        key="reliability",
        title="Reliability: what was called likely, and how often it happened (ten groups of rows, 95 % intervals)",
        alt="; ".join(
            f"{p.model}: {p.forecast * 100:.0f} % stated, {p.happened * 100:.0f} % of {p.rows} rose"
            for p in curves.reliability
        ),
        svg=draw(
            chart,
            points=points,
            honest=[{"forecast": 0.0, "happened": 0.0}, {"forecast": 1.0, "happened": 1.0}],
        ),
        header=("model", "rows", "stated, %", "rose, %", "95 % interval, %"),
        rows=tuple(
            (
                p.model,
                str(p.rows),
                number(100 * p.forecast, 1),
                number(100 * p.happened, 1),
                f"{number(100 * p.low, 1)} to {number(100 * p.high, 1)}",
            )
            for p in curves.reliability
        ),
    )


def risk(curves: ProbabilityCurves, titles: Sequence[str]) -> Chart:
    """Wrong directions when only the surest forecasts count: a model that knows what it knows falls to the left."""
    colour, _ = by_model(titles)
    base = alt.Chart(named("points")).encode(
        x=alt.X(
            "coverage:Q",
            title="share of rows kept, the surest first",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format="%", tickCount=5),
        ),
        y=alt.Y(
            "risk:Q",
            title="wrong among them",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format="%", tickCount=5),
        ),
        color=colour,
    )
    lines = base.mark_line(strokeWidth=2, aria=False)
    even = (
        alt.Chart(named("even"))
        .mark_rule(color=INK, strokeDash=[4, 3], opacity=0.45)
        .encode(y="at:Q")
    )
    chart = alt.layer(even, lines).properties(width=WIDTH - 60, height=_HEIGHT)
    tenths = [p for p in curves.coverage if min(abs(p.coverage - k / 10) for k in range(1, 11)) < 0.01]  # fmt: skip
    return Chart(
        key="risk",
        title="Risk by coverage: wrong directions when only the surest forecasts count (dashed: a coin)",
        alt="; ".join(
            f"{p.model}: {p.risk * 100:.0f} % wrong among the surest {p.coverage * 100:.0f} %"
            for p in tenths
        ),
        svg=draw(chart, points=[p.model_dump() for p in curves.coverage], even=[{"at": 0.5}]),
        header=("model", "rows kept, %", "wrong, %"),
        rows=tuple(
            (p.model, number(100 * p.coverage, 1), number(100 * p.risk, 1)) for p in curves.coverage
        ),
    )


def correlations(curves: ProbabilityCurves, titles: Sequence[str]) -> Chart:
    """Rank correlation of each week: a lucky month is seen at once."""
    colour, shape = by_model(titles)
    base = alt.Chart(named("points")).encode(
        x=alt.X("day:O", title=None, axis=alt.Axis(labelAngle=-90)),
        y=alt.Y("value:Q", title="rank correlation", scale=alt.Scale(domain=[-1, 1])),
        color=colour,
    )
    zero = alt.Chart(named("zero")).mark_rule(color=INK, opacity=0.45).encode(y="at:Q")
    lines = base.mark_line(strokeWidth=1.5, opacity=0.6, aria=False)
    marks = base.mark_point(filled=True, size=60, opacity=1, aria=False).encode(shape=shape)
    chart = alt.layer(zero, lines, marks).properties(width=WIDTH - 60, height=_HEIGHT)
    means = {
        title: [p.value for p in curves.weeks if p.model == title]
        for title in dict.fromkeys(p.model for p in curves.weeks)
    }
    named_means = "; ".join(
        f"{title}: mean {number(sum(values) / len(values), 3, signed=True)}"
        + (f", t {number(curves.ic_t[title], 2, signed=True)}" if title in curves.ic_t else "")
        for title, values in means.items()
    )
    return Chart(
        key="rank-correlation",
        title=f"Weekly rank correlation of expected and realised moves ({named_means})",
        alt=f"{named_means}; the data below has each week.",
        svg=draw(
            chart,
            points=[{**p.model_dump(), "day": p.week[2:]} for p in curves.weeks],
            zero=[{"at": 0.0}],
        ),
        header=("model", "week from", "rank correlation"),
        rows=tuple((p.model, p.week, number(p.value, 3, signed=True)) for p in curves.weeks),
    )
