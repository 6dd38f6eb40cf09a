"""The top of the report: title, warnings, and one sentence per question, from numbers computed elsewhere. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fingpt.report.baselines import Skill
from fingpt.report.document import Power, Sentence
from fingpt.report.formatting import interval, listed, number, spread, unit, value
from fingpt.report.lines import Line
from fingpt.report.sides import Side
from fingpt.report.stats import MIN_WEEKS
from fingpt.report.verdict import Verdict

_SMALL_GAP = 0.10


def title(sides: Sequence[Side], lines: Sequence[Line]) -> str:
    """The report's first line: what was found about direction, the question that the models were made for."""
    if len(sides) == 1:
        return f"{sides[0].title}: scores of one run"
    accuracy = _line(lines, "accuracy")
    parts = []
    for side, comparison in zip(sides[1:], accuracy.comparisons, strict=True):
        pair = f"{side.title} and {sides[0].title}"
        if comparison.verdict.decisive:
            parts.append(
                f"{side.title} forecasts direction {comparison.verdict.label} than {sides[0].title}"
            )
        elif comparison.verdict is Verdict.NOT_COMPARABLE:
            parts.append(f"{pair} cannot be compared: {comparison.why}")
        else:
            parts.append(f"{comparison.verdict.label.capitalize()} in direction between {pair}")
    return ". ".join(parts)


def warnings(sides: Sequence[Side], power: Power) -> tuple[str, ...]:
    """What a reader must know before any number, the most serious first."""
    found = [_leak(side) for side in sides if side.dataset.leaky]
    for side in sides:
        faults = [finding for finding in side.dataset.findings if finding.severity == "error"]
        if faults:
            named = listed([f"{f.rule} ({f.count} of {f.of} {f.split} rows)" for f in faults])
            found.append(
                f"The leak linter found errors in the data: {named}. Scores may be too good to be true."
            )
    if power.weeks < MIN_WEEKS:
        found.append(
            f"Only {power.n} test rows of {power.weeks} week(s): fewer than {MIN_WEEKS} weeks allow "
            "no interval and no verdict."
        )
    elif power.gap is None or power.gap > _SMALL_GAP:
        shown = (
            "cannot show any difference"
            if power.gap is None
            else f"show only gaps above {number(power.gap * 100, 0)} points"
        )
        found.append(
            f"Small test: {power.n} rows of {power.weeks} weeks {shown} in accuracy (80 % power)."
        )
    if any(side.model.tiny for side in sides):
        found.append(
            "Tiny stand-in models: their scores try out the pipeline and say nothing about the 8B models."
        )
    if all(side.dataset.source == "sample" for side in sides):
        found.append(
            "Synthetic sample rows of invented companies, some with planted signal: no score here is about markets."
        )
    for side in sides:
        found += [
            f"{side.title}: {text}" for text in (*side.adapter.warnings, *side.evaluation.warnings)
        ]
    return tuple(dict.fromkeys(found))


def sentences(
    sides: Sequence[Side], lines: Sequence[Line], skills: Sequence[Skill], power: Power
) -> tuple[Sentence, ...]:
    """One sentence per question for each later model, then one about trivial forecasts and one about power."""
    found: list[Sentence] = []
    for index, side in enumerate(sides[1:]):
        against = f"{side.title} against {sides[0].title}"
        for question, key in (("Direction", "accuracy"), ("Magnitude", "mse"), ("Loss", "loss")):
            found.append(_scored(question, against, _line(lines, key), index))
        found.append(_text(against, lines, index))
        for question, key in (("Speed", "samples_per_second"), ("Cost", "train_seconds")):
            found.append(_timed(question, against, _line(lines, key), index))
    found.append(_trivial(skills))
    if power.gap is not None:
        found.append(
            Sentence(
                question="Power",
                verdict=Verdict.NOTE,
                text=f"{power.n} rows of {power.weeks} weeks show differences in accuracy of about "
                f"{number(power.gap * 100, 0)} points or more (80 % power); smaller ones would go unseen.",
            )
        )
    return tuple(found)


def _leak(side: Side) -> str:
    return (
        f"LEAKY SPLIT: the rows were split at random ({side.dataset.split_rule}), so test answers stand in training "
        "prompts. No score in this report is evidence of skill."
    )


def _line(lines: Sequence[Line], key: str) -> Line:
    return next(line for line in lines if line.key == key)


def _scored(question: str, against: str, line: Line, index: int) -> Sentence:
    comparison = line.comparisons[index]
    if comparison.difference is None or comparison.why:
        return Sentence(
            question=question, verdict=comparison.verdict, text=f"{against}: {comparison.phrase}."
        )
    units = unit(line, difference=True)
    text = (
        f"{against}: {value(line, comparison.difference, signed=True)} {units}, "
        f"95 % interval {spread(line, comparison.difference, signed=True)}, n = {comparison.difference.n}."
    )
    return Sentence(question=question, verdict=comparison.verdict, text=text)


def _text(against: str, lines: Sequence[Line], index: int) -> Sentence:
    rouge = [line.comparisons[index] for line in lines if line.group == "ROUGE"]
    if all(one.verdict is Verdict.NOT_COMPARABLE for one in rouge):
        return Sentence(
            question="Text", verdict=Verdict.NOT_COMPARABLE, text=f"{against}: {rouge[0].phrase}."
        )
    counts = Counter(
        one.verdict if one.verdict.decisive else Verdict.NO_DIFFERENCE for one in rouge
    )
    parts = [f"{counts[v]} {v.label}" for v in (Verdict.BETTER, Verdict.WORSE) if counts[v]]
    if counts[Verdict.NO_DIFFERENCE]:
        parts.append(f"{counts[Verdict.NO_DIFFERENCE]} with {Verdict.NO_DIFFERENCE.label}")
    text = (
        f"{against}: of {len(rouge)} ROUGE scores, {listed(parts)}. "
        "ROUGE measures likeness to texts written with hindsight."
    )
    verdict = next(iter(counts)) if len(counts) == 1 else Verdict.NOTE
    return Sentence(question="Text", verdict=verdict, text=text)


def _timed(question: str, against: str, line: Line, index: int) -> Sentence:
    comparison = line.comparisons[index]
    text = f"{against}: {comparison.phrase}."
    if comparison.difference is not None:
        values = (value(line, line.values[index + 1]), value(line, line.values[0]))
        text = (
            f"{against}: {line.title} {values[0]} against {values[1]} {line.unit} "
            f"({comparison.note}); {comparison.why}."
        )
    return Sentence(question=question, verdict=comparison.verdict, text=text)


def _trivial(skills: Sequence[Skill]) -> Sentence:
    parts = []
    for its in skills:
        gain = None if its.accuracy_gain.value is None else its.accuracy_gain.value * 100
        parts.append(
            f"{its.model}: accuracy {number(gain, 1, signed=True)} points against {its.accuracy_rival} "
            f"(95 % interval {interval(its.accuracy_gain, 1, 100, signed=True)}), "
            f"MSE skill {number(its.mse_skill.value, 2, signed=True)} over no change "
            f"({interval(its.mse_skill, 2, signed=True)})"
        )
    skilled = [
        its.model for its in skills if Verdict.BETTER in (its.accuracy_verdict, its.mse_verdict)
    ]
    verb = "beats" if len(skilled) == 1 else "beat"
    start = (
        f"{listed(skilled)} {verb} a trivial forecast"
        if skilled
        else "No model beats a trivial forecast"
    )
    return Sentence(
        question="Skill",
        verdict=Verdict.BETTER if skilled else Verdict.NO_SKILL,
        text=f"{start}. {'; '.join(parts)}.",
    )
