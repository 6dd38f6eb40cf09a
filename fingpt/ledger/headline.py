"""What may be said of a ledger, in four sentences with their numbers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fingpt.ledger.document import Contest, Role, Standing
from fingpt.ledger.evidence import REACHED, Evidence
from fingpt.ledger.outlook import Outlook
from fingpt.report.document import Sentence
from fingpt.report.formatting import interval, listed, number, percent
from fingpt.report.verdict import Verdict

_NAMED = 12
"""So many missing weeks are named; the table of chains has all of them."""


def headline(
    standings: Sequence[Standing],
    contests: Sequence[Contest],
    beaten: Mapping[str, Evidence],
    ahead: Outlook | None,
) -> tuple[Sentence, ...]:
    """Skill, challengers, when more can be said, and what does not count."""
    models = [one for one in standings if one.role is not Role.TRIVIAL]
    if not models:
        return ()
    trivial = [one for one in standings if one.role is Role.TRIVIAL]
    sentences = [_skill(models[0], trivial, beaten.get(models[0].title))]
    sentences += [_challenger(models[0], one, contests) for one in models[1:]]
    sentences += [_when(ahead)] if ahead else []
    return (*sentences, _left_out(models))


def _skill(champion: Standing, trivial: Sequence[Standing], found: Evidence | None) -> Sentence:
    question = f"Does the champion, {champion.title}, beat every trivial forecast?"
    scores = champion.figures
    if not scores.n or found is None:
        return Sentence(
            question=question,
            verdict=Verdict.NOTE,
            text="Nothing that counts has been scored yet.",
        )
    hardest = max(trivial, key=lambda one: one.figures.accuracy.value or 0.0)
    won = found.best >= REACHED
    return Sentence(
        question=question,
        verdict=Verdict.BETTER if won else Verdict.NO_SKILL,
        text=(
            f"{_share(scores.accuracy.value)} of {scores.n} directions in {scores.weeks} weeks were right"
            f"{_span(champion)}; “{hardest.title}” had {_share(hardest.figures.accuracy.value)}. Evidence of being "
            f"ahead of all of them is {capital(found.value)}"
            + (
                f"; it reached {number(REACHED, 0)} by the week of {_first(found)}."
                if won
                else f", at most {capital(found.best)} so far, and {number(REACHED, 0)} would be enough."
            )
        ),
    )


def _challenger(champion: Standing, other: Standing, contests: Sequence[Contest]) -> Sentence:
    question = f"Is the challenger {other.title} better than the champion?"
    pairs = {(one.model, one.rival): one for one in contests}
    up, down = (
        pairs.get((other.title, champion.title)),
        pairs.get((champion.title, other.title)),
    )
    if up is None or down is None:
        return Sentence(
            question=question,
            verdict=Verdict.NOT_COMPARABLE,
            text="They have no scored forecasts of the same symbols and weeks with probabilities.",
        )
    verdict = Verdict.NO_DIFFERENCE
    if up.evidence.best >= REACHED:
        verdict = Verdict.BETTER
    elif down.evidence.best >= REACHED:
        verdict = Verdict.WORSE
    return Sentence(
        question=question,
        verdict=verdict,
        text=(
            f"Over {up.n} forecasts that both made, its lead in the Brier score of the direction is "
            f"{number(up.gain.value, 4, signed=True)} ({interval(up.gain, 4, signed=True)}). Evidence that it is "
            f"better: {capital(up.evidence.value)}; that the champion is: {capital(down.evidence.value)}."
        ),
    )


def _when(ahead: Outlook) -> Sentence:
    parts = [
        f"{number(lead.lead * 100, 0)} points after {lead.weeks} weeks ({lead.day})"
        if lead.weeks
        else f"{number(lead.lead * 100, 0)} points not within 40 years"
        for lead in ahead.leads
    ]
    basis = (
        "as far as its own weeks tell"
        if ahead.measured
        else "under usual assumptions, until eight weeks are scored"
    )
    return Sentence(
        question="When can the first meaningful statement be expected?",
        verdict=Verdict.NOTE,
        text=(
            f"With {number(ahead.rows_per_week, 0)} forecasts a week, a true lead in accuracy of {listed(parts)} is "
            f"found with 80 % probability, {basis}; evidence that is looked at every week takes longer. More symbols "
            "shorten it, as far as they do not move with the market."
        ),
    )


def _left_out(models: Sequence[Standing]) -> Sentence:
    made = sum(one.forecasts for one in models)
    counted = sum(one.figures.n for one in models)
    reasons: dict[str, int] = {}
    for one in models:
        for reason, count in one.left_out.items():
            reasons[reason] = reasons.get(reason, 0) + count
    gone = sorted({week for one in models for week in one.missed})
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none is left out"
    more = [f"{len(gone) - _NAMED} more"] if len(gone) > _NAMED else []
    weeks = (
        f" Without any forecast: the weeks of {listed([*gone[:_NAMED], *more])}." if gone else ""
    )
    return Sentence(
        question="Does everything count that was forecast?",
        verdict=Verdict.NOTE,
        text=f"{counted} of {made} forecasts are in the figures; {told}.{weeks}",
    )


def capital(value: float) -> str:
    """A capital with as many digits as mean something."""
    return number(value, 2 if value < 10 else 0)


def _share(value: float | None) -> str:
    return percent(value)


def _span(one: Standing) -> str:
    span = interval(one.figures.accuracy, 1, 100)
    return f" ({span})" if one.figures.accuracy.low is not None else ""


def _first(found: Evidence) -> str:
    """The first week in which the evidence was enough."""
    return next(week for week, value in found.path if value >= REACHED)
