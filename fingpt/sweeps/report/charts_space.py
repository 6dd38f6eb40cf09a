"""The charts of a space: value against a parameter, parallel coordinates, importance. Pure: report in, charts out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import altair as alt

from fingpt.report.charts_style import (
    COLOURS,
    GREY,
    INK,
    LINE_HEIGHT,
    SHAPES,
    WIDTH,
    Chart,
    Row,
    draw,
    named,
)
from fingpt.report.formatting import number, percent
from fingpt.report.titles import short
from fingpt.sweeps.report.document import StudyReport, TrialLine
from fingpt.sweeps.report.places import Axis, axes, rate_axis, second_axis

_TOP = 5
_MARKS = (*SHAPES, "cross", "triangle-down")
_BANDS = 3
"""Groups into which a second axis of many numbers is cut."""


def value_chart(study: StudyReport) -> Chart | None:
    """Value of each complete trial over the learning rate, told apart by rank; other parameters where these lack."""
    space = axes(study.definition)
    first = rate_axis(space)
    trials = complete(study)
    if first is None or not trials:
        return None
    second = second_axis(space, first)
    groups = _groups(second, trials)
    names = list(dict.fromkeys(groups))
    names = [name for name in _order(second) if name in names] or names
    rows: list[Row] = [
        {"x": first.number(t.settings), "value": t.value, "group": group}
        for t, group in zip(trials, groups, strict=True)
    ]
    default = first.number(study.default_settings)
    scale = alt.Scale(type="log" if first.log else "linear", zero=False, nice=False, padding=12)
    base = alt.Chart(named("rows")).encode(
        x=alt.X("x:Q", title=first.parameter.keys[0], scale=scale, axis=_axis(first)),
        y=alt.Y(
            "value:Q",
            title="value, nats",
            scale=alt.Scale(zero=False, padding=10),
            axis=alt.Axis(tickCount=6, format=".3f"),
        ),
    )
    layers: list[alt.Chart] = []
    if default is not None:
        rule = alt.Chart(named("default")).mark_rule(color=INK, strokeDash=[4, 3], opacity=0.5)
        layers.append(rule.encode(x=alt.X("x:Q", scale=scale)))
    layers.append(_points(base, second, names))
    by = f", by {second.name}" if second else ""
    dashed = " (dashed: the default)" if default is not None else ""
    best = min(trials, key=lambda t: (t.value, t.number))
    return Chart(
        key=f"value-{study.model}-{study.sweep}",
        title=f"{study.title}: value of complete trials over {first.name}{by}{dashed}",
        alt=f"{study.counts['complete']} complete trials; the best is {number(best.value, 4)} nats at "
        f"{first.name} {first.words(best.settings)}.",
        svg=draw(
            alt.layer(*layers).properties(width=WIDTH - 60, height=260),
            rows=rows,
            default=[{"x": default}],
        ),
        header=("trial", first.name, second.name if second else "–", "value, nats"),
        rows=tuple(
            (
                str(t.number),
                first.words(t.settings),
                second.words(t.settings) if second else "",
                number(t.value, 4),
            )
            for t in trials
        ),
    )


def _points(base: alt.Chart, second: Axis | None, names: Sequence[str]) -> alt.Chart:
    """Marks for trials, told apart by the group of the second axis where there is one."""
    if second is None:
        plain: alt.Chart = base.mark_point(filled=True, size=70, opacity=0.9, color=COLOURS[0])
        return plain
    legend = alt.Legend(
        title=second.name,
        columns=2 if max(map(len, names)) > 8 else 4,
        labelLimit=200,
        columnPadding=24,
    )
    colours = alt.Scale(domain=list(names), range=[COLOURS[n % 4] for n in range(len(names))])
    shapes = alt.Scale(domain=list(names), range=[_MARKS[n % 6] for n in range(len(names))])
    points: alt.Chart = base.mark_point(filled=True, size=70, opacity=0.9).encode(
        color=alt.Color("group:N", scale=colours, legend=legend),
        shape=alt.Shape("group:N", scale=shapes, legend=legend),
    )
    return points


def coordinates_chart(study: StudyReport) -> Chart | None:
    """Parallel coordinates: a complete trial is a line through all parameters to its value, the best five coloured."""
    space = axes(study.definition)
    trials = complete(study)
    if len(space) < 2 or len(trials) < 2:
        return None
    ranked = sorted(trials, key=lambda t: (t.value, t.number))
    best = {t.number for t in ranked[:_TOP]}
    values = [t.value for t in ranked if t.value is not None]
    low, high = values[0], values[-1]
    names = [axis.name for axis in space] + ["value"]
    rows = [
        {**row, "best": float(t.number in best)}
        for t in trials
        for row in _along(t, space, (low, high))
    ]
    labels: list[Row] = [
        {"axis": float(n), "share": share, "text": text}
        for n, axis in enumerate(space)
        for share, text in _ticks(axis)
    ]
    ends = ((0.0, number(low, 4)), (1.0, number(high, 4)))
    labels += [{"axis": float(len(space)), "share": share, "text": text} for share, text in ends]
    heads: list[Row] = [
        {"axis": float(n), "text": name, "low": 0.0, "high": 1.0, "share": 1.09}
        for n, name in enumerate(names)
    ]
    x = alt.X("axis:Q", axis=None, scale=alt.Scale(domain=[-0.35, len(names) - 0.5], nice=False))
    y = alt.Y("share:Q", axis=None, scale=alt.Scale(domain=[-0.06, 1.14], nice=False))
    lines = alt.Chart(named("rows")).encode(x=x, y=y, detail="trial:N")
    rules = alt.Chart(named("heads")).mark_rule(color=INK, opacity=0.4)
    text = alt.Chart(named("labels")).mark_text(align="left", dx=5, fontSize=11, color=INK)
    head = alt.Chart(named("heads")).mark_text(fontSize=11, fontWeight="bold", color=INK)
    chart = alt.layer(
        rules.encode(x=x, y=alt.Y("low:Q", axis=None), y2="high:Q"),
        lines.transform_filter("datum.best == 0").mark_line(
            color=GREY, strokeWidth=1, opacity=0.45
        ),
        lines.transform_filter("datum.best == 1").mark_line(
            color=COLOURS[1], strokeWidth=2, opacity=0.9
        ),
        text.encode(x=x, y=y, text="text:N"),
        head.encode(x=x, y=y, text="text:N"),
    )
    shown = [f"trial {t.number}: {number(t.value, 4)}" for t in ranked[:_TOP]]
    return Chart(
        key=f"coordinates-{study.model}-{study.sweep}",
        title=f"{study.title}: parameters of complete trials "
        f"(orange: the best {min(_TOP, len(ranked))}; below is better)",
        alt=f"Best: {'; '.join(shown)}.",
        svg=draw(chart.properties(width=WIDTH, height=280), rows=rows, labels=labels, heads=heads),
        header=("trial", *names),
        rows=tuple((str(t.number), *t.place, number(t.value, 4)) for t in ranked),
    )


def _along(trial: TrialLine, space: Sequence[Axis], ends: tuple[float, float]) -> list[Row]:
    """The points of a trial's line: its place on each axis that has one for it, and of its value between `ends`."""
    low, high = ends
    places = [axis.share(trial.settings) for axis in space]
    if trial.value is not None:
        places.append((trial.value - low) / (high - low) if high > low else 0.5)
    return [
        {"trial": float(trial.number), "axis": float(n), "share": share}
        for n, share in enumerate(places)
        if share is not None
    ]


