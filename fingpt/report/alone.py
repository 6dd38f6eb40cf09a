"""What a report would say of one set of forecasts that another system made: intervals, skill, leaks, power. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fingpt.prompts.examples import Example
from fingpt.record import Frozen
from fingpt.report.baselines import BaselineScore, baselines, score
from fingpt.report.clusters import Weeks
from fingpt.report.formatting import interval, number, p_value
from fingpt.report.headline import SKILLS
from fingpt.report.leaks import leaks
from fingpt.report.lines import Variant, measured
from fingpt.report.measures import ACCURACY, ACCURACY_EXCESS, BOTH, MSE, PARSED
from fingpt.report.power import planned, statement, window_days
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.skill import Skill, skills
from fingpt.report.stats import Estimate, WeekBootstrap
from fingpt.runs.manifest import DatasetManifest, Finding

METRICS = (PARSED, ACCURACY, ACCURACY_EXCESS, MSE)


class Alone(Frozen):
    """One set of forecasts: `values` by metric with 95 % intervals, `skills` against `baselines` on the same rows.

    `leak`: what of the rows spoils them (empty for nothing known). `power`: what so many rows show of two models.
    """

    values: dict[str, Estimate]
    baselines: tuple[BaselineScore, ...]
    skills: tuple[Skill, ...]
    findings: tuple[Finding, ...]
    leak: str
    power: str


def alone(
    examples: Sequence[Example],
    direction: Sequence[float],
    margin: Sequence[float],
    findings: Sequence[Finding],
) -> Alone:
    """Judge forecasts of `examples`: NaN for a direction that was not read, or a size that was not stated."""
    rows = _arrays(examples, direction, margin)
    weeks = Weeks.of(rows.week, window_days(examples))
    variant = Variant.of([rows], weeks)
    data = DatasetManifest(
        id="", source="", split_rule="", counts={}, weeks={}, findings=tuple(findings), files=()
    )
    leak = leaks([data], rows).get("forecast", "")
    found = baselines(examples, [])
    bootstrap = WeekBootstrap(variant.codes, block=weeks.block)
    everything = np.ones(rows.n, dtype=bool)
    return Alone(
        values={
            metric.key: measured(metric, variant, variant.mask(metric, variant.read), weeks.count)[
                0
            ]
            for metric in METRICS
        },
        baselines=tuple(score(baseline, bootstrap, everything) for baseline in found),
        skills=skills([("these answers", variant, leak)], found),
        findings=data.findings,
        leak=leak,
        power=statement(planned(examples, [])),
    )


def told(its: Alone) -> list[str]:
    """The judgement in lines of text."""
    lines = [f"LEAKED DATA, NO EVIDENCE OF SKILL: {its.leak}"] if its.leak else []
    for metric in METRICS:
        value = its.values[metric.key]
        figure = None if value.value is None else value.value * metric.scale
        spread = interval(value, metric.digits, metric.scale)
        title = metric.title.replace(BOTH, "answers that can be read")
        lines.append(
            f"{metric.group}, {title}: {number(figure, metric.digits)} {metric.unit}, "
            f"95 % interval {spread}, n = {value.n}"
        )
    for skill in its.skills:
        small = skill.question == "size"
        scale, digits, unit = (1.0, 2, "pp²") if small else (100.0, 1, "points")
        gain = number((skill.gain.value or 0.0) * scale, digits, signed=True)
        worse = (
            ""
            if skill.spa is None
            else f"; that no trivial forecast is better: {p_value(skill.spa)}"
        )
        lines.append(
            f"skill in {SKILLS[skill.question]}: {skill.verdict.label}{': ' if skill.why else ''}{skill.why} "
            f"({gain} {unit} against {skill.rival}, {interval(skill.gain, digits, scale, signed=True)}{worse})"
        )
    lines += [
        f"{finding.severity}: {finding.rule}, {finding.count} of {finding.of} rows: {finding.text}"
        for finding in its.findings
        if finding.severity != "info"
    ]
    return [*lines, f"power: {its.power}"]


def _arrays(
    examples: Sequence[Example], direction: Sequence[float], margin: Sequence[float]
) -> ScoreArrays:
    """The forecasts as a report has them; losses and text were not measured."""
    n = len(examples)
    read = (~np.isnan(np.array(direction))).astype(np.float64)
    return ScoreArrays(
        example=tuple(example.id for example in examples),
        week=tuple(example.start.isoformat() for example in examples),
        truth=np.array([example.margin for example in examples]),
        nll=np.full(n, np.nan),
        answer_tokens=np.full(n, np.nan),
        new_tokens=np.zeros(n),
        seconds=np.zeros(n),
        parsed=read,
        valid=read,
        direction=np.array(direction, dtype=np.float64),
        margin=np.array(margin, dtype=np.float64),
        rouge={},
    )
