"""What a reader should check before believing a comparison: one light with words for each condition of validity.

A light says how things are, the sentence why that matters or what to do. Verdicts do not follow from lights: what a
leak forbids is `leaks`', what weeks and answers forbid is `sides`'. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from enum import StrEnum

from fingpt.record import Frozen
from fingpt.report.clusters import MIN_CLUSTERS
from fingpt.report.leaks import above_chance
from fingpt.report.sides import LEAST_READ, Side, read_share

_ENOUGH_SEEDS = 3
_ENOUGH_EMBARGO = 4
"""Weeks that published prompts look back: with fewer between train and test, a test prompt tells train labels."""


class State(StrEnum):
    """How a condition is met: `good`, `caution` (read on) or `broken` (figures do not mean what they seem to)."""

    GOOD = "good"
    CAUTION = "caution"
    BROKEN = "broken"

    @property
    def mark(self) -> str:
        """A sign that can be told without colour."""
        return {"good": "✓", "caution": "!", "broken": "✗"}[self.value]


class Check(Frozen):
    """One condition: its name, its state, and a sentence."""

    name: str
    state: State
    text: str


def validity(sides: Sequence[Side], openings: int | None, weeks: int) -> tuple[Check, ...]:
    """All checks of a report on `sides`, whose test rows count as so many `weeks`.

    `openings`: how many runs opened the first side's test rows, None where nobody counted.
    """
    return (
        _split(sides),
        _embargo(sides),
        _leaks(sides),
        _memory(sides),
        _weeks(sides, weeks),
        _read(sides),
        _seeds(sides),
        _openings(sides, openings),
        _same(sides),
    )


def _split(sides: Sequence[Side]) -> Check:
    data = sides[0].dataset
    if any(one.leaky for side in sides for one in side.every_dataset):
        return Check(
            name="Split",
            state=State.BROKEN,
            text="Rows were split at random: answers of test weeks stand in training prompts. Split by calendar.",
        )
    ranges = "; ".join(f"{name} {first} to {last}" for name, (first, last) in data.dates.items())
    return Check(
        name="Split",
        state=State.GOOD,
        text=f"By time ({data.split_rule})" + (f": {ranges}." if ranges else "."),
    )


def _embargo(sides: Sequence[Side]) -> Check:
    weeks = min(side.dataset.embargo_weeks for side in sides)
    if weeks >= _ENOUGH_EMBARGO:
        return Check(
            name="Embargo",
            state=State.GOOD,
            text=f"{weeks} weeks lie between what was trained on and what was tested.",
        )
    kept = f"only {weeks} weeks lie" if weeks else "none is recorded"
    return Check(
        name="Embargo",
        state=State.CAUTION,
        text=f"Between training and test {kept}; prompts that look back further tell labels of the other side.",
    )


def _leaks(sides: Sequence[Side]) -> Check:
    found = [(finding, side) for side in sides for finding in side.findings]
    errors = [one for one, _ in found if one.severity == "error"]
    strong = [one for one, side in found if above_chance(one, side.tuned)]
    if errors or strong:
        named = ", ".join(dict.fromkeys(one.rule for one in [*errors, *strong]))
        reasons = "; ".join(dict.fromkeys(one.allowed for one in errors if one.allowed))
        return Check(
            name="Leaks",
            state=State.BROKEN,
            text=f"The linter found {named}; what they touch has no verdict."
            + (f" Allowed: {reasons}." if reasons else ""),
        )
    others = len({one.rule for one, _ in found if one.severity == "warning"})
    return Check(
        name="Leaks",
        state=State.CAUTION if others else State.GOOD,
        text=f"No leak that forecasts above chance; {others} kinds of warnings."
        if others
        else "None was found.",
    )


def _memory(sides: Sequence[Side]) -> Check:
    """Whether test weeks came after what a model may have read; the table of cutoffs is `models`'."""
    first = _first_test_day(sides)
    if first is None:
        return Check(
            name="Memory", state=State.CAUTION, text="The dates of the test rows are not recorded."
        )
    late = [side for side in sides if (until := side.model.cutoff) and first < until.clean_from]
    if not late:
        return Check(
            name="Memory",
            state=State.GOOD,
            text="All test weeks came after what the models' makers say they had read.",
        )
    named = "; ".join(
        f"{side.title} may know weeks before {until.clean_from}"
        for side in late
        if (until := side.model.cutoff)
    )
    return Check(
        name="Memory",
        state=State.CAUTION,
        text=f"Tests begin on {first}: {named}. What looks like a forecast can be remembered.",
    )


