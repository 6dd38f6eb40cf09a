"""Sides and their test rows → one Report record. Pure: same input, same report, same id."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingpt.prompts.examples import LABELS, Example
from fingpt.report.baselines import Baseline, baselines, score
from fingpt.report.chosen import Texts
from fingpt.report.clusters import Weeks
from fingpt.report.document import (
    NO_CHANGE,
    NO_SIZE,
    NOT_READ,
    Asked,
    BaseAgainstTuned,
    BinCount,
    CurvePoint,
    ModelEntry,
    OriginLine,
    Phase,
    Report,
    Speed,
)
from fingpt.report.flips import PRIMARY_ALPHA, SECONDARY_ALPHA
from fingpt.report.guidance import advise, facts, load_rules
from fingpt.report.headline import sentences, title, warnings, watermark
from fingpt.report.lines import Variant
from fingpt.report.measures import MEASURES
from fingpt.report.members import taken
from fingpt.report.memory import cutoff_map, memory
from fingpt.report.power import (
    Power,
    design_effect,
    detectable_gap,
    label_spread,
    plan,
    window_days,
)
from fingpt.report.provenance import method, parser_lines, provenance
from fingpt.report.reliability import reliability
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.sides import Side, phases
from fingpt.report.skill import Skill, skills
from fingpt.report.stats import WeekBootstrap, mcnemar_p
from fingpt.report.table import Tables, tables
from fingpt.report.validity import validity

_CURVE_POINTS = 400
_LEAST_DISCORDANCE = 0.2


def compose(
    sides: Sequence[Side],
    test: Sequence[Example],
    train: Sequence[Example],
    inputs: dict[str, str],
    openings: int | None = None,
    texts: Texts = Texts.ALL,
) -> Report:
    """The report on `sides`; `test` and `train` are the first side's data set, `inputs` key → sha256 of what was read.

    Skill is measured against baselines on the first side's rows, so sides with other rows have none. `openings`: how
    many runs opened the test split. `texts`: which texts the page of rows may show.
    """
    weeks = weeks_of(sides, test)
    made = tables(sides, weeks)
    known = {example.id: example for example in test}
    found = baselines([known[name] for name in sides[0].tuned.example], train)
    answered = sides[0].tuned.asked > 0
    bootstrap = WeekBootstrap(weeks.codes(sides[0].tuned.week)[answered], block=weeks.block)
    comparable = [side for side in sides if side.tuned.example == sides[0].tuned.example]
    measured = _skills(comparable, weeks, found)
    power = measure_power(comparable, weeks, train, every=MEASURES[made.primary].rows == "scored")
    rules = load_rules()
    asked = _asked(made, sides, openings)
    mark = watermark(sides)
    return Report(
        watermark=mark,
        title=" ".join(filter(None, [mark and f"{mark}:", title(sides, made)])),
        models=tuple(_entry(side) for side in sides),
        texts=texts,
        rows=sides[0].tuned.n,
        validity=validity(sides, openings, power.weeks),
        asked=asked,
        warnings=warnings(sides, power),
        headline=sentences(sides, made, measured, asked, power),
        power=power,
        mcnemar_p=_mcnemar(*comparable) if len(comparable) == len(sides) == 2 else None,
        table=made.lines,
        by_origin=_by_origin(comparable, made.primary),
        baselines=tuple(score(baseline, bootstrap, answered) for baseline in found),
        skills=measured,
        base_against_tuned=tuple(
            BaseAgainstTuned(model=side.title, lines=lines)
            for side, lines in zip(sides, made.own, strict=True)
        ),
        parsers=parser_lines(sides),
        **_plotted(sides),
        memory={
            side.title: told for side in sides if (told := memory(side.model, side.tuned, train))
        },
        cutoffs=cutoff_map([side.model for side in sides], {"train": train, "test": test}),
        rules_version=rules.version,
        guidance=advise(rules, facts(sides, made.lines, measured)),
        findings=tuple(dict.fromkeys(finding for side in sides for finding in side.findings)),
        provenance=provenance(sides),
        method=method(asked),
        finished_at=max(side.evaluation.finished_at for side in sides),
        inputs=inputs,
    )


def _skills(sides: Sequence[Side], weeks: Weeks, rivals: Sequence[Baseline]) -> tuple[Skill, ...]:
    judged = [
        (
            side.title,
            Variant.of(side.seeds("tuned"), weeks),
            side.leaks().get("forecast", ""),
        )
        for side in sides
    ]
    return skills(judged, rivals)


def _plotted(sides: Sequence[Side]) -> dict[str, Any]:
    """What charts alone show."""
    return {
        "speeds": tuple(speed for side in sides for speed in _speeds(side)),
        "curves": tuple(point for side in sides for point in _curve(side)),
        "phases": tuple(phase for side in sides for phase in _phases(side)),
        "bins": tuple(count for side in sides for count in _bins(side)),
        "reliability": {
            side.title: reliability(side.tuned)
            for side in sides
            if side.tuned.label_logp is not None and side.tuned.n
        },
    }


def _by_origin(sides: Sequence[Side], primary: str) -> tuple[OriginLine, ...]:
    """The primary metric of each side over each origin's rows, the mean over seeds; nothing without a walk-forward."""
    rows = sides[0].origin
    if rows is None:
        return ()
    metric = MEASURES[primary]
    found = []
    for origin in sorted(set(rows.tolist())):
        parts = [[taken(one, rows == origin) for one in side.seeds("tuned")] for side in sides]
        scored = [[metric.of(one) for one in seeds] for seeds in parts]
        values = [[one.value for one in seeds] for seeds in scored]
        found.append(
            OriginLine(
                origin=origin,
                n=scored[0][0].n,
                weeks=len(set(parts[0][0].week)),
                values=tuple(
                    None if None in each else float(np.mean(np.array(each, dtype=float)))
                    for each in values
                ),
            )
        )
    return tuple(found)


