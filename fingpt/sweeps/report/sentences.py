"""What the report says in words, from numbers that were computed elsewhere. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from fingpt.report.formatting import listed, number, percent
from fingpt.report.titles import short
from fingpt.sweeps.definition import Parameter, SweepDefinition, Value
from fingpt.sweeps.report.document import FinalLine, StudyReport, TrialLine
from fingpt.sweeps.report.lead import ALPHA, Lead, Word
from fingpt.sweeps.report.places import brief

_EQUAL = 0.10
"""GPU-seconds of two models that differ by no more than this share of the larger are told as equal."""
_OBJECTIVES = {
    "loss": "mean loss of the reference answers on validation rows, nats per answer token",
    "labels": "log-loss of the twelve labels on validation rows, nats per row",
}
_FIGURES = re.compile(r"\d+(\.\d+)?")


def objective(name: str) -> str:
    """What a search minimises, with its unit."""
    return _OBJECTIVES[name]


def described(settings: Mapping[str, Value]) -> str:
    """Settings in words, in the order in which the space names them."""
    return ", ".join(f"{key} {brief(value)}" for key, value in settings.items())


def reason(trial: TrialLine) -> str:
    """Why a trial ended early, with figures taken out, so that equal reasons are counted together."""
    if trial.state == "pruned":
        return f"pruned after rung {trial.rung}" if trial.rung is not None else "pruned"
    first = trial.reason.partition(". ")[0].rstrip(".")
    return (
        f"failed: {_FIGURES.sub('…', first)[:160]}" if first else "failed: no reason was recorded"
    )


def answer(study: StudyReport) -> str:
    """The one sentence about a study that stands on top."""
    name, lead = study.title, study.lead
    if study.word is Word.SAME:
        return f"{name}: the search chose the default setting itself."
    if lead is None:
        return f"{name}: {_not_yet(study)}"
    gap = f"{number(abs(lead.value), 4)} nats"
    if lead.word is Word.AS_GOOD:
        within = (
            f"a {'lead' if lead.value >= 0 else 'lag'} of {gap} is within the noise between seeds"
        )
        return f"{name}: the default is as good as the chosen setting; {within}."
    times = "" if lead.times is None else f", {number(lead.times, 1)} times the noise between seeds"
    return f"{name}: the chosen setting is {lead.word} than the default by {gap}{times}."


def told(study: StudyReport) -> tuple[str, ...]:
    """What stands below the answer: the setting, the comparison, how lucky the winner was, how close the best are."""
    parts = [_progress(study)]
    if study.chosen:
        parts.append(
            f"Chosen: {described(study.chosen.settings)} (trial {study.chosen.trial}). "
            f"Default: {described(study.default_settings)}.{_outside(study)}"
        )
    if study.lead:
        parts += [_rule(study.lead), _luck(study, study.lead)]
    if study.spread is not None:
        parts.append(_spread(study))
    parts += filter(None, [_failed_finals(study.finals), _test(study)])
    return tuple(parts)


def _outside(study: StudyReport) -> str:
    """That the space does not hold the default, and where; empty where it does."""

    def holds(parameter: Parameter) -> bool:
        default = {key: study.default_settings.get(key) for key in parameter.keys}
        if parameter.range is None:
            return default in parameter.choices
        value = default[parameter.name]
        span = parameter.range
        return isinstance(value, int | float) and span.low <= value <= span.high

    beyond = [key for each in study.definition.space if not holds(each) for key in each.keys]
    if not beyond:
        return ""
    shown = described({key: study.default_settings.get(key) for key in beyond})
    return f" The default lies outside of the space ({shown}), so no trial had it."


def effort(studies: Sequence[StudyReport], unit: str) -> str:
    """Whether the models had equal effort, and if not, in what they differ; empty for a single study."""
    begun = any(
        study.counts[state] for study in studies for state in ("complete", "pruned", "failed")
    )
    if len(studies) < 2 or not begun:
        return ""
    ended = [
        study.counts["complete"] + study.counts["pruned"] + study.counts["failed"]
        for study in studies
    ]
    searching = [
        study.title
        for study, n in zip(studies, ended, strict=True)
        if study.chosen is None and n < study.planned
    ]
    if searching:
        return f"The search of {listed(searching)} is under way, so effort cannot be compared yet."
    spent = [
        sum(study.spent[state] for state in ("complete", "pruned", "failed")) for study in studies
    ]
    unequal = []
    if len({study.planned for study in studies}) > 1 or len(set(ended)) > 1:
        unequal.append(f"the number of trials ({_each(studies, [str(n) for n in ended])})")
    if len({_searched(study) for study in studies}) > 1:
        unequal.append("the space or the way it was searched")
    if max(spent) and (max(spent) - min(spent)) / max(spent) > _EQUAL:
        figures = [number(each, 0) for each in spent]
        unequal.append(f"{unit} ({_each(studies, figures)})")
    if unequal:
        return (
            f"Effort was unequal in {listed(unequal)}: what the models were given is part of any difference between "
            "them."
        )
    amounts = _each(studies, [number(each, 0) for each in spent])
    return (
        f"Equal effort: {ended[0]} trials each in the same space; {unit} of the trials: {amounts}."
    )


_METHOD = """
The best of many trials is partly lucky, so trials decide nothing: the chosen and the default setting were both trained
again with seeds that no trial had, and only these finals are compared.

