"""The top of the report: title, warnings, and one sentence per question, from numbers computed elsewhere. Pure.

A sentence about two models names the one that is ahead first, whichever was named first on the command line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fingpt.report.clusters import MIN_CLUSTERS
from fingpt.report.document import Asked, Sentence
from fingpt.report.formatting import interval, listed, number, percent, spread, unit, value
from fingpt.report.lines import Comparison, Line
from fingpt.report.power import Power, statement
from fingpt.report.sides import Side
from fingpt.report.skill import Skill
from fingpt.report.stats import Estimate
from fingpt.report.table import Tables
from fingpt.report.verdict import Verdict
from fingpt.runs.freeze import invented

_SMALL_GAP = 0.10
_NOUNS = {
    "label_log_loss_anchored": "label probabilities",
    "label_log_loss": "label probabilities",
    "accuracy": "direction",
    "accuracy_read": "direction",
    "loss": "loss",
    "mse": "size",
    "mse_read": "size",
}
_QUESTIONS = (
    ("Label probabilities", ("label_log_loss_anchored", "label_log_loss")),
    ("Direction", ("accuracy", "accuracy_read")),
    ("Magnitude", ("mse", "mse_read")),
    ("Loss", ("loss",)),
)
"""Each question, and its lines in the order in which they are preferred; one that no line answers is not told."""
SKILLS = {
    "direction": "direction",
    "relative": "direction against the week's mean",
    "size": "size",
    "probability": "label probabilities",
}
"""What a model may have skill in → as it is told."""
_SKILL_OF = {
    "label_log_loss_anchored": "probability",
    "label_log_loss": "probability",
    "accuracy": "direction",
    "accuracy_read": "direction",
    "mse": "size",
    "mse_read": "size",
}
"""Line → the question of skill that is asked of the same scores."""


def watermark(sides: Sequence[Side]) -> str:
    """What stands across the report where a leak takes the meaning from its figures; empty where none does."""
    reasons = {why for side in sides for why in side.leaks().values()}
    return "LEAKED DATA, NO EVIDENCE OF SKILL" if reasons else ""


def title(sides: Sequence[Side], made: Tables) -> str:
    """The report's first line: the answer to the primary question, for every pair of models."""
    if len(sides) == 1:
        runs = len(sides[0].runs)
        return f"{sides[0].title}: scores of {'one run' if runs == 1 else f'{runs} runs'}"
    line = next(line for line in made.lines if line.primary)
    noun = _NOUNS.get(line.key, line.title)
    parts = []
    for comparison in line.comparisons:
        ahead, behind, word = _ordered(sides, comparison)
        pair = f"{ahead} and {behind}"
        if word.decisive:
            parts.append(f"{ahead} is {word.label} than {behind} in {noun}")
        elif word is Verdict.NOT_COMPARABLE:
            parts.append(f"{pair} cannot be compared in {noun}: {comparison.why}")
        elif word is Verdict.EQUIVALENT:
            parts.append(f"{pair} are {word.label} in {noun}")
        else:
            parts.append(f"{word.label.capitalize()} in {noun} between {pair}")
    return ". ".join(parts)


def warnings(sides: Sequence[Side], power: Power) -> tuple[str, ...]:
    """What a reader must know before any number, the most serious first."""
    found = [_leak(side) for side in sides if side.dataset.leaky]
    found += [text for side in sides for text in _faults(side)]
    if power.weeks < MIN_CLUSTERS or power.gap is None or power.gap > _SMALL_GAP:
        found.append(f"Small test: {statement(power)}.")
    if any(side.model.tiny for side in sides):
        found.append(
            "Tiny stand-in models: their scores try out the pipeline and say nothing about the 8B models."
        )
    if any(side.dataset.source in invented() for side in sides):
        found.append("Invented rows of invented companies: no score here is about markets.")
    for side in sides:
        found += [
            f"{side.title}: {text}" for text in (*side.adapter.warnings, *side.evaluation.warnings)
        ]
    return tuple(dict.fromkeys(found))


