"""The charts about scores: ROUGE, MSE, accuracy, differences, and forecast against realised bins. Pure: Report in."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from fingpt.prompts.examples import LABELS
from fingpt.report.charts_style import COLOURS, INK, WIDTH, Chart, Row, draw, intervals, named
from fingpt.report.document import NO_CHANGE, NO_SIZE, NOT_READ, Report
from fingpt.report.formatting import spread, unit, value
from fingpt.report.lines import Line
from fingpt.report.stats import Estimate

_SHORT = {
    label: label.replace("more than 5%", "5+")
    .replace("%", "")
    .replace("up by ", "↑")
    .replace("down by ", "↓")
    for label in LABELS
}


def score_charts(report: Report) -> list[Chart]:
    """All charts about scores, in the page's order."""
    charts = [
        rouge(report),
        against_baselines(report, "mse"),
        against_baselines(report, "accuracy"),
    ]
    if len(report.models) > 1:
        charts.append(differences(report))
    return [*charts, *bins(report)]


def rouge(report: Report) -> Chart:
    """ROUGE by section, one mark per model and score, with intervals."""
    titles = [model.title for model in report.models]
    lines = [line for line in report.table if line.group == "ROUGE"]
    rows: list[Row] = []
    for line in lines:
        figures = " · ".join(value(line, estimate) for estimate in line.values)
        for title, estimate in zip(titles, line.values, strict=True):
            rows.append(_row(f"{line.title}: {figures}", title, estimate))
    return Chart(
        key="rouge",
        title="ROUGE by section of the answer, all test rows, unread answers as 0 (F-measure, 0 to 1)",
        alt=_figures(lines, titles),
        svg=intervals(rows, titles, "ROUGE F-measure with 95 % interval", zero=True),
        header=("score", "model", "value", "95 % interval"),
        rows=tuple(
            (line.title, title, value(line, estimate), spread(line, estimate))
            for line in lines
            for title, estimate in zip(titles, line.values, strict=True)
        ),
    )


def against_baselines(report: Report, key: str) -> Chart:
    """MSE or binary accuracy of every model, and its base, beside forecasts that need no model."""
    line = next(line for line in report.table if line.key == key)
    titles = [model.title for model in report.models]
    entries = [
        (title, title, estimate) for title, estimate in zip(titles, line.values, strict=True)
    ]
    for own in report.base_against_tuned:
        entries += [
            (f"{own.model}, untuned", "", base.values[0]) for base in own.lines if base.key == key
        ]
    for baseline in report.baselines:
        estimate = baseline.mse if key == "mse" else baseline.accuracy
        if estimate is not None:
            entries.append((baseline.title, "", estimate))
    marks = [
        _row(f"{name}: {value(line, estimate)} {line.unit}", series, estimate, line.scale)
        for name, series, estimate in entries
    ]
    noun = "MSE" if key == "mse" else "Binary accuracy"
    axis = (
        "squared percentage points (lower is better)"
        if key == "mse"
        else "right directions, % (dashed: 50 %)"
    )
    return Chart(
        key=key,
        title=f"{noun} over {_rows(report, line)} test rows, beside forecasts without a model",
        alt=f"{noun}: "
        + "; ".join(f"{name} {value(line, e)} {line.unit}" for name, _, e in entries)
        + ".",
        svg=intervals(marks, titles, axis, rule=None if key == "mse" else 50.0),
        header=("forecast", f"{noun} ({line.unit})", "95 % interval"),
        rows=tuple((name, value(line, e), spread(line, e)) for name, _, e in entries),
    )


def _rows(report: Report, line: Line) -> str:
    n = max(estimate.n for estimate in line.values)
    return f"all {n}" if n == report.rows else f"{n} of {report.rows}"


