"""The page's charts as static SVG, drawn by Vega-Altair and vl-convert. Colours work on light and on dark.

Text and axes use `currentColor`, so that the page's own colours apply. Charts show counts and dates, never row text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert

from fingpt.prompts.examples import LABELS, Example

UP, DOWN = "#2f7fd1", "#d9772b"
_SPLIT_COLOURS = {"train": "#2f7fd1", "validation": "#8a63c9", "test": "#d9772b"}
_OPACITIES = {"train": 0.5, "validation": 0.75, "test": 1.0}
_BINS = 24

Parts = Mapping[str, Sequence[Example]]


def draw(parts: Parts) -> dict[str, str]:
    """The page's charts by name, each an SVG element."""
    return {
        "balance": balance_over_time(parts),
        "labels": label_shares(parts),
        "prompts": lengths(parts, "user"),
        "answers": lengths(parts, "answer"),
    }


def balance_over_time(parts: Parts) -> str:
    """Rows per forecast week: ups above the line, downs below; the test weeks have the full colour."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for split, part in parts.items():
        for example in part:
            way = "up" if example.margin > 0 else "down"
            counts[example.start.isoformat(), way, split] += 1
    values = [
        {
            "week": week,
            "label": way,
            "opacity": _OPACITIES[split],
            "rows": count if way == "up" else -count,
        }
        for (week, way, split), count in sorted(counts.items())
    ]
    chart = (
        alt.Chart(alt.InlineData(values=values))
        .mark_bar()
        .encode(
            x=alt.X(
                "yearweek(week):T",
                title=None,
                axis=alt.Axis(format="%b %Y", tickCount=5, labelOverlap=True),
            ),
            y=alt.Y(
                "rows:Q",
                title="rows down  |  rows up",
                axis=alt.Axis(tickCount=5, labelExpr="format(abs(datum.value), 'd')"),
            ),
            color=_colour("label", {"up": UP, "down": DOWN}),
            opacity=alt.Opacity("opacity:Q", scale=None, legend=None),
        )
    )
    return _svg(chart, height=260)


def label_shares(parts: Parts) -> str:
    """Share of each of the twelve labels, per split."""
    values = [
        {"label": label, "split": split, "share": sum(e.label == label for e in part) / len(part)}
        for split, part in parts.items()
        if part
        for label in LABELS
    ]
    chart = (
        alt.Chart(alt.InlineData(values=values))
        .mark_bar()
        .encode(
            y=alt.Y(
                "label:N", sort=list(reversed(LABELS)), title=None, axis=alt.Axis(labelLimit=200)
            ),
            x=alt.X("share:Q", title="share of rows", axis=alt.Axis(format="%", tickCount=4)),
            yOffset=alt.YOffset("split:N", sort=list(_SPLIT_COLOURS)),
            color=_split_colour(parts),
        )
    )
    return _svg(chart, width=210, height=250)


def lengths(parts: Parts, name: str) -> str:
    """Histogram of the lengths, in thousands of characters, of `user` or `answer`; stacked by split."""
    sizes = {split: [len(getattr(e, name)) / 1000 for e in part] for split, part in parts.items()}
    longest = max((size for part in sizes.values() for size in part), default=1.0)
    step = max(longest, 0.001) / _BINS
    counts = Counter(
        (min(int(size / step), _BINS - 1), split) for split, part in sizes.items() for size in part
    )
    values = [
        {
            "from": round(place * step, 4),
            "to": round((place + 1) * step, 4),
            "split": split,
            "rows": count,
        }
        for (place, split), count in sorted(counts.items())
    ]
    chart = (
        alt.Chart(alt.InlineData(values=values))
        .mark_bar()
        .encode(
            x=alt.X(
                "from:Q", bin="binned", title="thousand characters", axis=alt.Axis(tickCount=6)
            ),
            x2=alt.X2("to:Q"),
            y=alt.Y("rows:Q", title="rows", axis=alt.Axis(tickCount=4)),
            color=_split_colour(parts),
        )
    )
    return _svg(chart)


def _split_colour(parts: Parts) -> Any:
    return _colour("split", {name: _SPLIT_COLOURS[name] for name, part in parts.items() if part})


def _colour(field: str, colours: Mapping[str, str]) -> Any:
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    return alt.Color(f"{field}:N", scale=scale, legend=alt.Legend(title=None))


def _svg(chart: Any, width: int = 300, height: int = 170) -> str:
    styled = (
        chart.properties(width=width, height=height, background="transparent")
        .configure(font="sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="currentColor",
            titleColor="currentColor",
            titleFontWeight="normal",
            domainColor="currentColor",
            tickColor="currentColor",
            gridColor="currentColor",
            gridOpacity=0.15,
        )
        .configure_legend(orient="top", labelColor="currentColor")
    )
    return str(vl_convert.vegalite_to_svg(vl_spec=styled.to_dict()))
