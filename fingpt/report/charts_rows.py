"""Maps of symbol by week: where each model was right. Pure: row entries in, one chart per model out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import altair as alt

from fingpt.report.charts_style import GREY, WIDTH, Chart, Row, draw, named
from fingpt.report.document import NOT_READ
from fingpt.report.rows import NOT_ASKED, RowEntry

_COLOURS = {"right": "#2a9d6e", "wrong": "#d9640f", NOT_READ: GREY, NOT_ASKED: GREY}
_SHAPES = {
    "right": "square",
    "wrong": "cross",
    NOT_READ: "triangle-down",
    NOT_ASKED: "stroke",
}  # told apart without colour
_MOST_WEEKS = 60
_MOST_SYMBOLS = 120


def outcome_maps(entries: Sequence[RowEntry], titles: Sequence[str]) -> list[Chart]:
    """One map per model: symbols down, weeks across, right counts in the margins.

    None where there are more weeks or symbols than a person can see at once; the table remains.
    """
    weeks = {entry.week for entry in entries}
    symbols = {entry.symbol for entry in entries}
    if len(weeks) > _MOST_WEEKS or len(symbols) > _MOST_SYMBOLS or not entries:
        return []
    return [_map(entries, place, title) for place, title in enumerate(titles)]


def _map(entries: Sequence[RowEntry], place: int, title: str) -> Chart:
    outcomes = [(entry, entry.models[place].direction) for entry in entries]
    counts = Counter(word for _, word in outcomes)
    by_week = _shares((entry.week, word) for entry, word in outcomes)
    by_symbol = _shares((entry.symbol, word) for entry, word in outcomes)
    rows: list[Row] = [
        {
            "week": f"{entry.week[2:]} · {by_week[entry.week]}",
            "symbol": f"{entry.symbol} · {by_symbol[entry.symbol]}",
            "outcome": word,
        }
        for entry, word in outcomes
    ]
    base = alt.Chart(named("rows")).encode(
        x=alt.X("week:O", title=None, axis=alt.Axis(labelAngle=-90)),
        y=alt.Y("symbol:O", title=None),
    )
    names = [word for word in _COLOURS if word != NOT_ASKED or counts[word]]
    legend = alt.Legend(title=None)
    marks = base.mark_point(filled=True, size=60, opacity=0.9, strokeWidth=2, aria=False).encode(
        color=alt.Color(
            "outcome:N",
            scale=alt.Scale(domain=names, range=[_COLOURS[name] for name in names]),
            legend=legend,
        ),
        shape=alt.Shape(
            "outcome:N",
            scale=alt.Scale(domain=names, range=[_SHAPES[name] for name in names]),
            legend=legend,
        ),
    )
    height = 14 * len({row["symbol"] for row in rows})
    chart = alt.layer(marks).properties(width=WIDTH - 110, height=height)
    figures = ", ".join(f"{counts[word]} {word}" for word in names)
    return Chart(
        key=f"map-{place}",
        title=f"{title}: direction by symbol and week, with how many rows of each were right",
        alt=f"{title}: {figures} of {len(entries)} rows; the table below has each of them.",
        svg=draw(chart, rows=rows),
        header=("symbol", "week from", "outcome"),
        rows=tuple((entry.symbol, entry.week, word) for entry, word in outcomes),
    )


def _shares(outcomes: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Name → `right/all` of the rows that were asked."""
    totals: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for name, word in outcomes:
        totals[name] += word != NOT_ASKED
        right[name] += word == "right"
    return {name: f"{right[name]}/{count}" for name, count in totals.items()}