def sentences(
    sides: Sequence[Side],
    made: Tables,
    skills: Sequence[Skill],
    asked: Asked,
    power: Power,
) -> tuple[Sentence, ...]:
    """One sentence per question and pair of models, then each model's skill, what was tested, and power."""
    found: list[Sentence] = []
    lines = {line.key: line for line in made.lines}
    pairs = range(len(made.lines[0].comparisons))
    for index in pairs:
        for question, keys in _QUESTIONS:
            there = [lines[key] for key in keys if key in lines]
            if there:
                found.append(_scored(question, sides, _shown(there, index), index, skills))
        found.append(_text(sides, made.lines, index))
        for question, key in (("Speed", "samples_per_second"), ("Cost", "train_seconds")):
            found.append(_timed(question, sides, lines[key], index))
    found += skill_sentences(skills)
    if len(sides) > 1:
        found.append(_tested(asked))
    if power.gap is not None:
        found.append(Sentence(question="Power", verdict=Verdict.NOTE, text=f"{statement(power)}."))
    return tuple(found)


def scope(asked: Asked) -> str:
    """What a verdict is about: models only where each was trained more than once."""
    if min(asked.seeds, default=1) > 1:
        return f"over {listed([str(count) for count in asked.seeds])} training seeds"
    return "one training seed each: about these adapters, not about the models"


def _ordered(sides: Sequence[Side], comparison: Comparison) -> tuple[str, str, Verdict]:
    """Titles of the two models, the one that is ahead first, and the verdict in that order."""
    first, second = (sides[place].title for place in (comparison.first, comparison.second))
    if comparison.verdict is Verdict.BETTER:
        return second, first, Verdict.BETTER
    if comparison.verdict is Verdict.WORSE:
        return first, second, Verdict.BETTER
    return (*sorted((first, second)), comparison.verdict)  # type: ignore[return-value]


def _leak(side: Side) -> str:
    return (
        f"LEAKY SPLIT: the rows were split at random ({side.dataset.split_rule}), so test answers stand in training "
        "prompts. No score in this report is evidence of skill."
    )


def _faults(side: Side) -> list[str]:
    faults = [finding for finding in side.findings if finding.severity == "error"]
    if not faults:
        return []
    named = listed([f"{f.rule} ({f.count} of {f.of} {f.split} rows)" for f in faults])
    allowed = [f"{f.rule}: {f.allowed}" for f in faults if f.allowed]
    reason = (
        f" Allowed by the configuration ({'; '.join(allowed)}), which only prints the numbers."
        if allowed
        else ""
    )
    return [
        f"The leak linter found errors in the data: {named}. What they touch is not compared.{reason}"
    ]


def _shown(lines: Sequence[Line], index: int) -> Line:
    """The line that is told: the primary one, else the first that can be compared."""
    for line in lines:
        if line.primary:
            return line
    comparable = [
        line for line in lines if line.comparisons[index].verdict is not Verdict.NOT_COMPARABLE
    ]
    return (comparable or lines)[0]


def _reason(comparison: Comparison) -> str:
    """Why there is no difference to tell: the verdict's word stands in front of the sentence."""
    told = comparison.verdict is Verdict.NOT_COMPARABLE and comparison.why
    return comparison.why if told else comparison.phrase


def _turned(estimate: Estimate) -> Estimate:
    def minus(figure: float | None) -> float | None:
        return None if figure is None else -figure

    return estimate.model_copy(
        update={
            "value": minus(estimate.value),
            "low": minus(estimate.high),
            "high": minus(estimate.low),
        }
    )


def _scored(
    question: str, sides: Sequence[Side], line: Line, index: int, skills: Sequence[Skill]
) -> Sentence:
    comparison = line.comparisons[index]
    ahead, behind, word = _ordered(sides, comparison)
    against = f"{ahead} against {behind}"
    name = f"{question} (the primary question)" if line.primary else question
    gap = comparison.difference
    if gap is None or gap.low is None:
        return Sentence(question=name, verdict=word, text=f"{against}: {_reason(comparison)}.")
    if sides[comparison.second].title != ahead:
        gap = _turned(gap)
    text = (
        f"{against}: {value(line, gap, signed=True)} {unit(line, difference=True)} ({line.title}), "
        f"{percent(comparison.level, 0)} interval {spread(line, gap, signed=True)}, n = {gap.n}"
    )
    if comparison.note:
        text += f", {comparison.note}"
    unskilled = _unskilled(ahead, line, skills) if word.decisive else ""
    return Sentence(question=name, verdict=word, text=f"{text}.{unskilled}")


def _unskilled(winner: str, line: Line, skills: Sequence[Skill]) -> str:
    """That the better of two models is no good forecaster for that; empty where it beats every trivial forecast."""
    asked = (winner, _SKILL_OF.get(line.key), Verdict.NO_SKILL)
    for its in skills:
        if (its.model, its.question, its.verdict) == asked:
            return f" Yet {winner} does not beat every trivial forecast in {SKILLS[its.question]}."
    return ""


