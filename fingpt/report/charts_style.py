"""How every chart looks: colours, shapes, sizes, and the way from Altair to an SVG that follows the page's text colour.

Charts are drawn 440 pixels wide, so that their text stays readable when a phone scales them. No script, no network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup, escape

Row = Mapping[str, str | float | None]

WIDTH = 440
LINE_HEIGHT = 38
COLOURS = ("#1f7fc4", "#d9640f", "#2a9d6e", "#b3589a")
"""Blue and orange first: told apart with any colour vision, contrast above 3 on white and on the dark page."""
SHAPES = ("circle", "diamond", "square", "triangle-up")
GLYPHS = ("●", "◆", "■", "▲")
PHASES = {
    "fetch": "#6f7bd6",
    "load": "#8a8a8a",
    "tokenise": "#4f9fb0",
    "steps": "#1f7fc4",
    "train": "#1f7fc4",
    "held-out loss": "#a8c8e4",
    "checkpoints": "#a8890b",
    "save": "#b3589a",
    "upload": "#d9a0c4",
    "loss": "#2a9d6e",
    "generate": "#d9640f",
    "score": "#e8c34d",
    "other": "#b5b5b5",
}
"""Colours of the phases, in the order in which they happen."""
GREY = "#808080"
INK = "#010203"
"""Stands for the page's text colour in a chart specification; the SVG says `currentColor` instead."""


_LOOK: dict[str, Any] = {
    "font": "system-ui, sans-serif",
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": INK,
        "gridOpacity": 0.14,
        "domainColor": INK,
        "domainOpacity": 0.5,
        "tickColor": INK,
        "tickOpacity": 0.5,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    # Widths are measured in another font than the reader's, whose labels may be a fifth wider than the room for them.
    "axisX": {"labelSeparation": 12},
    "axisY": {"titlePadding": 16},
    "legend": {
        "labelColor": INK,
        "titleColor": INK,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "orient": "bottom",
    },
    "view": {"stroke": None},
}
# Written as plain configuration: each of Altair's own configure methods copies the whole chart.


@dataclass(frozen=True)
class Chart:
    """A drawn chart: `svg` for the page, `alt` for those who cannot see it, and its numbers as a table."""

    key: str
    title: str
    alt: str
    svg: Markup
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def marked(chart: Chart, watermark: str) -> Chart:
    """The chart with `watermark` in its title and across its drawing, so that a copied picture still says it."""
    if not watermark:
        return chart
    text = (
        f'<text x="50%" y="50%" text-anchor="middle" font-family="system-ui, sans-serif" font-size="20" '
        f'font-weight="bold" fill="#c0271d" fill-opacity="0.55">{escape(watermark)}</text></svg>'
    )
    svg = Markup(str(chart.svg).removesuffix("</svg>") + text)  # noqa: S704 - escaped above
    return replace(chart, title=f"{watermark}: {chart.title}", svg=svg)


def named(name: str) -> alt.NamedData:
    """A chart's data by name; `draw` gets the rows. Altair copies inline rows at every step, which takes seconds."""
    return alt.NamedData(name=name)


def by_model(titles: Sequence[str], field: str = "model") -> tuple[alt.Color, alt.Shape]:
    """Colour and shape of the models, in the report's order, without a legend: charts label directly."""
    colours, shapes = list(COLOURS[: len(titles)]), list(SHAPES[: len(titles)])
    colour = alt.Color(
        f"{field}:N", scale=alt.Scale(domain=list(titles), range=colours), legend=None
    )
    shape = alt.Shape(f"{field}:N", scale=alt.Scale(domain=list(titles), range=shapes), legend=None)
    return colour, shape


def draw(chart: alt.LayerChart | alt.FacetChart, **tables: Sequence[Row]) -> Markup:
    """The chart as an inline SVG that scales to its column; `tables` are the rows behind its named data."""
    spec: dict[str, Any] = chart.to_dict(validate=False)
    spec["datasets"] = {name: [dict(row) for row in rows] for name, rows in tables.items()}
    spec |= {"background": "transparent", "padding": 4}
    spec["config"] = {**spec.get("config", {}), **_LOOK}
    svg: str = vl_convert.vegalite_to_svg(spec)
    return Markup(svg.replace(INK, "currentColor").replace("<svg ", '<svg aria-hidden="true" ', 1))  # noqa: S704


def intervals(
    rows: Sequence[Row],
    titles: Sequence[str],
    axis: str,
    *,
    rule: float | None = None,
    zero: bool = False,
) -> Markup:
    """One line per `label`, printed above its marks: each a `value` with a bar from `low` to `high` where there is one.

    `series` is a model's title (its colour and shape) or anything else (grey). Several series may share a label; their
    marks then stand one below the other. `rule` draws a vertical line.
    """
    base = alt.Chart(named("rows")).encode(y=alt.Y("label:N", sort=None, axis=None))
    x = alt.X(
        "value:Q", title=axis, scale=alt.Scale(zero=zero, nice=True), axis=alt.Axis(tickCount=6)
    )
    text = base.mark_text(align="left", fontSize=12, color=INK, yOffset=-9, x=0)
    layers = [text.encode(text="label:N").transform_aggregate(groupby=["label"])]
    if rule is not None:
        line = alt.Chart(named("rule")).mark_rule(color=INK, strokeDash=[4, 3], opacity=0.45)
        layers.insert(0, line.encode(x="at:Q"))
    shared = len({row["label"] for row in rows}) < len(rows)
    series = list(dict.fromkeys(row["series"] for row in rows))
    for name in series:
        index = titles.index(str(name)) if name in titles else -1
        colour, shape = (COLOURS[index % 4], SHAPES[index % 4]) if index >= 0 else (GREY, "square")
        offset = 3 + 9 * index if shared else 6
        mine = base.transform_filter(alt.datum.series == name)
        bar = mine.transform_filter("isValid(datum.low)").transform_calculate(value="datum.low")
        layers.append(
            bar.mark_rule(strokeWidth=3, opacity=0.6, yOffset=offset, color=colour).encode(
                x=x, x2="high:Q"
            )
        )
        point = mine.mark_point(
            filled=True, size=70, opacity=1, yOffset=offset, color=colour, shape=shape
        )
        layers.append(point.encode(x=x))
    lines = len({row["label"] for row in rows})
    height = LINE_HEIGHT + (9 * (len(series) - 2) if shared else 0)
    chart = alt.layer(*layers).properties(width=WIDTH - 40, height=height * lines)
    return draw(chart, rows=rows, rule=[{"at": rule}])
