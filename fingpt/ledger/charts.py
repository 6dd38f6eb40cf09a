"""The charts of the page: running accuracy, figures with intervals, evidence over time, calibration. Pure: page in."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from fingpt.ledger.document import LedgerPage, Role
from fingpt.ledger.evidence import REACHED
from fingpt.report.charts_probabilities import reliability_chart
from fingpt.report.charts_style import (
    COLOURS,
    GREY,
    INK,
    WIDTH,
    Chart,
    Row,
    by_model,
    draw,
    intervals,
    named,
)
from fingpt.report.formatting import interval, number
from fingpt.report.reliability import Reliability

_HEIGHT = 280
_FIRST_WEEKS = 4
"""Shares of fewer weeks jump over the whole axis."""


def ledger_charts(page: LedgerPage) -> list[Chart]:
    """The charts that there are numbers for, in the page's order."""
    titles = model_titles(page)
    charts = []
    if page.running:
        charts += [running_chart(page, titles), accuracy_chart(page, titles)]
    if page.against_all:
        charts.append(evidence_chart(page, titles))
    if page.reliability:
        sides = {
            title: Reliability(bins=bins, coverage=(), weeks=(), ic_mean=None, ic_t=None)
            for title, bins in page.reliability.items()
        }
        charts.append(reliability_chart(sides, titles))
    return charts


def model_titles(page: LedgerPage) -> list[str]:
    """Titles of the models, champion first: the order of colours and shapes."""
    return [one.title for one in page.standings if one.role is not Role.TRIVIAL]


def running_chart(page: LedgerPage, titles: Sequence[str]) -> Chart:
    """The share of right directions so far, week by week; trivial forecasts in grey."""
    points = page.running
    weeks = sorted({point.week for point in points})
    shown = set(weeks[_FIRST_WEEKS:] if len(weeks) > 2 * _FIRST_WEEKS else weeks)
    rows: list[Row] = [
        {
            "forecaster": p.forecaster if p.forecaster in titles else _short(p.forecaster),
            "day": p.week,
            "accuracy": p.accuracy,
        }
        for p in points
        if p.week in shown
    ]
    trivial = [_short(one.title) for one in page.standings if one.role is Role.TRIVIAL]
    colours = [*(COLOURS[i % len(COLOURS)] for i in range(len(titles))), *[GREY] * len(trivial)]
    scale = alt.Scale(domain=[*titles, *trivial], range=colours)
    base = alt.Chart(named("rows")).encode(
        x=alt.X("day:T", title=None, axis=alt.Axis(format="%d %b %y", tickCount=5)),
        y=alt.Y(
            "accuracy:Q",
            title="right directions so far",
            scale=alt.Scale(zero=False),
            axis=alt.Axis(format="%", tickCount=5),
        ),
        color=alt.Color("forecaster:N", scale=scale, legend=None),
    )
    grey = base.transform_filter(alt.FieldOneOfPredicate("forecaster", trivial))
    own = base.transform_filter(alt.FieldOneOfPredicate("forecaster", list(titles)))
    dashes = alt.Scale(domain=trivial, range=[[6, 3], [2, 3], [1, 1], [9, 2, 2, 2]])
    legend = alt.Legend(title=None, columns=2, labelLimit=220, symbolStrokeColor=GREY)
    layers = [
        grey.mark_line(strokeWidth=1.4, opacity=0.8, aria=False).encode(
            strokeDash=alt.StrokeDash("forecaster:N", scale=dashes, legend=legend)
        ),
        own.mark_line(strokeWidth=2.2, aria=False),
    ]
    last = {p.forecaster: p for p in points}
    return Chart(
        key="running",
        title="Right directions so far (coloured: models; grey: forecasts without a model)",
        alt="; ".join(f"{name}: {100 * p.accuracy:.1f} % of {p.n}" for name, p in last.items())
        + ".",
        svg=draw(alt.layer(*layers).properties(width=WIDTH - 60, height=_HEIGHT), rows=rows),
        header=("forecaster", "week", "rows so far", "right so far, %"),
        rows=tuple((p.forecaster, p.week, str(p.n), number(100 * p.accuracy, 1)) for p in points),
    )


def _short(title: str) -> str:
    """A trivial forecast's name without its explanation, for a legend."""
    return title.partition(" (")[0]


def accuracy_chart(page: LedgerPage, titles: Sequence[str]) -> Chart:
    """Accuracy of all weeks with its interval."""
    scored = [one for one in page.standings if one.figures.accuracy.value is not None]

    def share(value: float | None) -> float | None:
        return None if value is None else 100 * value

    rows: list[Row] = [
        {
            "label": f"{one.title}: {number(share(one.figures.accuracy.value), 1)} %",
            "series": one.title,
            "value": share(one.figures.accuracy.value),
            "low": share(one.figures.accuracy.low),
            "high": share(one.figures.accuracy.high),
        }
        for one in scored
    ]
    return Chart(
        key="accuracy",
        title="Right directions of all weeks that count, with 95 % intervals over weeks",
        alt="; ".join(str(row["label"]) for row in rows) + ".",
        svg=intervals(rows, titles, "right directions, % (dashed: 50 %)", rule=50.0),
        header=("forecaster", "rows", "right, %", "95 % interval"),
        rows=tuple(
            (
                one.title,
                str(one.figures.n),
                number(share(one.figures.accuracy.value), 1),
                interval(one.figures.accuracy, 1, 100),
            )
            for one in scored
        ),
    )


def evidence_chart(page: LedgerPage, titles: Sequence[str]) -> Chart:
    """The capital of betting that a model is ahead of all trivial forecasts, on a logarithmic axis."""
    colour, _ = by_model(titles)
    points = [
        (title, week, value)
        for title, found in page.against_all.items()
        for week, value in found.path
    ]
    values = [value for _, _, value in points]
    bounds = [min([0.5, *values]) / 1.2, max([REACHED, *values]) * 1.3]
    lines = (
        alt.Chart(named("rows"))
        .mark_line(strokeWidth=2, aria=False)
        .encode(
            x=alt.X("day:T", title=None, axis=alt.Axis(format="%d %b %y", tickCount=5)),
            y=alt.Y(
                "value:Q",
                title="evidence (capital, from 1)",
                scale=alt.Scale(type="log", domain=bounds),
                axis=alt.Axis(format="~g", values=[10.0**power for power in range(-9, 10)]),
            ),
            color=colour,
        )
    )
    rules = (
        alt.Chart(named("rules"))
        .mark_rule(color=INK, strokeDash=[4, 3], opacity=0.45)
        .encode(y="at:Q")
    )
    rows: list[Row] = [
        {"model": title, "day": week, "value": value} for title, week, value in points
    ]
    return Chart(
        key="evidence",
        title="Evidence of being ahead of every trivial forecast (dashed: 1, the start, and 20, enough)",
        alt="; ".join(
            f"{title}: {number(found.value, 2)} now, at most {number(found.best, 2)}"
            for title, found in page.against_all.items()
        )
        + ".",
        svg=draw(
            alt.layer(rules, lines).properties(width=WIDTH - 60, height=_HEIGHT),
            rows=rows,
            rules=[{"at": 1.0}, {"at": REACHED}],
        ),
        header=("model", "week", "evidence"),
        rows=tuple((title, week, number(value, 3)) for title, week, value in points),
    )
