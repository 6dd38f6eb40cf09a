"""Sides and their test rows → one Report record. Pure: same input, same report, same id."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from fingpt.prompts.examples import LABELS, Example
from fingpt.report.baselines import baselines, best_direction, score, skill
from fingpt.report.document import (
    NO_CHANGE,
    NO_SIZE,
    NOT_READ,
    BaseAgainstTuned,
    BinCount,
    CurvePoint,
    ModelEntry,
    Phase,
    Power,
    Report,
    Speed,
)
from fingpt.report.guidance import advise, facts, load_rules
from fingpt.report.headline import sentences, title, warnings
from fingpt.report.provenance import METHOD, parser_lines, provenance
from fingpt.report.sides import Side, phases
from fingpt.report.stats import WeekBootstrap, detectable_gap, mcnemar_p
from fingpt.report.table import base_against_tuned, table

_CURVE_POINTS = 400
_LEAST_DISCORDANCE = 0.2


def compose(
    sides: Sequence[Side], test: Sequence[Example], train: Sequence[Example], inputs: dict[str, str]
) -> Report:
    """The report on `sides`; `test` and `train` are the first side's data set, `inputs` key → sha256 of what was read.

    The first side is the reference. Skill is measured against
    baselines on the first side's rows, so sides with other rows have none.
    """
    known = {example.id: example for example in test}
    rows = [known[name] for name in sides[0].tuned.example]
    found = baselines(rows, train)
    bootstrap = WeekBootstrap(sides[0].tuned.week)
    rival, zero = best_direction(found), next(b for b in found if b.key == "zero")
    comparable = [side for side in sides if side.tuned.example == sides[0].tuned.example]
    skills = tuple(skill(side.title, side.tuned, zero, rival) for side in comparable)
    lines = table(sides)
    power = measure_power(comparable)
    rules = load_rules()
    names = [side.title for side in sides]
    return Report(
        title=title(sides, lines),
        models=tuple(_entry(side) for side in sides),
        warnings=warnings(sides, power),
        headline=sentences(sides, lines, skills, power),
        power=power,
        table=lines,
        baselines=tuple(score(baseline, bootstrap) for baseline in found),
        skills=skills,
        base_against_tuned=tuple(
            BaseAgainstTuned(model=side.title, lines=base_against_tuned(side)) for side in sides
        ),
        parsers=parser_lines(sides),
        speeds=tuple(speed for side in sides for speed in _speeds(side)),
        curves=tuple(point for side in sides for point in _curve(side)),
        phases=tuple(phase for side in sides for phase in _phases(side)),
        bins=tuple(count for side in sides for count in _bins(side)),
        rules_version=rules.version,
        guidance=advise(
            rules,
            facts(sides, lines, skills),
            names[0],
            names[1] if len(names) > 1 else "a second model",
        ),
        findings=sides[0].dataset.findings,
        provenance=provenance(sides),
        method=METHOD,
        finished_at=max(side.evaluation.finished_at for side in sides),
        inputs=inputs,
    )


def measure_power(sides: Sequence[Side]) -> Power:
    """What the rows can show between the first two sides; with one side, assumes the least discordance of 0.2."""
    first = sides[0].tuned
    second = sides[1].tuned if len(sides) > 1 else None
    gaps = first.correct - second.correct if second is not None else first.correct * 0
    discordance = max(float((gaps != 0).mean()), _LEAST_DISCORDANCE)
    bootstrap = WeekBootstrap(first.week)
    effect = max(bootstrap.design_effect(gaps), 1.0)
    return Power(
        n=first.n,
        weeks=bootstrap.weeks,
        discordance=discordance,
        design_effect=effect,
        gap=detectable_gap(first.n, discordance, effect),
        mcnemar_p=None if second is None else mcnemar_p(first.correct, second.correct),
    )


def _entry(side: Side) -> ModelEntry:
    base = f"{side.model.base}@{side.model.revision}"
    return ModelEntry(
        run=side.run, key=side.model.key, title=side.title, base=base, tiny=side.model.tiny
    )


def _speeds(side: Side) -> list[Speed]:
    return [
        Speed(
            model=side.title,
            variant=variant,
            samples_per_second=scores.samples_per_second,
            tokens_per_second=scores.tokens_per_second,
            tokens_per_answer=float(side.arrays[variant].new_tokens.mean()),
        )
        for variant, scores in sorted(side.evaluation.scores.items())
    ]


def _curve(side: Side) -> list[CurvePoint]:
    """Training losses, thinned to a few hundred points by leaving out steps, and every held-out loss."""
    stride = max(1, math.ceil(len(side.curve) / _CURVE_POINTS))
    last = len(side.curve) - 1
    points = []
    for index, step in enumerate(side.curve):
        if step.loss is not None and (index % stride == 0 or index == last):
            points.append(
                CurvePoint(model=side.title, kind="training", step=step.step, loss=step.loss)
            )
        if step.eval_loss is not None:
            points.append(
                CurvePoint(model=side.title, kind="held out", step=step.step, loss=step.eval_loss)
            )
    return points


def _phases(side: Side) -> list[Phase]:
    parts = [("train", phases(side.adapter.seconds)), ("eval", phases(side.scores.seconds))]
    if "base" in side.evaluation.scores:
        # The weights are loaded once for both variants; that time stands with the tuned model.
        base = phases(side.evaluation.scores["base"].seconds)
        parts.append(
            ("eval of the base", {name: spent for name, spent in base.items() if name != "load"})
        )
    return [
        Phase(model=side.title, stage=stage, phase=phase, seconds=seconds)
        for stage, timed in parts
        for phase, seconds in timed.items()
    ]


def _bins(side: Side) -> list[BinCount]:
    scores = side.tuned
    forecasts = zip(scores.direction.tolist(), scores.margin.tolist(), strict=True)
    pairs = zip(forecasts, scores.truth.tolist(), strict=True)
    counts = Counter((forecast_label(*forecast), bin_label(truth)) for forecast, truth in pairs)
    return [
        BinCount(model=side.title, forecast=forecast, realised=realised, rows=count)
        for (forecast, realised), count in sorted(counts.items())
    ]


def forecast_label(direction: float, margin: float) -> str:
    """The label text of a forecast; NaN stands for a direction that was not read, or a size that was not stated."""
    if math.isnan(direction):
        return NOT_READ
    if math.isnan(margin):
        return NO_SIZE.get(int(direction), NO_CHANGE)
    return bin_label(margin)


def bin_label(margin: float) -> str:
    """The label text of a move in percentage points; `no change` for 0."""
    if margin == 0:
        return NO_CHANGE
    number = min(math.ceil(abs(margin)), 6)
    middle = len(LABELS) // 2
    return LABELS[middle + number - 1] if margin > 0 else LABELS[middle - number]