def _first_test_day(sides: Sequence[Side]) -> date | None:
    days = [side.dataset.dates["test"][0] for side in sides if "test" in side.dataset.dates]
    return min(days, default=None)


def _weeks(sides: Sequence[Side], weeks: int) -> Check:
    rows = f"{sides[0].tuned.n} rows of {weeks} weeks"
    if weeks < MIN_CLUSTERS:
        return Check(
            name="Weeks",
            state=State.BROKEN,
            text=f"{rows}: an interval needs {MIN_CLUSTERS} weeks, so there is none.",
        )
    return Check(
        name="Weeks",
        state=State.GOOD,
        text=f"{rows}. Rows of one week share the market, so weeks count.",
    )


def _read(sides: Sequence[Side]) -> Check:
    shares = {side.title: read_share(side.seeds("tuned")) for side in sides}
    named = ", ".join(f"{title} {share * 100:.1f} %" for title, share in shares.items())
    good = min(shares.values(), default=0.0) >= LEAST_READ
    return Check(
        name="Answers that can be read",
        state=State.GOOD if good else State.CAUTION,
        text=f"{named}." + ("" if good else " Silence is no skill: such scores are not compared."),
    )


def _seeds(sides: Sequence[Side]) -> Check:
    least = min(len(side.seeds("tuned")) for side in sides)
    if least >= _ENOUGH_SEEDS:
        return Check(
            name="Seeds",
            state=State.GOOD,
            text=f"Each model was trained {least} times or more; intervals include what training by chance does.",
        )
    return Check(
        name="Seeds",
        state=State.CAUTION,
        text="Verdicts are about these adapters, not about the models: a training repeated with another seed differs. "
        "Train each model three times: make run SEEDS=3.",
    )


def _openings(sides: Sequence[Side], openings: int | None) -> Check:
    name = "Test rows opened"
    if openings is None:
        return Check(name=name, state=State.CAUTION, text="Nobody counted how often.")
    first = sides[0].every_dataset
    own = sum(len(side.runs) for side in sides if side.every_dataset == first)
    if openings <= own:
        return Check(name=name, state=State.GOOD, text="By the runs of this report alone.")
    return Check(
        name=name,
        state=State.CAUTION,
        text=f"By {openings} runs, {openings - own} of them not in this report: the more often, the less a good result "
        "means.",
    )


def _asks(side: Side) -> tuple[str, ...]:
    return side.asks or tuple(data.id for data in side.every_dataset)


def _same(sides: Sequence[Side]) -> Check:
    sets = {side.dataset.id for side in sides}
    if any(side.asks for side in sides) and len({_asks(side) for side in sides}) == 1:
        return Check(
            name="Same data",
            state=State.GOOD,
            text="All models were asked of the same symbols and weeks, with the same labels; what their prompts tell "
            f"differs ({len(sets)} data sets), and so may the adapters that they made.",
        )
    if len(sets) > 1:
        return Check(
            name="Same data",
            state=State.BROKEN,
            text=f"The models saw {len(sets)} different data sets; their scores are not compared.",
        )
    return Check(
        name="Same data",
        state=State.GOOD,
        text=f"All models saw data set {sets.pop()}, by the hashes of its rows.",
    )
