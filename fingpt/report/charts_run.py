"""The charts about running: loss curves, generation speed, run time by phase. Pure: Report in, charts out."""

from __future__ import annotations

import altair as alt

from fingpt.report.charts_style import (
    COLOURS,
    GREY,
    INK,
    LINE_HEIGHT,
    PHASES,
    WIDTH,
    Chart,
    Row,
    by_model,
    draw,
    named,
)
from fingpt.report.document import Report, Speed
from fingpt.report.formatting import number


def loss_curves(report: Report) -> Chart:
    """Training loss by optimizer step, and the loss on held-out rows where it was measured."""
    titles = [model.title for model in report.models]
    rows: list[Row] = [point.model_dump() for point in report.curves]
    colour, shape = by_model(titles)
    base = alt.Chart(named("rows")).encode(
        x=alt.X("step:Q", title="optimizer step", axis=alt.Axis(tickMinStep=1, tickCount=6)),
        y=alt.Y("loss:Q", title="loss, nats per answer token", scale=alt.Scale(zero=False)),
        color=colour,
        detail="member:N",
    )
    training = base.transform_filter("datum.kind == 'training'")
    held_out = base.transform_filter("datum.kind == 'held out'")
    several = any(point.member for point in report.curves)
    layers = [
        training.mark_line(strokeWidth=0.7 if several else 1.2, opacity=0.75),
        held_out.mark_line(strokeWidth=1.5, strokeDash=[5, 3]),
        held_out.mark_point(filled=True, size=60, opacity=1).encode(shape=shape),
    ]
    names: dict[str, list[Row]] = {}
    for index, title in enumerate(titles):
        names[f"name{index}"] = [{"name": title}]
        name = alt.Chart(named(f"name{index}")).mark_text(
            align="right",
            fontSize=12,
            fontWeight="bold",
            x=WIDTH - 60,
            y=12 + 16 * index,
            color=COLOURS[index % 4],
        )
        layers.append(name.encode(text="name:N"))
    ends = []
    for title in titles:
        for kind in ("training", "held out"):
            points = [
                point
                for point in report.curves
                if (point.model, point.kind, point.member) == (title, kind, 0)
            ]
            if points:
                first, last = points[0], points[-1]
                ends.append(
                    f"{title}, {kind}: {first.loss:.3f} at step {first.step} to {last.loss:.3f} at step {last.step}"
                )
    return Chart(
        key="loss",
        title="Loss while training (line) and on held-out rows (dashed, with marks), nats per answer token"
        + ("; a line for each run" if several else ""),
        alt="; ".join(ends) + "." if ends else "No training step was logged.",
        svg=draw(alt.layer(*layers).properties(width=WIDTH - 60, height=240), rows=rows, **names),
        header=("model", "run", "kind", "step", "loss"),
        rows=tuple(
            (p.model, str(p.member + 1), p.kind, str(p.step), number(p.loss, 4))
            for p in report.curves
        ),
    )


def speeds(report: Report) -> Chart:
    """Answers generated per second, tuned models and their bases; one timing each."""
    titles = [model.title for model in report.models]
    entries = [
        (
            f"{s.model}, {'untuned' if s.variant == 'base' else s.variant}",
            _figures(s),
            s,
        )
        for s in report.speeds
    ]
    rows: list[Row] = []
    for name, figures, s in entries:
        shade = 1.0 if s.variant == "tuned" else 0.45
        rows.append(
            {
                "name": name,
                "figures": figures,
                "model": s.model,
                "rate": s.samples_per_second,
                "shade": shade,
            }
        )
    colour, _ = by_model(titles)
    base = alt.Chart(named("rows")).encode(y=alt.Y("name:N", sort=None, axis=None))
    x = alt.X(
        "rate:Q",
        title="answers per second (one timing each, in batches)",
        axis=alt.Axis(tickCount=6),
    )
    bars = base.mark_bar(height=12, yOffset=16).encode(
        x=x, color=colour, opacity=alt.Opacity("shade:Q", scale=None, legend=None)
    )
    labels = [
        base.mark_text(
            align="left", fontSize=12, color=INK, x=0, yOffset=-14, fontWeight="bold"
        ).encode(text="name:N"),
        base.mark_text(align="left", fontSize=11, color=INK, x=0, yOffset=1).encode(
            text="figures:N"
        ),
    ]
    return Chart(
        key="speed",
        title="Samples per second while generating; bars of tuned models are full, of untuned ones pale",
        alt="; ".join(f"{name}: {figures}" for name, figures, _ in entries) + ".",
        svg=draw(
            alt.layer(bars, *labels).properties(width=WIDTH - 30, height=52 * len(rows)), rows=rows
        ),
        header=("model", "answers per s", "tokens per s", "tokens per answer"),
        rows=tuple(
            (
                name,
                number(s.samples_per_second, 3),
                number(s.tokens_per_second, 1),
                number(s.tokens_per_answer, 1),
            )
            for name, _, s in entries
        ),
    )


def run_times(report: Report) -> Chart:
    """Seconds by phase, stacked, one bar per model and stage."""
    totals: dict[str, float] = {}
    for phase in report.phases:
        bar = f"{phase.model}, {phase.stage}"
        totals[bar] = totals.get(bar, 0.0) + phase.seconds
    rows: list[Row] = [
        {
            "bar": (bar := f"{phase.model}, {phase.stage}"),
            "phase": phase.phase,
            "seconds": phase.seconds,
            "order": float(_order(phase.phase)),
            "name": f"{bar}: {number(totals[bar], 1)} s",
        }
        for phase in report.phases
    ]
    phases = sorted({phase.phase for phase in report.phases}, key=_order)
    palette = [PHASES.get(phase, GREY) for phase in phases]
    base = alt.Chart(named("rows")).encode(y=alt.Y("bar:N", sort=None, axis=None))
    bars = base.mark_bar(height=14, yOffset=9, stroke=INK, strokeWidth=0.5).encode(
        x=alt.X("seconds:Q", title="seconds", stack="zero", axis=alt.Axis(tickCount=6)),
        color=alt.Color(
            "phase:N",
            sort=None,
            scale=alt.Scale(domain=phases, range=palette),
            legend=alt.Legend(title="phase", columns=4),
        ),
        order=alt.Order("order:Q"),
    )
    names = base.mark_text(align="left", fontSize=12, color=INK, x=0, yOffset=-8)
    names = names.encode(text="name:N").transform_aggregate(groupby=["bar", "name"])
    return Chart(
        key="time",
        title="Run time by phase, in seconds, each stage timed once",
        alt="; ".join(f"{bar}: {number(seconds, 1)} s" for bar, seconds in totals.items()) + ".",
        svg=draw(
            alt.layer(bars, names).properties(
                width=WIDTH - 30, height=(LINE_HEIGHT + 4) * max(len(totals), 1)
            ),
            rows=rows,
        ),
        header=("model", "stage", "phase", "seconds"),
        rows=tuple((p.model, p.stage, p.phase, number(p.seconds, 2)) for p in report.phases),
    )


def _figures(speed: Speed) -> str:
    return (
        f"{number(speed.samples_per_second, 2)} answers per s, {number(speed.tokens_per_second, 1)} tokens per s, "
        f"{number(speed.tokens_per_answer, 0)} tokens per answer"
    )


def _order(phase: str) -> int:
    names = list(PHASES)
    return names.index(phase) if phase in names else len(names)
