"""What was read of sweeps → one SweepReport record. Pure: same input, same report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from fingpt.models import spec
from fingpt.report.formatting import listed
from fingpt.runs.remedy import config_command
from fingpt.sweeps.report import sentences
from fingpt.sweeps.report.document import (
    STATES,
    Chosen,
    FinalLine,
    State,
    StudyReport,
    SweepReport,
    TrialLine,
)
from fingpt.sweeps.report.importance import importances, missing
from fingpt.sweeps.report.lead import Lead, Word, judge
from fingpt.sweeps.report.places import (
    Axis,
    axes,
    default_settings,
    in_order,
    rate_axis,
    second_axis,
)
from fingpt.sweeps.report.reading import FinalRead, Reading, StudyRead, TrialRead
from fingpt.sweeps.sweep import with_settings

BEST = 10
"""Trials in the table of the best."""
TINY = "Tiny stand-in models: their values try out the search and say nothing about the 8B models."
TOP = 5
"""Trials whose spread is told."""


def compose(reading: Reading) -> SweepReport:
    """The report on all studies that were read."""
    begun = [t.started for study in reading.studies for t in study.trials if t.started]
    start = min(begun, default=None)
    studies = tuple(_study(study, reading, start) for study in reading.studies)
    used_gpus = any(sum(study.spent.values()) for study in studies)
    unit = "GPU-seconds" if used_gpus else "seconds"
    if not used_gpus:
        studies = tuple(_timed(study) for study in studies)
    objectives = {study.definition.objective for study in studies}
    return SweepReport(
        title=" ".join(study.sentence for study in studies),
        running=any(not study.complete for study in reading.studies),
        objective=" / ".join(sorted(map(sentences.objective, objectives))),
        unit=unit,
        studies=studies,
        effort=sentences.effort(studies, unit),
        notes=_notes(reading),
        skipped=tuple(_skipped(studies)),
        method=sentences.method(len(studies), unit),
        as_of=reading.latest.isoformat(timespec="seconds") if reading.latest else "",
        inputs=dict(sorted(reading.inputs.items())),
    )


def study_axes(study: StudyReport) -> tuple[Axis, ...]:
    """The axes of a study's space."""
    return axes(study.definition)


def _study(read: StudyRead, reading: Reading, start: datetime | None) -> StudyReport:
    definition = read.sweep.definition
    space = axes(definition)
    trials = tuple(_trial(trial, space, start) for trial in read.trials)
    complete = sorted(
        (trial.value, trial.number, trial)
        for trial in trials
        if trial.state == "complete" and trial.value is not None
    )
    values = [value for value, _, _ in complete]
    default = default_settings(read.sweep.bases[read.model], space)
    chosen = _chosen(read, space)
    same = chosen is not None and chosen.settings == default
    finals = _finals(read, same=same)
    # While finals are missing nothing is judged: whoever looks at every step sees a winner too often.
    whole = _settled(read)
    lead = _lead(finals, len(reading.studies)) if whole and not same else None
    better = lead is not None and lead.word is Word.BETTER
    why = missing(len(complete), space)
    study = StudyReport(
        model=read.model,
        title=_title(read, reading),
        sweep=read.sweep.id,
        definition=definition,
        word=Word.SAME if same else lead.word if lead else Word.UNKNOWN,
        sentence="",
        told=(),
        planned=definition.count,
        counts={state: sum(trial.state == state for trial in trials) for state in STATES},
        parameters=tuple(axis.name for axis in space),
        default_settings=default,
        trials=trials,
        best=tuple(number for _, number, _ in complete[:BEST]),
        spread=values[min(len(values), TOP) - 1] - values[0] if len(values) > 1 else None,
        chosen=chosen,
        finals=finals,
        finals_planned=definition.final_seeds * (1 if same else 2),
        lead=lead,
        importance=() if why else importances([(t.settings, v) for v, _, t in complete], space),
        without_importance=why,
        reasons=dict(Counter(map(sentences.reason, filter(_ended_early, trials))).most_common()),
        spent=_spent(trials, finals, gpus=True),
        dataset=read.dataset,
        openings=read.openings,
        use=_use(read) if better else "",
        command=_command(read),
    )
    return study.model_copy(
        update={"sentence": sentences.answer(study), "told": sentences.told(study)}
    )


def _chosen(read: StudyRead, space: Sequence[Axis]) -> Chosen | None:
    if read.choice is None:
        return None
    settings = in_order(read.choice.settings, space)
    return Chosen(trial=read.choice.trial, settings=settings, value=read.choice.value)


def _use(read: StudyRead) -> str:
    """The command that trains with the chosen setting: all else as the sweep's own base has it, rows among it."""
    settings = read.choice.settings if read.choice else {}
    return config_command("run", with_settings(read.sweep.bases[read.model], settings))


def _title(read: StudyRead, reading: Reading) -> str:
    """The model's name, with the sweep's where the page has several of the model."""
    title = spec(read.model).title
    alone = [study.model for study in reading.studies].count(read.model) == 1
    return title if alone else f"{title} ({read.sweep.id})"