def _text(sides: Sequence[Side], lines: Sequence[Line], index: int) -> Sentence:
    rouge = [line.comparisons[index] for line in lines if line.group == "ROUGE"]
    first, second = (sides[place].title for place in (rouge[0].first, rouge[0].second))
    if all(one.verdict is Verdict.NOT_COMPARABLE for one in rouge):
        pair = " against ".join(sorted((first, second)))
        return Sentence(
            question="Text", verdict=Verdict.NOT_COMPARABLE, text=f"{pair}: {_reason(rouge[0])}."
        )
    ahead = Counter(
        second if one.verdict is Verdict.BETTER else first if one.verdict is Verdict.WORSE else ""
        for one in rouge
    )
    parts = [
        f"{name} is {Verdict.BETTER.label} in {ahead[name]}"
        for name in sorted((first, second))
        if ahead[name]
    ]
    if ahead[""]:
        parts.append(f"{Verdict.NO_DIFFERENCE.label} in {ahead['']}")
    text = (
        f"Of {len(rouge)} ROUGE scores, {listed(parts)}. "
        "ROUGE measures likeness to texts written with hindsight."
    )
    alone = len(ahead) == 1
    word = Verdict.NO_DIFFERENCE if "" in ahead else Verdict.BETTER
    return Sentence(question="Text", verdict=word if alone else Verdict.NOTE, text=text)


def _timed(question: str, sides: Sequence[Side], line: Line, index: int) -> Sentence:
    comparison = line.comparisons[index]
    one, two = sorted((comparison.first, comparison.second), key=lambda place: sides[place].title)
    against = f"{sides[one].title} against {sides[two].title}"
    text = f"{against}: {_reason(comparison)}."
    if comparison.difference is not None:
        values = (value(line, line.values[one]), value(line, line.values[two]))
        text = f"{against}: {line.title} {values[0]} against {values[1]} {line.unit}; {comparison.why}."
    return Sentence(question=question, verdict=comparison.verdict, text=text)


def skill_sentences(skills: Sequence[Skill]) -> list[Sentence]:
    """One sentence for each model: where it beats every trivial forecast, and by how much the one hardest to beat."""
    models = dict.fromkeys(its.model for its in skills)
    return [_of_model(model, [its for its in skills if its.model == model]) for model in models]


def _of_model(model: str, skills: Sequence[Skill]) -> Sentence:
    question = f"Skill of {model}"
    judged = [its for its in skills if its.verdict is not Verdict.NOT_COMPARABLE]
    if not judged:
        why = f"Nothing is said about skill: {skills[0].why}."
        return Sentence(question=question, verdict=Verdict.NOT_COMPARABLE, text=why)
    beaten = [its for its in judged if its.verdict is Verdict.BETTER]
    if beaten:
        start = (
            f"Beats every trivial forecast in {listed([SKILLS[its.question] for its in beaten])}."
        )
    else:
        start = f"Beats every trivial forecast in none of {len(judged)} questions."
    return Sentence(
        question=question,
        verdict=Verdict.BETTER if beaten else Verdict.NO_SKILL,
        text=f"{start} {_lead((beaten or judged)[0])} The table below has every question.",
    )


def _lead(its: Skill) -> str:
    scale, digits, units = {"size": (1.0, 2, "pp²"), "probability": (1.0, 3, "nats")}.get(
        its.question, (100.0, 1, "points")
    )
    gain = None if its.gain.value is None else its.gain.value * scale
    return (
        f"In {SKILLS[its.question]} the hardest to beat is {its.rival}: "
        f"{number(gain, digits, signed=True)} {units} against it ({percent(its.level, 1)} interval "
        f"{interval(its.gain, digits, scale, signed=True)}, {its.gain.n} rows)."
    )


def _tested(asked: Asked) -> Sentence:
    runs = f"{asked.openings} run{'s' if asked.openings != 1 else ''}"
    opened = "" if asked.openings is None else f" The test split was opened by {runs}."
    return Sentence(
        question="Tested",
        verdict=Verdict.NOTE,
        text=(
            f"One question ({asked.title}) at {percent(asked.primary_level, 0)}, {asked.secondary} secondary ones "
            f"corrected together at {percent(asked.secondary_level, 0)}; {scope(asked)}.{opened}"
        ),
    )