def weeks_of(sides: Sequence[Side], test: Sequence[Example]) -> Weeks:
    """What is drawn as one: the start days of all rows, with the commonest length of a label window."""
    return Weeks.of((day for side in sides for day in side.tuned.week), window_days(test))


def measure_power(
    sides: Sequence[Side], weeks: Weeks, train: Sequence[Example], *, every: bool
) -> Power:
    """What the rows can show between any two sides: of the pair whose forecasts, by discordance and lean, show least.

    `every`: whether the primary question is asked of every row, or only of rows whose answer in prose was asked for;
    how two models differ is known of the latter alone. The market's part comes from the training weeks' labels, since
    a few test weeks tell it badly.
    """
    spread = label_spread(train, weeks.days)

    def shape(*both: ScoreArrays) -> tuple[int, int]:
        rows = np.ones(both[0].n, dtype=bool) if every else _asked_of(*both)
        days = weeks.codes(both[0].week)[rows]
        return int(rows.sum()), len(np.unique(days)) // weeks.block

    if len(sides) == 1:
        return plan(*shape(sides[0].tuned), spread)
    found = [
        _pair_power(one.tuned, two.tuned, shape(one.tuned, two.tuned), spread)
        for one, two in combinations(sides, 2)
    ]
    return max(found, key=lambda power: math.inf if power.gap is None else power.gap)


def _asked_of(*models: ScoreArrays) -> NDArray[np.bool_]:
    """Which rows every one of these models was asked to answer in prose."""
    found: NDArray[np.bool_] = np.all([scores.asked > 0 for scores in models], axis=0)
    return found


def _pair_power(
    first: ScoreArrays, second: ScoreArrays, shape: tuple[int, int], spread: float
) -> Power:
    n, weeks = shape
    one, two = (taken(scores, _asked_of(first, second)) for scores in (first, second))
    discordance, lean = _LEAST_DISCORDANCE, 0.0
    if one.n:
        discordance = max(float((one.correct != two.correct).mean()), _LEAST_DISCORDANCE)
        lean = float((one.direction > 0).mean() - (two.direction > 0).mean())
    effect = design_effect(spread, n / max(weeks, 1), lean, discordance)
    return Power(
        n=n,
        weeks=weeks,
        discordance=discordance,
        design_effect=effect,
        gap=detectable_gap(n, weeks, discordance, effect),
    )


def _mcnemar(first: Side, second: Side) -> float:
    rows = _asked_of(first.tuned, second.tuned)
    return mcnemar_p(first.tuned.correct[rows], second.tuned.correct[rows])


def _asked(made: Tables, sides: Sequence[Side], openings: int | None) -> Asked:
    line = next(line for line in made.lines if line.primary)
    return Asked(
        primary=line.key,
        title=f"{line.group}, {line.title}",
        margin=made.margin,
        primary_level=1 - PRIMARY_ALPHA,
        secondary_level=1 - SECONDARY_ALPHA,
        secondary=made.secondary,
        seeds=tuple(len(side.seeds("tuned")) for side in sides),
        block=made.block,
        openings=openings,
    )


def _entry(side: Side) -> ModelEntry:
    base = f"{side.model.base}@{side.model.revision}"
    return ModelEntry(
        runs=side.runs, key=side.model.key, title=side.title, base=base, tiny=side.model.tiny
    )


def _speeds(side: Side) -> list[Speed]:
    return [
        Speed(
            model=side.title,
            variant=variant,
            samples_per_second=scores.samples_per_second,
            tokens_per_second=scores.tokens_per_second,
            tokens_per_answer=float(np.nanmean(side.arrays[variant].new_tokens)),
        )
        for variant, scores in sorted(side.evaluation.scores.items())
    ]


def _curve(side: Side) -> list[CurvePoint]:
    """Training losses of all runs, thinned to a few hundred points by leaving out steps, and every held-out loss."""
    points = []
    for member, curve in enumerate((side.curve, *side.other_curves)):
        one = partial(CurvePoint, model=side.title, member=member)
        stride = max(1, math.ceil(len(curve) / _CURVE_POINTS))
        for index, step in enumerate(curve):
            if step.loss is not None and (index % stride == 0 or index == len(curve) - 1):
                points.append(one(kind="training", step=step.step, loss=step.loss))
            if step.eval_loss is not None:
                points.append(one(kind="held out", step=step.step, loss=step.eval_loss))
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
    scores = taken(side.tuned, side.tuned.asked > 0)
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