def _trial(read: TrialRead, space: Sequence[Axis], start: datetime | None) -> TrialLine:
    tell, last = read.tell, read.reports[-1] if read.reports else None
    state: State = tell.state if tell else "under way"
    value = tell.value if tell else None
    if value is None and last is not None and state != "failed":
        value = last.value

    def hours(moment: datetime | None) -> float | None:
        return (moment - start).total_seconds() / 3600 if moment and start else None

    return TrialLine(
        number=read.ask.number,
        run=read.ask.run_id,
        state=state,
        settings=in_order(read.ask.settings, space),
        place=tuple(axis.words(read.ask.settings) for axis in space),
        value=value,
        rung=tell.rung if tell and tell.rung is not None else last.rung if last else None,
        reason=tell.reason if tell else "",
        seconds=tell.seconds if tell else 0.0,
        gpu_seconds=tell.gpu_seconds if tell else 0.0,
        started=hours(read.started),
        ended=hours(read.ended) if tell else None,
    )


def _finals(read: StudyRead, *, same: bool) -> tuple[FinalLine, ...]:
    """The finals, once where the default was chosen; figures of the test only when all of them are there."""
    objective = read.sweep.definition.objective
    found = tuple(_final(final, objective) for final in read.finals if not (same and final.chosen))
    if _settled(read):
        return found
    closed = dict.fromkeys(("test_loss", "test_accuracy", "test_read", "test_answers"))
    return tuple(final.model_copy(update=closed) for final in found)


def _settled(read: StudyRead) -> bool:
    """Whether every final is there or has failed."""
    return bool(read.finals) and not any(map(_lacks, read.finals))


def _lacks(final: FinalRead) -> bool:
    """Whether a final that has not failed has no whole result: it is still to come, or was deleted."""
    return not final.reason and not (final.train and final.evaluation)


def _final(read: FinalRead, objective: str) -> FinalLine:
    train, tuned = read.train, read.evaluation and read.evaluation.scores.get("tuned")
    value = None
    if objective == "loss" and train and train.eval_split == "validation":
        value = train.eval_loss
    elif objective == "labels" and tuned:
        value = tuned.label_validation_loss
    held = train is not None and train.hardware.get("device", "cpu") != "cpu"
    return FinalLine(
        run=read.run.id,
        setting="chosen" if read.chosen else "default",
        seed=read.run.config.seed,
        value=value,
        test_loss=tuned.loss if tuned else None,
        test_accuracy=tuned.robust.accuracy_all if tuned else None,
        test_read=tuned.robust.parsed / tuned.robust.n if tuned else None,
        test_answers=tuned.robust.n if tuned else None,
        seconds=read.seconds,
        gpu_seconds=read.seconds * read.run.config.train.processes if held else 0.0,
        reason=read.reason,
    )


def _lead(finals: Sequence[FinalLine], comparisons: int) -> Lead | None:
    """The comparison of the finals that have a value; seeds that failed are told beside it."""
    chosen, default = (
        [final.value for final in finals if final.setting == setting and final.value is not None]
        for setting in ("chosen", "default")
    )
    return judge(chosen, default, comparisons)


def _ended_early(trial: TrialLine) -> bool:
    return trial.state in ("pruned", "failed")


def _spent(
    trials: Sequence[TrialLine], finals: Sequence[FinalLine], *, gpus: bool
) -> dict[str, float]:
    """What each kind of trial has cost, and the finals; what is under way is not known yet."""

    def cost(line: TrialLine | FinalLine) -> float:
        return line.gpu_seconds if gpus else line.seconds

    # A random search may meet a point twice: that is one run, and was paid once.
    runs = {trial.run: trial for trial in reversed(trials)}.values()
    found: dict[str, float] = {
        state: sum(cost(trial) for trial in runs if trial.state == state) for state in STATES[:3]
    }
    return {**found, "finals": sum(map(cost, {final.run: final for final in finals}.values()))}


def _timed(study: StudyReport) -> StudyReport:
    """The study with seconds where no GPU was used."""
    return study.model_copy(update={"spent": _spent(study.trials, study.finals, gpus=False)})


def _notes(reading: Reading) -> tuple[str, ...]:
    """What a reader must know before any number."""
    found = [note for study in reading.studies for note in study.sweep.notes]
    for study in reading.studies:
        if gone := [final.run.id for final in study.finals if study.complete and _lacks(final)]:
            found.append(
                f"Sweep {study.sweep.id} is over, but results of its finals are no longer in the store "
                f"({listed([*dict.fromkeys(gone)])}), so nothing is judged; the command that made the sweep makes "
                "them again."
            )
    if any(spec(study.model).tiny for study in reading.studies):
        found.append(TINY)
    return tuple(dict.fromkeys(found))


def _skipped(studies: Sequence[StudyReport]) -> list[str]:
    found = []
    for study in studies:
        space = axes(study.definition)
        first = rate_axis(space)
        if first is None:
            found.append(
                f"{study.title}: loss against a parameter is not drawn, since the space has none of numbers."
            )
        elif second_axis(space, first) is None:
            found.append(
                f"{study.title}: points are not told apart by a second parameter, since the space has {first.name} "
                "alone; parallel coordinates would show the same."
            )
        if study.without_importance:
            found.append(
                f"{study.title}: the importance of parameters is not drawn: {study.without_importance}."
            )
    return found


def _command(read: StudyRead) -> str:
    """The comparison of the finals on test rows, once all of them are evaluated."""
    ordered = sorted(read.finals, key=lambda final: final.chosen)  # the first side is the reference
    runs = dict.fromkeys(final.run.id for final in ordered)
    whole = bool(ordered) and all(final.evaluation for final in ordered)
    return f'make compare RUNS="{" ".join(runs)}"' if whole else ""