The lead is the default's mean value less the chosen setting's, on validation rows. Its interval is lead ±
t · √(s²/n + s²/n), with each setting's own variance over its seeds, and t of Student's distribution with the degrees of
freedom of Welch and Satterthwaite. “Better” and “worse” mean that it leaves out 0. Where both are equally good, about
{alpha} of reports call one of them better{shared}.

“The default is as good” means that these seeds show no difference, which is no proof that there is none. The noise
between seeds is the standard deviation over seeds, of both settings pooled.

The lead is one on these validation rows, by which the setting was also chosen: it says nothing of other weeks. The test
rows were opened after the choice, by the finals alone, and decide nothing here.

Importance: PED-ANOVA (Watanabe and others 2023), from complete trials alone. Trials that were pruned, and a search that
looks where it was good, blur it.

{unit} are those of trainings, all attempts, also those that were repeated, each from its claim to its end{gpus}; of
finals those of evaluations too. Preps, evaluations of trials and what is still under way are not counted, and a run
that several trials share counts once.
"""


def method(comparisons: int, unit: str) -> tuple[str, ...]:
    """How the report decides, in sentences."""
    level = percent(ALPHA / comparisons, 1)
    shared = f", {level} for each of the {comparisons} searches here (Bonferroni)"
    text = _METHOD.format(
        alpha=percent(ALPHA, 0),
        shared=shared if comparisons > 1 else "",
        unit=f"{unit[0].upper()}{unit[1:]}",
        gpus=", times the GPUs that it held" if unit == "GPU-seconds" else "",
    )
    return tuple(" ".join(part.split()) for part in text.split("\n\n"))


def _not_yet(study: StudyReport) -> str:
    """Where a study stands that has no answer yet."""
    done = sum(final.value is not None for final in study.finals)
    if study.chosen:
        failed = sum(bool(final.reason) for final in study.finals)
        if done + failed == study.finals_planned:
            return "the finals that are left are too few to say whether the chosen setting is better than the default."
        return (
            f"a setting is chosen, and {done} of {study.finals_planned} finals are trained; whether it is better than "
            "the default is not known yet."
        )
    if not study.best:
        return f"no trial is complete yet, {_ended(study)} of {study.planned} have ended."
    best = next(trial for trial in study.trials if trial.number == study.best[0])
    return (
        f"{_ended(study)} of {study.planned} trials have ended, the best so far at {number(best.value, 4)} nats "
        f"(trial {best.number}); nothing is chosen yet."
    )


def _progress(study: StudyReport) -> str:
    parts = [f"{count} {state}" for state, count in study.counts.items() if count]
    return f"Of {study.planned} trials: {listed(parts) if parts else 'none begun'}."


def _ended(study: StudyReport) -> int:
    return len(study.trials) - study.counts["under way"]


def _rule(lead: Lead) -> str:
    return (
        f"Trained anew with {lead.chosen_seeds} and {lead.default_seeds} seeds: {number(lead.chosen_mean, 4)} chosen, "
        f"{number(lead.default_mean, 4)} default, lead {number(lead.value, 4, signed=True)} nats, "
        f"{percent(lead.level, 1)} interval {number(lead.low, 4, signed=True)} to {number(lead.high, 4, signed=True)}. "
        f"Noise between seeds: {number(lead.noise, 4)} nats; a lead below {number(lead.least, 4)} could not be told "
        "from none."
    )


def _luck(study: StudyReport, lead: Lead) -> str:
    assert study.chosen is not None  # a lead is of its finals
    gap = lead.chosen_mean - study.chosen.value
    luck = "higher: that much of its value was luck" if gap > 0 else "lower"
    return (
        f"The winning trial itself said {number(study.chosen.value, 4)}; trained anew the same setting is "
        f"{number(abs(gap), 4)} nats {luck}."
    )


def _spread(study: StudyReport) -> str:
    top = min(len(study.best), 5)
    text = f"The best {top} trials lie within {number(study.spread, 4)} nats of each other"
    if study.lead and study.lead.noise and study.spread is not None:
        return (
            f"{text}, {number(study.spread / study.lead.noise, 1)} times the noise between seeds."
        )
    return f"{text}."


def _failed_finals(finals: Sequence[FinalLine]) -> str:
    failed = [final for final in finals if final.reason]
    if not failed:
        return ""
    parts = [f"{final.setting}, seed {final.seed}: {final.reason.rstrip('.')}" for final in failed]
    return f"{len(failed)} of {len(finals)} finals failed and are left out ({'; '.join(parts)})."


def _test(study: StudyReport) -> str:
    """The test, told once and without a verdict."""
    sides = {
        setting: [f for f in study.finals if f.setting == setting and f.test_loss is not None]
        for setting in ("chosen", "default")
    }
    if study.word is Word.SAME or not all(sides.values()):
        return ""
    loss = [_mean([f.test_loss for f in side]) for side in sides.values()]
    right = [_mean([f.test_accuracy for f in side]) for side in sides.values()]
    read = [_mean([f.test_read for f in side]) for side in sides.values()]
    answers = max(f.test_answers or 0 for f in study.finals)
    opened = (
        "" if study.openings is None else f" Its rows were opened by {study.openings} runs in all."
    )
    return (
        f"On the test, opened after the choice: loss of the answers {number(loss[0], 4)} chosen, "
        f"{number(loss[1], 4)} default; right directions {percent(right[0])} and {percent(right[1])} "
        f"of {answers:,} answers, of which {percent(read[0])} and {percent(read[1])} can be read. "
        f"Whether that is more than chance of weeks is for a comparison to say.{opened}"
    )


def _mean(values: Sequence[float | None]) -> float:
    there = [value for value in values if value is not None]
    return sum(there) / len(there)


def _each(studies: Sequence[StudyReport], figures: Sequence[str]) -> str:
    return ", ".join(
        f"{study.title} {figure}" for study, figure in zip(studies, figures, strict=True)
    )


def _searched(study: StudyReport) -> str:
    """All of a definition but how many trials there are and how many at a time."""
    return study.definition.model_dump_json(exclude={"trials", "parallel", "final_seeds"})


def facts(studies: Sequence[StudyReport]) -> dict[str, list[str]]:
    """What was searched: fact → a text for each study."""

    def each(tell: Callable[[StudyReport], str]) -> list[str]:
        return [tell(study) for study in studies]

    return {
        "sweep": each(lambda s: s.sweep),
        "method": each(lambda s: s.definition.method),
        "trials": each(lambda s: f"{s.planned}, {s.definition.parallel} at a time"),
        "seed of the sampler": each(lambda s: str(s.definition.seed)),
        "space": each(lambda s: "; ".join(map(_parameter, s.definition.space))),
        "pruning": each(lambda s: _pruning(s.definition)),
        "default": each(lambda s: described(s.default_settings)),
        "data set": each(lambda s: s.dataset or "not known yet"),
    }


def _parameter(parameter: Parameter) -> str:
    if parameter.range:
        low, high = short(parameter.range.low), short(parameter.range.high)
        points = f", {parameter.range.points} points" if parameter.range.points else ""
        return f"{parameter.name} {low} to {high}{' (log)' if parameter.range.log else ''}{points}"
    if len(parameter.keys) == 1:
        values = [short(choice[parameter.keys[0]]) for choice in parameter.choices]
        return f"{parameter.name} {', '.join(values)}"
    return f"{parameter.name}: {' or '.join(described(choice) for choice in parameter.choices)}"


def _pruning(definition: SweepDefinition) -> str:
    if definition.pruning is None:
        return "none"
    return (
        f"the best 1/{definition.pruning.reduction} of a rung goes on, the first rung at "
        f"{short(definition.pruning.first)} epochs"
    )