def differences(report: Report) -> Chart:
    """Every comparable difference in percent of the earlier model's value, turned so that right is better."""
    titles = [model.title for model in report.models]
    rows: list[Row] = []
    table: list[tuple[str, ...]] = []
    for line in report.table:
        for comparison in line.comparisons:
            gap, start = comparison.difference, line.values[comparison.first].value
            if gap is None or gap.value is None or gap.low is None or not start:
                continue
            pair = f"{titles[comparison.second]} against {titles[comparison.first]}"
            sign = 100 / abs(start) * (1 if line.higher_is_better else -1)
            turned = [v * sign for v in (gap.value, gap.low, gap.high or 0.0)]
            name = _name(line) if len(titles) == 2 else f"{_name(line)}, {pair}"
            rows.append(
                {
                    "label": f"{name}: {comparison.verdict.label}",
                    "series": titles[comparison.second],
                    "value": turned[0],
                    "low": min(turned[1:]),
                    "high": max(turned[1:]),
                }
            )
            shown = f"{value(line, gap, signed=True)} {unit(line, difference=True)}".strip()
            table.append(
                (_name(line), pair, shown, spread(line, gap, signed=True), comparison.phrase)
            )
    if not rows:
        label = "nothing is comparable"
        rows = [{"label": label, "series": "", "value": 0.0, "low": None, "high": None}]
    others = titles[1] if len(titles) == 2 else "the model named first"
    return Chart(
        key="differences",
        title=f"Differences in % of the other model's value; right of the dashed line {others} did better",
        alt="; ".join(f"{row[0]}: {row[2]}, {row[4]}" for row in table) or "Nothing is comparable.",
        svg=intervals(rows, titles, "better by, % (bars: intervals, corrected)", rule=0.0),
        header=("metric", "models", "difference", "interval", "verdict"),
        rows=tuple(table),
    )


def bins(report: Report) -> list[Chart]:
    """Per model: how often each bin was forecast where each bin came true."""
    return [_bins(report, index) for index in range(len(report.models))]


def _bins(report: Report, index: int) -> Chart:
    title = report.models[index].title
    cells = [cell for cell in report.bins if cell.model == title]
    short = {**_SHORT, NO_CHANGE: "none", NOT_READ: "unread", NO_SIZE[1]: "↑ ?", NO_SIZE[-1]: "↓ ?"}
    forecast = {cell.forecast for cell in cells}
    extra = [name for name in short if name not in _SHORT and name in forecast]
    order = [*extra, *LABELS]
    rows: list[Row] = [
        {"realised": short[c.realised], "forecast": short[c.forecast], "rows": float(c.rows)}
        for c in cells
    ]
    base = alt.Chart(named("rows")).encode(
        x=alt.X(
            "realised:N",
            sort=None,
            scale=alt.Scale(domain=[_SHORT[label] for label in LABELS]),
            axis=alt.Axis(title="realised move, % (↓ down, ↑ up)", labelAngle=0, labelFontSize=10),
        ),
        y=alt.Y(
            "forecast:N",
            sort=None,
            scale=alt.Scale(domain=[short[label] for label in reversed(order)]),
            axis=alt.Axis(title="forecast move, %"),
        ),
    )
    most = max((cell.rows for cell in cells), default=1)
    shade = alt.Opacity("rows:Q", scale=alt.Scale(domain=[0, most], range=[0.08, 0.6]), legend=None)
    boxes = base.mark_rect(color=COLOURS[index % len(COLOURS)]).encode(opacity=shade)
    counts = base.mark_text(fontSize=11, color=INK).encode(text=alt.Text("rows:Q", format="d"))
    right = sum(cell.rows for cell in cells if cell.forecast.split()[0] == cell.realised.split()[0])
    exact = sum(cell.rows for cell in cells if cell.forecast == cell.realised)
    return Chart(
        key=f"bins-{index + 1}",
        title=f"{title}: forecast against realised bins (number of test rows)",
        alt=f"Of {sum(c.rows for c in cells)} rows, {right} have the right direction and {exact} the right bin.",
        svg=draw(
            alt.layer(boxes, counts).properties(width=WIDTH - 80, height=24 * len(order)), rows=rows
        ),
        header=("forecast", *(_SHORT[label] for label in LABELS)),
        rows=tuple(
            (
                name,
                *(
                    str(sum(c.rows for c in cells if (c.forecast, c.realised) == (name, label)))
                    for label in LABELS
                ),
            )
            for name in order
        ),
    )


def _row(label: str, series: str, estimate: Estimate, scale: float = 1.0) -> Row:
    def scaled(figure: float | None) -> float | None:
        return None if figure is None else figure * scale

    return {
        "label": label,
        "series": series,
        "value": scaled(estimate.value),
        "low": scaled(estimate.low),
        "high": scaled(estimate.high),
    }


def _figures(lines: Sequence[Line], titles: Sequence[str]) -> str:
    parts = []
    for line in lines:
        figures = [
            f"{title} {value(line, e)}" for title, e in zip(titles, line.values, strict=True)
        ]
        parts.append(f"{line.title}: {', '.join(figures)}")
    return "; ".join(parts) + "."


def _name(line: Line) -> str:
    """A short name that fits above a mark together with the longest verdict."""
    if line.group == "ROUGE":
        return line.title
    group = "MSE" if line.group == "MSE" else line.group.removeprefix("Binary ").capitalize()
    return f"{group}, {line.title.split(',')[0]}"