def importance_chart(studies: Sequence[StudyReport]) -> Chart | None:
    """Shares of the parameters, a group of bars for each model."""
    told = [(n, study) for n, study in enumerate(studies) if study.importance]
    if not told:
        return None
    several = len(studies) > 1
    entries = [
        (n, f"{study.title}, {one.parameter}" if several else one.parameter, one.share)
        for n, study in told
        for one in study.importance
    ]
    rows: list[Row] = [
        {"name": f"{name}: {percent(share, 0)}", "share": share, "colour": COLOURS[n % 4]}
        for n, name, share in entries
    ]
    base = alt.Chart(named("rows")).encode(y=alt.Y("name:N", sort=None, axis=None))
    bars = base.mark_bar(height=10, yOffset=9).encode(
        x=alt.X(
            "share:Q",
            title="share",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format="%", tickCount=5),
        ),
        color=alt.Color("colour:N", scale=None),
    )
    names = base.mark_text(align="left", fontSize=12, color=INK, x=0, yOffset=-7).encode(
        text="name:N"
    )
    return Chart(
        key="importance",
        title="Which parameter decides whether a trial is among the best (PED-ANOVA, complete trials)",
        alt="; ".join(str(row["name"]) for row in rows) + ".",
        svg=draw(
            alt.layer(bars, names).properties(width=WIDTH - 30, height=LINE_HEIGHT * len(rows)),
            rows=rows,
        ),
        header=("model", "parameter", "share"),
        rows=tuple(
            (study.title, one.parameter, percent(one.share))
            for _, study in told
            for one in study.importance
        ),
    )


def complete(study: StudyReport) -> list[TrialLine]:
    """The trials that ended with a value, by number."""
    return [t for t in study.trials if t.state == "complete" and t.value is not None]


def _axis(axis: Axis) -> alt.Axis:
    if not axis.log:
        return alt.Axis(tickCount=6)
    low, high = min(axis.numbers()), max(axis.numbers())
    steps = [base * 10.0**power for power in range(-9, 10) for base in (1, 2, 5)]
    return alt.Axis(
        format=".0e" if high < 0.01 else "~g",
        values=[step for step in steps if low * 0.99 <= step <= high * 1.01],
    )


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    if axis.choices:
        last = max(len(axis.choices) - 1, 1)
        return [(n / last, _cut(text)) for n, text in enumerate(axis.choices)]
    low, high = axis.numbers()
    return [(0.0, short(low)), (1.0, short(high))]


def _cut(text: str) -> str:
    """A choice of several settings in a word, since axes stand close to one another."""
    word = text.partition(", ")[0]
    return word if len(word) <= 12 else f"{word[:11]}…"


def _groups(axis: Axis | None, trials: Sequence[TrialLine]) -> list[str]:
    """Which group of the second axis each trial is of: its choice, or a third of a range."""
    if axis is None:
        return [""] * len(trials)
    if axis.choices:
        return [axis.words(t.settings) for t in trials]
    bands = _bands(axis)
    shares = [axis.share(t.settings) or 0.0 for t in trials]
    return [bands[min(int(share * _BANDS), _BANDS - 1)] for share in shares]


def _order(axis: Axis | None) -> list[str]:
    if axis is None:
        return []
    return list(axis.choices) if axis.choices else _bands(axis)


def _bands(axis: Axis) -> list[str]:
    assert axis.parameter.range is not None  # a choice has its own words
    edges = [short(float(f"{axis.parameter.range.at(n / _BANDS):.2g}")) for n in range(_BANDS + 1)]
    return [f"{one} to {two}" for one, two in pairwise(edges)]
